"""Records with the answers how they were made, so that they can be continued and scored anew."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.config import EvalConfig
from lipo.common import LipoError, atomic_write, load_yaml

RECORD = "config.yaml"
_PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Provenance:
    """What made the answers, beside the configuration."""

    versions: dict[str, str]
    fingerprints: dict[str, str]
    """Model → hash of its files."""


def write_record(config: EvalConfig, provenance: Provenance) -> None:
    """Write ``config.yaml``, which ``lipo eval`` can continue with, and ``provenance.json`` into ``config.out``."""
    import yaml

    with atomic_write(config.out / RECORD) as file:
        yaml.safe_dump(_plain(dataclasses.asdict(config)), file, sort_keys=False, allow_unicode=True)
    with atomic_write(config.out / _PROVENANCE) as file:
        json.dump(dataclasses.asdict(provenance), file, indent=1)
        file.write("\n")


def read_record(out: Path, overrides: Sequence[str] = ()) -> tuple[EvalConfig, Provenance]:
    """Read back what :func:`write_record` wrote; ``out`` may have been moved.

    Raises:
        LipoError: There is none, or it cannot be read.
    """
    if not (out / RECORD).is_file() or not (out / _PROVENANCE).is_file():
        raise LipoError(f"no evaluation in {out}", f"give the 'out' of a 'lipo eval'; it holds {RECORD}")
    config = dataclasses.replace(load_yaml(EvalConfig, out / RECORD, overrides), out=out)
    try:
        data = json.loads((out / _PROVENANCE).read_text("utf-8"))
        return config, Provenance(dict(data["versions"]), dict(data["fingerprints"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LipoError(
            f"cannot read {out / _PROVENANCE}: {error}", "run 'lipo eval' again; answers are kept"
        ) from error


def _plain(value: Any) -> Any:
    """Paths as absolute text, so that the file means the same in every directory."""
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
