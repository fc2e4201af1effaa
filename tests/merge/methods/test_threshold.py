import pytest
import torch

from merge.methods import _threshold
from merge.methods._threshold import kth_largest


@pytest.mark.parametrize("share", [0.001, 0.2, 0.77, 1.0])
@pytest.mark.parametrize("pending", [10, 1 << 20])
def test_in_blocks_as_in_whole(monkeypatch: pytest.MonkeyPatch, share: float, pending: int) -> None:
    monkeypatch.setattr(_threshold, "_PENDING", pending)
    generator = torch.Generator().manual_seed(0)
    # Of bfloat16 models the differences have few distinct values: many fall into one bucket.
    vectors = torch.randn(3, 10_000, generator=generator).mul_(1e-3).bfloat16().float()
    vectors[1] = 0
    vectors[2, ::2] = 3e-41
    rank = max(1, int(share * 10_000))
    expected = vectors.abs().sort(1, descending=True).values[:, rank - 1]
    for size in (10_000, 999):
        assert torch.equal(kth_largest(lambda size=size: vectors.split(size, 1), share), expected)


def test_nan_is_no_crash() -> None:
    """The engine names the file that holds it, when it has read the tensor."""
    vectors = torch.full((2, 100), float("nan"))
    assert kth_largest(lambda: vectors.split(30, 1), 0.2).isnan().all()


class _Elsewhere(torch.Tensor):
    """As if on a GPU: it can be brought here, and mixes with nothing that is."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is not torch.Tensor.cpu:
            raise RuntimeError("Expected all tensors to be on the same device")
        with torch._C.DisableTorchFunctionSubclass():
            return args[0].as_subclass(torch.Tensor)


def test_counts_of_another_device_are_brought_here(monkeypatch: pytest.MonkeyPatch) -> None:
    bincount = torch.bincount
    monkeypatch.setattr(torch, "bincount", lambda numbers: bincount(numbers).as_subclass(_Elsewhere))
    assert kth_largest(lambda: torch.arange(100.0)[None].split(30, 1), 0.2) == 80


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_as_on_the_cpu() -> None:
    vectors = torch.randn(3, 10_000)
    found = kth_largest(lambda: vectors.cuda().split(999, 1), 0.2)
    assert found.is_cuda and torch.equal(found.cpu(), kth_largest(lambda: vectors.split(999, 1), 0.2))
