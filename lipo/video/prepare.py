r"""Convert annotations of videos to verl's parquet format, frames decoded once.

    python -m lipo.video.prepare --format nextqa --annotations train.csv --videos NExTVideo \
        --cache frames --out train.parquet

For ``cold_start`` the file holds ``messages``, for verl's supervised trainer; otherwise ``prompt`` and
``reward_model``, for its reinforcement learning. Clips that cannot be read are left out and counted.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from lipo.common import LipoError, atomic_write, parse
from lipo.video.annotations import FORMATS, LETTERS, Question, read_questions
from lipo.video.cache import CachedClip, FrameCache
from lipo.video.decode import VideoError
from lipo.video.sampling import FrameOptions

MODES = {
    "reason": "Output the thinking process in <think> </think> and final answer (option) in <answer> </answer> tags.",
    "option": "Answer with the letter of the right option in <answer> </answer> tags.",
}
"""What a prompt asks for behind the question; ``reason`` is TinyLLaVA-Video-R1's."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a conversion gave."""

    rows: list[dict[str, Any]]
    left_out: dict[str, int]
    """Reason → number of questions."""


def video_path(root: Path, name: str) -> Path:
    """Find a video below its folder.

    Raises:
        VideoError: The name leads out of the folder.
    """
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise VideoError(f"{name!r} leads out of {root}", "correct the annotations")
    return path


def video_column(clip: CachedClip) -> dict[str, Any]:
    """Describe a clip as verl's column ``videos`` holds it: frames as files, at the size that they have.

    ``sample_fps`` tells Qwen2.5-VL how far the frames are apart.
    """
    return {
        "video": [frame.resolve().as_uri() for frame in clip.frames],
        "sample_fps": clip.sample_fps,
        "resized_width": clip.width,
        "resized_height": clip.height,
    }


def prompt_of(question: Question, mode: str) -> str:
    """Write the user's message: marker, question, options and instruction."""
    options = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, question.options, strict=False))
    return f"<video>{question.question}\n{options}\n{MODES[mode]}"


def make_row(question: Question, clip: CachedClip, index: int, source: str, split: str, mode: str) -> dict[str, Any]:
    """Make a row for reinforcement learning or evaluation, or for supervised training if there is a response."""
    prompt = {"role": "user", "content": prompt_of(question, mode)}
    row: dict[str, Any] = {"data_source": source, "videos": [video_column(clip)]}
    if question.response is None:
        row |= {
            "prompt": [prompt],
            "ability": "video",
            "reward_model": {"style": "rule", "ground_truth": question.answer},
        }
    else:
        row["messages"] = [prompt, {"role": "assistant", "content": question.response}]
    row["extra_info"] = {
        "split": split,
        "index": index,
        "id": question.identity,
        "kind": question.kind,
        "video": question.video,
        "duration": clip.duration,
        "question": question.question,
        "options": list(question.options),
        "answer": question.answer,
    }
    return row


def _load_clips(
    names: Sequence[str], root: Path, cache: FrameCache, threads: int
) -> dict[str, CachedClip | VideoError]:
    def load(name: str) -> CachedClip | VideoError:
        try:
            return cache.get(video_path(root, name))
        except VideoError as error:
            return error

    # FFmpeg lets go of Python's lock while it decodes.
    with concurrent.futures.ThreadPoolExecutor(threads) as executor:
        done = track(executor.map(load, names), "frames", len(names), disable=not sys.stderr.isatty())
        return dict(zip(names, done, strict=True))


def prepare(
    questions: Sequence[Question],
    videos: Path,
    cache: FrameCache,
    *,
    source: str,
    split: str = "train",
    mode: str = "reason",
    longest: float | None = None,
    threads: int = 2,
) -> Prepared:
    """Turn questions into rows.

    Args:
        questions: From :func:`lipo.video.annotations.read_questions`.
        videos: Folder of the videos; names that lead out of it are left out.
        cache: Where frames are kept; every video is decoded once, however many questions ask about it.
        source: ``data_source`` of the rows.
        split: For ``extra_info``.
        mode: One of :data:`MODES`.
        longest: Leave out clips of more seconds.
        threads: Clips decoded at once.

    Returns:
        Rows in the order of the questions, and what was left out.
    """
    clips = _load_clips(list(dict.fromkeys(question.video for question in questions)), videos, cache, threads)
    rows: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for index, question in enumerate(questions):
        clip = clips[question.video]
        if isinstance(clip, VideoError):
            left_out["unreadable video"] += 1
        elif longest is not None and clip.duration > longest:
            left_out["longer than allowed"] += 1
        else:
            rows.append(make_row(question, clip, index, source, split, mode))
    return Prepared(rows, dict(left_out))


def _options(cls: type[FrameOptions], parser: argparse.ArgumentParser) -> None:
    for field in dataclasses.fields(cls):
        kind = type(field.default)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=kind,
            default=field.default,
            choices=field.metadata["choices"],
            help=field.metadata["help"].replace("%", "%%") + f" Default: {field.default}.",
        )


def _told(counts: Iterable[tuple[str, int]]) -> str:
    return "; ".join(f"{count} x {reason}" for reason, count in counts) or "nothing"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, convert, and say what was left out."""
    import pandas as pd

    parser = argparse.ArgumentParser(
        prog="lipo.video.prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotations", type=Path, required=True, help="file of questions")
    parser.add_argument("--format", required=True, choices=tuple(FORMATS), help="its format")
    parser.add_argument("--videos", type=Path, required=True, help="folder that the annotations' paths begin at")
    parser.add_argument("--cache", type=Path, required=True, help="folder of decoded frames; may be shared")
    parser.add_argument("--out", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--split", default="train", help="for extra_info")
    parser.add_argument("--mode", default="reason", choices=tuple(MODES), help="what the prompt asks for")
    parser.add_argument("--longest", type=float, help="leave out clips of more seconds; published: 30")
    parser.add_argument("--threads", type=int, default=2, help="clips decoded at once")
    _options(FrameOptions, parser)
    given = vars(parser.parse_args(arguments))
    try:
        frames = parse(
            FrameOptions, {field.name: given[field.name] for field in dataclasses.fields(FrameOptions)}, "frames"
        )
        questions, problems = read_questions(given["annotations"], given["format"])
        prepared = prepare(
            questions,
            given["videos"],
            FrameCache(given["cache"], frames),
            source=FORMATS[given["format"]],
            split=given["split"],
            mode=given["mode"],
            longest=given["longest"],
            threads=given["threads"],
        )
        left_out = {**problems, **prepared.left_out}
        if not prepared.rows:
            raise LipoError(f"no question is left: {_told(left_out.items())}", "check --videos")
    except LipoError as error:
        parser.exit(2, f"{error.what}\n{error.fix}\n")
    with atomic_write(given["out"], "wb") as file:
        pd.DataFrame(prepared.rows).to_parquet(file)
    print(f"{given['out']}: {len(prepared.rows)} questions; left out: {_told(left_out.items())}")


if __name__ == "__main__":
    main()
