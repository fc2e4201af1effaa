"""A vLLM plug-in (entry-point group ``vllm.general_plugins``): keep weights updatable on the CPU."""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Keep a linear layer's ``weight`` after packing it for the CPU; does nothing on accelerators.

    vllm/model_executor/layers/linear.py:205 passes ``remove_weight=True``: the packed layer's weight becomes empty,
    and the next weight synchronisation has nothing to load into.
    """
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.layers import utils

    original = utils.dispatch_cpu_unquantized_gemm
    if getattr(original, "keeps_weight", False):
        return

    def dispatch_cpu_unquantized_gemm(layer: Any, remove_weight: bool = False) -> None:
        original(layer, remove_weight=False)

    dispatch_cpu_unquantized_gemm.keeps_weight = True  # type: ignore[attr-defined]
    utils.dispatch_cpu_unquantized_gemm = dispatch_cpu_unquantized_gemm
