"""Errors, configuration and file handling shared by every package; knows nothing of models or training."""

from lipo.common.config import load_yaml, option, parse, reference_table, with_overrides
from lipo.common.errors import LipoError
from lipo.common.files import atomic_directory, atomic_write, only_one, require_free_space, sha256_file

__all__ = [
    "LipoError",
    "atomic_directory",
    "atomic_write",
    "load_yaml",
    "only_one",
    "option",
    "parse",
    "reference_table",
    "require_free_space",
    "sha256_file",
    "with_overrides",
]
