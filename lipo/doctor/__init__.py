"""Finds out whether this machine can train: software, hardware, Ray and vLLM, each check with its remedy."""

from lipo.doctor.checks import examine
from lipo.doctor.finding import Finding

__all__ = ["Finding", "examine"]
