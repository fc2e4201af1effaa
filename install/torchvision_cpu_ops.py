"""Lets a CUDA build of torchvision be imported under a CPU build of torch.

PyPI carries CUDA builds of torchvision only. Their compiled library cannot load without CUDA's, so the operators it
would declare are missing, and ``import torchvision`` ends in ``operator torchvision::nms does not exist``; with it
fails every vision class of transformers. The image transforms are plain torch, so declaring two operators is enough.

``install/environment.py`` copies this file into the environment's site-packages, with a ``.pth`` file that imports it
in every process, only where it is needed. It is cheap there: torch is imported only once torchvision is. It is no part
of the package's wheel.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

OPERATORS = ("nms", "qnms")
_declared: Any = None  # A torch library takes its operators along when it is garbage collected.


def is_cuda_build(package: Path) -> bool:
    """Tell whether a torchvision package directory holds a build for CUDA or ROCm, without importing it."""
    try:
        text = (package / "version.py").read_text("utf-8")
    except OSError:
        return False
    return re.search(r"""__version__\s*=\s*['"][^'"]*\+(cu\d|rocm)""", text) is not None


def _declare_operators() -> None:
    import torch

    global _declared
    if torch.version.cuda is None and torch.version.hip is None:
        _declared = torch.library.Library("torchvision", "DEF")
        for name in OPERATORS:
            _declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


class BeforeTorchvision:
    """A finder that finds nothing, but declares the operators just before torchvision is imported."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> None:
        """See ``importlib.abc.MetaPathFinder``."""
        if name != "torchvision" or _declared is not None:
            return
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec("torchvision")
        if spec is not None and spec.origin and is_cuda_build(Path(spec.origin).parent):
            _declare_operators()


def activate() -> None:
    """Put the finder in place; called by the ``.pth`` file, which some Pythons run twice."""
    if BeforeTorchvision not in sys.meta_path:
        sys.meta_path.insert(0, BeforeTorchvision)  # type: ignore[arg-type]
