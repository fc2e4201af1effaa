"""What a benchmark is: columns, prompt, scorer, breakdowns and downloads, as its YAML file declares them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipo.common import LipoError, load_yaml, option

ANSWER_FORMS = ("text", "alternatives", "list", "letter", "option_text", "option_index")


@dataclass(frozen=True)
class Columns:
    """Names of columns; of several names, the first that a file has."""

    question: list[str] = option(factory=lambda: ["question"], help="The question.")
    answer: list[str] = option(factory=lambda: ["answer"], help="The right answer.")
    image: list[str] = option(
        factory=lambda: ["image", "images", "image_path"],
        help="One or several images: bytes, base64, a path, or another row's index.",
    )
    options: list[str] = option(
        factory=lambda: ["options", "choices"],
        help="Options in one column, a list; where there is none, the columns A, B, C, … hold them.",
    )
    letters: list[str] = option(factory=list, help="Columns that hold an option each, in place of A, B, C, ….")
    index: list[str] = option(factory=lambda: ["index"], help="Name of a row, by which others refer to its image.")
    cluster: list[str] = option(
        factory=list,
        help="Rows that are not independent share it; where there is none, rows about the same image or clip.",
    )
    extra: list[str] = option(factory=list, help="Columns that the scorer wants besides, as extra_info.")


@dataclass(frozen=True)
class ScorerRule:
    """Which questions are judged how; the first rule that fits holds."""

    use: str = option(help="Module of reward_fns.")
    when: dict[str, Any] = option(
        factory=dict,
        help="Column: value, or list of values, of the rows it is for; 'options: true' for rows with options.",
    )
    answer: str = option(
        "text",
        help="Form of the right answer: text; alternatives, one of which is enough; a list, all of it; the letter of "
        "an option; the option_text of one; or its option_index, counted from 0.",
        choices=ANSWER_FORMS,
    )
    options: dict[str, Any] = option(factory=dict, help="Keyword arguments of the scorer.")


@dataclass(frozen=True)
class Breakdown:
    """Categories to report apart."""

    column: list[str] = option(help="Column of the category; 'metadata.subject' looks into a mapping.")
    pattern: str | None = option(None, help="Regular expression; its first group is the category.")
    names: dict[str, str] = option(factory=dict, help="Names of the categories; others keep their own.")


@dataclass(frozen=True)
class Video:
    """Where a row's video is, and what of it is shown."""

    paths: list[str] = option(
        help="Jinja templates of its path below image_root, or of that of a folder of pictures: the first that exists. "
        "They know row and folder; an empty one is passed over."
    )
    folder: Breakdown | None = option(None, help="What gives folder: a column, and a name for each of its values.")
    start: list[str] = option(factory=list, help="Column of the second at which the part to be shown begins.")
    end: list[str] = option(factory=list, help="Column of the second at which it ends.")
    part_when: dict[str, list[str]] = option(
        factory=dict, help="Column: values of the rows of which a part is shown, if any column has one; empty for all."
    )
    picture_fps: float = option(3.0, help="Pictures a second in folders of pictures.", minimum=0.01)
    subtitles: list[str] = option(
        factory=list, help="As paths, of a SubRip file: what is said while the frames are shown becomes subtitles."
    )


@dataclass(frozen=True)
class Table:
    """A TSV of VLMEvalKit."""

    file: str = option(help="File name, as VLMEvalKit stores it.")
    url: str = option(help="Where it is published.")
    md5: str | None = option(None, help="Checksum that VLMEvalKit publishes.")


@dataclass(frozen=True)
class Hub:
    """A dataset of the Hugging Face Hub."""

    name: str = option(help="owner/name.")
    split: str = option(help="Its split.")
    subset: str | None = option(None, help="Its configuration.")


@dataclass(frozen=True)
class Benchmark:
    """One declared benchmark."""

    title: str = option(help="Name for people.")
    about: str = option(help="What it asks, in one sentence.")
    prompt: str = option(
        help="Jinja template of the user's message. It knows question, options (lines 'A. …'), choices (letter and "
        "text of each), subtitles, row (all columns by name). Images stand before the text, unless it has "
        "markers; a video always does."
    )
    scorers: list[ScorerRule] = option(help="How answers are judged.")
    modes: dict[str, str] = option(
        factory=dict, help="Prompts for other modes than option, which is that of prompt, such as reason."
    )
    video: Video | None = option(None, help="Where a row's video is, if the benchmark is about videos.")
    paper: str | None = option(None, help="arXiv number.")
    metric: str = option("accuracy", help="What the score is, for people.")
    measure: str = option(
        "acc", help="Which figure of the scorer counts: acc, or similarity in degrees.", choices=("acc", "similarity")
    )
    columns: Columns = option(Columns(), help="Where a row keeps what.")
    where: dict[str, list[str]] = option(factory=dict, help="Column: values of the rows to use; others are left out.")
    image_markers: str = option(
        "none",
        help="none: images first, then the text; numbered: <image 1> in the text stands for the first image; plain: "
        "<image> stands for the next one.",
        choices=("none", "numbered", "plain"),
    )
    image_required: bool = option(True, help="Whether a row without an image is in error, not a question of text only.")
    groups: dict[str, Breakdown] = option(factory=dict, help="Breakdowns, by name.")
    published_score: str | None = option(
        None, help="Score over several questions that its authors define.", choices=("mme", "wemath", "task_average")
    )
    files: list[str] = option(
        factory=list, help="Files or folders of the questions in the authors' own release, below the data set's folder."
    )
    tsv: Table | None = option(None, help="VLMEvalKit's file.")
    hub: Hub | None = option(None, help="Dataset on the Hugging Face Hub.")
    differences: list[str] = option(factory=list, help="How the score differs from published ones, and why.")


def load_benchmark(path: Path) -> Benchmark:
    """Read and check a declaration.

    Raises:
        LipoError: Unknown or missing keys, a scorer, pattern or template that does not exist or work.
    """
    benchmark = load_yaml(Benchmark, path)
    if not benchmark.scorers or benchmark.scorers[-1].when:
        raise LipoError(f"{path} leaves some questions without a scorer", "end 'scorers' with a rule without 'when'")
    from eval.scoring import find_scorer

    for rule in benchmark.scorers:
        find_scorer(rule.use)
    for name, breakdown in benchmark.groups.items():
        try:
            if breakdown.pattern is not None and re.compile(breakdown.pattern).groups != 1:
                raise LipoError(f"{path}: groups.{name}.pattern has not one group", "put the category in ( )")
        except re.error as error:
            raise LipoError(f"{path}: groups.{name}.pattern: {error}", "correct the regular expression") from error
    from eval.benchmarks._prompt import PATH_NAMES, compile_prompt

    for template in (benchmark.prompt, *benchmark.modes.values()):
        compile_prompt(template, str(path))
    if benchmark.video:
        for template in (*benchmark.video.paths, *benchmark.video.subtitles):
            compile_prompt(template, str(path), PATH_NAMES)
    return benchmark
