"""What to evaluate: models, benchmarks, sampling, engine, and the claims to be judged."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lipo.common import LipoError, option
from lipo.common.storage import require_local
from lipo.video import FrameOptions

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True)
class BenchmarkConfig:
    """One set of questions: a declared benchmark, or any file."""

    source: Path | None = option(
        None, help="File or folder of the questions; null for the declared benchmark's own in data_dir."
    )
    scorer: str | None = option(
        None,
        help="Module of reward_fns whose compute_score judges the answers: math, structured, ocr, ...; null for the "
        "declaration's, or auto.",
    )
    scorer_options: dict = option(factory=dict, help="Keyword arguments of the scorer.")
    limit: int | None = option(None, help="Use only the first so many rows; null for all.", minimum=1)
    image_root: Path | None = option(
        None, help="Folder that paths of images and videos must stay in; null for the source's folder."
    )
    declaration: str | None = option(
        None,
        help="Declared benchmark, or a YAML file that declares one, for columns, prompt and scorer; null for the one "
        "of this benchmark's name, else verl's format (parquet) or the generic table.",
    )
    format: str | None = option(
        None,
        help="Null to tell by the source's name.",
        choices=("tsv", "csv", "json", "jsonl", "parquet", "huggingface"),
    )
    hub: str | None = option(
        None, help="owner/name of a Hugging Face dataset, read over the network at every run, in place of source."
    )
    split: str | None = option(None, help="Split of a Hugging Face dataset; null for the declaration's, or the only.")
    measure: str | None = option(
        None,
        help="Figure of the scorer that counts: acc, or similarity in degrees; null for the declaration's, or acc.",
        choices=("acc", "similarity"),
    )
    mode: str | None = option(
        None, help="What the prompt asks for: option (the letter at once) or reason; null for the declaration's prompt."
    )


@dataclass(frozen=True)
class SamplingConfig:
    """How answers are drawn; recorded in the results and part of every answer's identity."""

    temperature: float = option(1.0, help="0 picks the most likely token.", minimum=0.0)
    top_p: float = option(1.0, help="Nucleus sampling: share of probability kept.", minimum=1e-6, maximum=1.0)
    top_k: int = option(0, help="Sample among the k most likely tokens; 0 for all.", minimum=0)
    max_tokens: int = option(
        1024, help="Longest response in tokens; a longer one is cut and counted as truncated.", minimum=1
    )
    samples: int = option(1, help="Responses per question; accuracy is their mean.", minimum=1)
    seed: int = option(0, help="Of sampling; each response draws from its own generator.", minimum=0)


@dataclass(frozen=True)
class EngineConfig:
    """vLLM and its replicas; changes speed, not answers, but for dtype and max_model_len."""

    replicas: int | None = option(
        None, help="Data-parallel engines; null for one per GPU group, or as many as cores and memory allow.", minimum=1
    )
    tensor_parallel_size: int = option(1, help="GPUs per replica.", minimum=1)
    dtype: str = option("auto", help="Precision of the weights.", choices=("auto", "float32", "bfloat16", "float16"))
    max_model_len: int | None = option(
        None, help="Prompt and response tokens at most; null for the model's own limit.", minimum=16
    )
    max_num_seqs: int = option(128, help="Responses generated at once by a replica.", minimum=1)
    max_num_batched_tokens: int = option(8192, help="Tokens of one forward pass at most.", minimum=256)
    gpu_memory_utilization: float = option(
        0.85, help="Share of a GPU's memory for a replica.", minimum=0.01, maximum=1.0
    )
    kv_cache_gb: float = option(0.5, help="CPU only: size of a replica's key-value cache in GiB.", minimum=0.01)
    threads: int = option(1, help="CPU only: threads per replica.", minimum=1)
    enforce_eager: bool = option(False, help="GPU only: do not capture CUDA graphs; starts sooner, runs slower.")


@dataclass(frozen=True)
class JudgeConfig:
    """A language model that grades answers, too; its verdicts are a column of their own and change no other figure."""

    base_url: str = option(help="OpenAI-compatible endpoint, e.g. http://127.0.0.1:8000/v1.")
    model: str = option(help="Name of the model at the endpoint.")
    api_key_env: str | None = option(
        None, help="Environment variable that holds the API key; null where the endpoint asks for none."
    )
    prompt: str | None = option(
        None, help="What it is asked, with {question}, {truth} and {response} in it; null for eval.judge.PROMPT."
    )
    request: dict = option(
        factory=lambda: {"temperature": 0, "max_tokens": 256},
        help="Further fields of each chat completion request, such as max_completion_tokens.",
    )
    concurrency: int = option(8, help="Requests at once.", minimum=1)
    timeout: float = option(120.0, help="Seconds that a request may take.", minimum=0.1)
    retries: int = option(4, help="Times that a request is repeated after a failure that may pass.", minimum=0)


