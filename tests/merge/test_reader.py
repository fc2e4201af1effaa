import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lipo.common import LipoError
from merge.reader import LazyTensors, read_header, read_tensor


def _file(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def _f32(begin: int, end: int, *shape: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool]


def test_reads_what_safetensors_wrote(tmp_path: Path) -> None:
    tensors = {str(dtype): torch.arange(-6, 6).view(3, 4).to(dtype) for dtype in DTYPES}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.empty(0, 3)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    header = read_header(tmp_path / "x.safetensors")
    assert header.keys() == tensors.keys()
    for name, tensor in tensors.items():
        read = read_tensor(header[name])
        assert read.dtype == tensor.dtype and torch.equal(read, tensor)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12))
def test_reads_parts(tmp_path_factory: pytest.TempPathFactory, a: int, b: int) -> None:
    path = tmp_path_factory.mktemp("parts") / "x.safetensors"
    values = torch.arange(12, dtype=torch.float32)
    save_file({"w": values.view(3, 4), "v": values.clone()}, path)
    start, stop = sorted((a, b))
    part = read_tensor(read_header(path)["w"], start, stop)
    assert torch.equal(part.flatten(), values[start:stop])


def test_lazy_tensors_read_on_demand(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2, 2), "b": torch.zeros(2, 2)}, tmp_path / "x.safetensors")
    header = read_header(tmp_path / "x.safetensors")
    lazy = LazyTensors([header["a"], header["b"]], torch.float64)
    (tmp_path / "x.safetensors").write_bytes(b"")
    assert len(lazy) == 2 and len(lazy[1:]) == 1
    with pytest.raises(LipoError, match="became shorter"):
        lazy[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_weights_are_named(tmp_path: Path, value: float) -> None:
    save_file({"a.weight": torch.tensor([1.0, value])}, tmp_path / "x.safetensors")
    with pytest.raises(LipoError, match=r"'a\.weight' in .*x\.safetensors holds NaN or infinite"):
        read_tensor(read_header(tmp_path / "x.safetensors")["a.weight"])


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_is_named_and_not_loaded(tmp_path: Path, protocol: int) -> None:
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Trap(), protocol=protocol))
    with pytest.raises(LipoError, match="is a pickle"):
        read_header(path)
    torch.save({"w": torch.ones(2)}, path)
    with pytest.raises(LipoError, match="is a pickle"):
        read_header(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": _f32(0, 8, 2)}, b"\0" * 4, "cut short"),
        ({"a": _f32(0, 8, 2)}, b"\0" * 12, "holds .* bytes but"),
        ({"a": _f32(0, 8, 2), "b": _f32(4, 12, 2)}, b"\0" * 12, "'b' .* overlaps"),
        ({"a": _f32(0, 8, 2), "b": _f32(12, 20, 2)}, b"\0" * 20, "'b' .* leaves a hole"),
        ({"a": _f32(0, 8, 3)}, b"\0" * 8, "cannot have 8 bytes"),
        ({"a": _f32(8, 0, 2)}, b"\0" * 8, "cannot have -8 bytes"),
        ({"a": _f32(0, 8, -2)}, b"\0" * 8, "not a natural number"),
        ({"a": _f32(0, 4, True)}, b"\0" * 4, "not a natural number"),
        ({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, b"\0" * 4, "dtype F8_E4M3"),
        ({"a": {"dtype": "F32", "shape": [1]}}, b"\0" * 4, "broken header"),
        ({"a": [1, 2]}, b"", "broken header"),
        ([1, 2], b"", "broken header: not a mapping"),
        (b'{"a": 1, "a": 2}', b"", "occurs twice"),
        (b"{{{", b"", "broken header"),
        (b"[" * 100_000, b"", "broken header"),
    ],
)
def test_broken_headers(tmp_path: Path, header: object, data: bytes, message: str) -> None:
    with pytest.raises(LipoError, match=message):
        read_header(_file(tmp_path / "x.safetensors", header, data))


@pytest.mark.parametrize("content", [b"", b"abc", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 50) + b"{}"])
def test_not_safetensors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(LipoError, match="not a safetensors file"):
        read_header(tmp_path / "x.safetensors")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 250), st.integers(0, 255))
def test_any_bytes_give_an_answer_or_a_message(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int, value: int
) -> None:
    path = tmp_path_factory.mktemp("noise") / "x.safetensors"
    _file(path, {"a": _f32(0, 8, 2), "b": _f32(8, 24, 2, 2)}, b"\0" * 24)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    for data in (bytes(content), noise, struct.pack("<Q", len(noise)) + noise):
        path.write_bytes(data)
        try:
            for info in read_header(path).values():
                assert read_tensor(info).numel() == info.numel
        except LipoError:
            pass
