"""verl's platform interface for the CPU, so that its own trainer, FSDP actor and vLLM server run without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _zero(*_: Any, **__: Any) -> int:
    return 0


# verl calls these of the device module unguarded, e.g. engine_workers.py:219 (max_memory_allocated), :769
# (empty_cache), memory_utils.py:46. It also compares `device == torch.cpu` (performance.py:43), so the module
# has to be torch.cpu itself.
_MISSING_IN_TORCH_CPU = {
    "empty_cache": _nothing,
    "ipc_collect": _nothing,
    "reset_peak_memory_stats": _nothing,
    "memory_allocated": _zero,
    "memory_reserved": _zero,
    "max_memory_allocated": _zero,
    "max_memory_reserved": _zero,
    "mem_get_info": lambda *_: (0, 0),
    "manual_seed": torch.manual_seed,
    "manual_seed_all": torch.manual_seed,
    "get_rng_state": torch.get_rng_state,
    "set_rng_state": torch.set_rng_state,
    "get_device_name": lambda *_: "CPU",
}


class CPUPlatform(PlatformBase):
    """The CPU as verl's training device; chosen with ``VERL_PLATFORM=cpu``, never detected."""

    device_name = "cpu"
    vendor_name = "cpu"
    set_device = synchronize = set_allocator_settings = empty_cache = _nothing
    profiler_start = profiler_stop = cudart = _nothing
    manual_seed = manual_seed_all = staticmethod(torch.manual_seed)  # type: ignore[assignment]

    @property
    def device_module(self) -> ModuleType:
        """``torch.cpu``, completed by what verl calls."""
        for name, function in _MISSING_IN_TORCH_CPU.items():
            if not hasattr(torch.cpu, name):
                setattr(torch.cpu, name, function)
        return torch.cpu

    def is_available(self) -> bool:
        """Always: every machine has a CPU."""
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        """Never, so that automatic detection (platform_manager.py:102) passes it by."""
        return False

    def current_device(self) -> Any:
        """A torch device; verl passes it to ``tensor.to`` and ``torch.device`` only."""
        return torch.device("cpu")

    def device_count(self) -> int:
        """One device per process."""
        return 1

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        """CPUs have no compute capability."""
        return None, None

    def communication_backend_name(self) -> str:
        """Gloo."""
        return "gloo"

    def visible_devices_envvar(self) -> str:
        """Unused on a CPU, but verl wants a name."""
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:  # type: ignore[override]
        """No profiler ranges."""
        yield

    def ray_resource_name(self) -> str:
        """``GPU``, declared to Ray without being real: verl's placement groups know no other (ray/base.py:144)."""
        return "GPU"

    def ray_resource_options(self, num_gpus: float) -> dict[str, Any]:
        """The declared resource."""
        return {"num_gpus": num_gpus}

    def ray_noset_envvars(self) -> list[str]:
        """None."""
        return []

    def is_ipc_supported(self) -> bool:
        """No device IPC: verl then sends weights through shared memory (bucketed_weight_transfer.py:186)."""
        return False


def register() -> None:
    """Make ``VERL_PLATFORM=cpu`` known to verl in this process."""
    PlatformRegistry.register(platform="cpu")(CPUPlatform)