@dataclass(frozen=True)
class Claim:
    """A statement about one model against the baseline, judged on the same questions.

    It holds when the point estimates meet both limits; it is confirmed when the 95 % intervals do, too.
    """

    model: str = option(help="Label of the model.")
    benchmark: str = option("average", help="Name of a benchmark, or 'average' over all of them.")
    min_token_reduction: float = option(
        0.0, help="Fewer mean tokens by at least this share: 0.42 is 42 %.", maximum=1.0
    )
    max_accuracy_loss: float = option(
        0.0, help="Accuracy lower by at most this: 0.01 is one point.", minimum=0.0, maximum=1.0
    )


@dataclass(frozen=True)
class EvalConfig:
    """A whole evaluation."""

    models: dict[str, Path] = option(help="Label to Hugging Face directory.")
    baseline: str = option(help="Label of the model that the others are compared with.")
    benchmarks: dict[str, BenchmarkConfig] = option(
        help="Name to questions and scorer; 'mathvista: {}' takes the declared benchmark."
    )
    out: Path = option(help="Directory of answers, scores and report; a second run continues there.")
    sampling: SamplingConfig = option(SamplingConfig(), help="How answers are drawn.")
    engine: EngineConfig = option(EngineConfig(), help="vLLM and its replicas.")
    claims: list[Claim] = option(factory=list, help="Statements to be judged in the report.")
    judge: JudgeConfig | None = option(None, help="Model that grades the answers, too; null for none.")
    margin: float = option(
        0.01, help="Non-inferiority margin on accuracy: 0.01 is one point.", minimum=0.0, maximum=1.0
    )
    data_dir: Path | None = option(
        None, help="Folder of the declared benchmarks' data; null for $LIPO_DATA, else data."
    )
    frames: FrameOptions = option(FrameOptions(), help="Which frames of a video are shown; see docs/video.md.")
    frames_dir: Path | None = option(
        None, help="Folder of decoded frames, which may be shared; null for the folder frames in data_dir."
    )
    address: str | None = option(None, help="Ray cluster, e.g. auto; null starts a local Ray and stops it at the end.")
    title: str = option("Evaluation", help="Heading of the report.")


def check_config(config: EvalConfig) -> None:
    """Refuse what cannot work, before anything is read or started.

    Raises:
        LipoError: No models or benchmarks, a bad name, an unknown baseline, or a URL where a directory must be.
    """
    if not config.models or not config.benchmarks:
        raise LipoError("nothing to evaluate", "name at least one model and one benchmark")
    for kind, names in (("model", config.models), ("benchmark", config.benchmarks)):
        for name in names:
            if not _NAME.fullmatch(name) or name == "average":
                raise LipoError(
                    f"'{name}' is no {kind} name", "use letters, digits, '.', '_', '+', '-'; 'average' is taken"
                )
    require_known("baseline", config.baseline, config.models)
    require_local(config.out, "out")
    require_local(config.data_dir or "", "data_dir")
    for name, benchmark in config.benchmarks.items():
        require_local(benchmark.image_root or "", f"benchmarks.{name}.image_root")


def check_models(config: EvalConfig, later: Collection[Path] = ()) -> None:
    """Refuse models that are not there.

    Args:
        config: With the models.
        later: Absolute paths of models that need not be there yet.

    Raises:
        LipoError: A missing directory or file.
    """
    for label, path in config.models.items():
        if path.absolute() in later:
            continue
        for file in ("config.json", "tokenizer_config.json"):
            if not (path / file).is_file():
                raise LipoError(f"no model '{label}' at {path}: {file} is missing", "give a Hugging Face directory")
        if not any(path.glob("*.safetensors")):
            raise LipoError(
                f"model '{label}' at {path} has no .safetensors file", "give a whole Hugging Face directory"
            )


def require_known(where: str, name: str, names: Mapping[str, object]) -> None:
    """Refuse a name that is not among ``names``.

    Raises:
        LipoError: With the names that exist.
    """
    if name not in names:
        raise LipoError(f"{where} is '{name}'", f"use one of {', '.join(names)}")
