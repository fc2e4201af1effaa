"""Looks through a benchmark's data before anything is evaluated: what is there, and which rows cannot be used."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from eval.benchmarks._resolve import resolve_benchmark
from eval.config import BenchmarkConfig
from eval.sources import ClipReader, Item, read_items

LARGEST_PIXELS = 50_000_000
"""Pillow warns of larger images; models scale them down anyway, after decoding all of it."""


@dataclass
class DataReport:
    """What was found."""

    rows: int
    images: int
    """Distinct ones."""
    formats: Counter[str]
    """Image format → images."""
    widths: tuple[int, int, int]
    """Smallest, median and largest, in pixels; zeros without images."""
    heights: tuple[int, int, int]
    bytes_of_images: int
    images_per_row: Counter[int]
    """Number of images → rows."""
    answers: Counter[str]
    """Kind of right answer and its scorer → rows."""
    groups: dict[str, Counter[str]]
    """Breakdown → category → rows."""
    problems: dict[str, list[int]] = field(default_factory=dict)
    """Kind of problem → row numbers."""
    videos: int = 0
    """Distinct ones, or parts of them, that can be decoded."""


def check_data(
    name: str,
    config: BenchmarkConfig,
    on_progress: Callable[[int, int], None] | None = None,
    clips: ClipReader | None = None,
) -> DataReport:
    """Read a benchmark's data as an evaluation would, decode all pictures and videos, have right answers judged.

    Args:
        name: Of the benchmark.
        config: Where it is and how it is read.
        on_progress: Called with the rows done and all rows.
        clips: Decodes videos, as in :func:`eval.sources.read_items`.

    Returns:
        What was found.

    Raises:
        LipoError: The file cannot be read at all.
    """
    config = resolve_benchmark(name, config)
    items = read_items(name, config, clips)
    problems: dict[str, list[int]] = defaultdict(list)
    seen: dict[bytes, str | tuple[str, int, int]] = {}
    size = 0
    for number, item in enumerate(items):
        if on_progress is not None:
            on_progress(number, len(items))
        if item.error:
            problems[_kind(item.error)].append(item.index)
        for digest, image in zip(item.image_digests, item.images, strict=True):
            if digest not in seen:
                seen[digest] = _examine(image)
                size += len(image)
            found = seen[digest]
            if isinstance(found, str):
                problems[found].append(item.index)
        if not item.error and not accepts_own_truth(item, config):
            problems["the scorer does not accept the right answer itself"].append(item.index)
    good = [found for found in seen.values() if not isinstance(found, str)]
    return DataReport(
        rows=len(items),
        images=len(seen),
        formats=Counter(kind for kind, _, _ in good),
        widths=_spread([width for _, width, _ in good]),
        heights=_spread([height for _, _, height in good]),
        bytes_of_images=size,
        images_per_row=Counter(len(item.images) for item in items),
        answers=Counter(_answer_kind(item, config) for item in items if item.ground_truth is not None),
        groups=_groups(items),
        problems=dict(problems),
        videos=len({item.clip.key for item in items if item.clip}),
    )


def _examine(image: bytes) -> str | tuple[str, int, int]:
    """Decode an image; the problem, or its format, width and height."""
    import warnings

    from PIL import Image

    from eval._replica import IMAGE_FORMATS

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(image), formats=IMAGE_FORMATS) as opened:
                kind, (width, height) = str(opened.format), opened.size
                if width * height > LARGEST_PIXELS:
                    return f"an image has more than {LARGEST_PIXELS // 10**6} million pixels"
                opened.load()
    # Decoders trip over broken files in many ways; each is one row's problem.
    except Exception as error:
        return f"an image cannot be decoded ({type(error).__name__})"
    return kind, width, height


def accepts_own_truth(item: Item, config: BenchmarkConfig) -> bool:
    """Whether the scorer counts the right answer as right; if not, no model can be right."""
    from eval.scoring import find_scorer

    truth = item.ground_truth
    texts = [str(text) for text in truth] if isinstance(truth, list) else [str(truth)]
    scorer = find_scorer(item.scorer or config.scorer or "auto")
    options = item.scorer_options if item.scorer else config.scorer_options
    best = 0.0
    for text in dict.fromkeys([*texts, ", ".join(texts)]):
        # Both, for a brace or a line break in the text may end a box early.
        for response in (f"\\boxed{{{text}}}", text):
            verdict = scorer(item.data_source, response, truth, item.extra_info, **options)
            best = max(best, float(verdict.get("acc", 0.0)), float(verdict.get("similarity", 0.0)))
    # People may disagree about an answer so much that none is fully right.
    return best >= 1 or (best > 0 and config.measure == "similarity")


def _kind(error: str) -> str:
    """Cut what differs from row to row, so that problems can be counted."""
    return error.split(":")[0].split(" '")[0].split(' "')[0][:100]


def _answer_kind(item: Item, config: BenchmarkConfig) -> str:
    truth = item.ground_truth
    scorer = item.scorer or config.scorer or "auto"
    options = item.extra_info.get("options")
    if options:
        return f"one of {len(options)} options ({scorer})"
    if isinstance(truth, list):
        return f"list ({scorer})"
    text = str(truth).strip().replace(",", "")
    try:
        float(text)
    except ValueError:
        return f"{'letter' if len(text) == 1 and text.isalpha() else 'text'} ({scorer})"
    return f"number ({scorer})"


def _spread(values: list[int]) -> tuple[int, int, int]:
    ordered = sorted(values)
    return (ordered[0], ordered[len(ordered) // 2], ordered[-1]) if ordered else (0, 0, 0)


def _groups(items: list[Item]) -> dict[str, Counter[str]]:
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        for name, category in item.groups.items():
            groups[name][category] += 1
    return dict(groups)
