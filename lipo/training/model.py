"""Whether a model is there before anything is started: as a directory, in the cache, or on the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

from lipo.common import LipoError

_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?", re.ASCII)
_FOLDERS = ("recipes", "runs")
_PATIENCE_SECONDS = 10.0


def require_model(path: str, where: str) -> None:
    """Refuse a model that a training would look for in vain after its start.

    Args:
        path: Directory, or name on the Hugging Face Hub; ``hdfs://`` is left to verl.
        where: Key, for the message.

    Raises:
        LipoError: There is no such directory, and the Hub does not give such a model, or is out of reach.

    Example:
        >>> require_model("./nowhere", "model.path")
        Traceback (most recent call last):
        ...
        lipo.common.errors.LipoError: no model at ./nowhere (model.path); give a Hugging Face directory with config.json
    """
    if path.startswith("hdfs://") or (Path(path).expanduser() / "config.json").is_file():
        return
    if not _may_be_name(path):
        raise LipoError(f"no model at {path} ({where})", "give a Hugging Face directory with config.json")
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(path, "config.json"), str):
        return
    try:
        get_hf_file_metadata(hf_hub_url(path, "config.json"), timeout=_PATIENCE_SECONDS)
    except Exception as error:  # among them those of the Hub's HTTP library
        raise LipoError(
            f"no model at {path} ({where}): no such directory, and the Hugging Face Hub says: {_first_line(error)}",
            "correct the path, or load the model first: hf download NAME --local-dir DIRECTORY",
        ) from error


def _may_be_name(path: str) -> bool:
    """One word or two, of which neither the whole nor the first is a directory here."""
    parts = Path(path).parts
    if not _NAME.fullmatch(path) or Path(path).exists() or parts[0] in _FOLDERS:
        return False
    return len(parts) == 1 or not Path(parts[0]).is_dir()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200]
