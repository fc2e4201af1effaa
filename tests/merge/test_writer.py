import hashlib
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from merge.reader import read_header
from merge.writer import TensorWriter, create, hash_range, layout

TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64, "BOOL": torch.bool}


def _write(path: Path, offset: int, tensor: torch.Tensor) -> str:
    with TensorWriter(path, offset) as writer:
        writer.write(tensor)
        return writer.sha256


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(lambda n: n != "__metadata__"),
        st.tuples(st.sampled_from(sorted(TYPES)), st.lists(st.integers(0, 4), max_size=3).map(tuple)),
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_safetensors_reads_what_was_written_in_any_order(tmp_path_factory, tensors, random) -> None:
    path: Path = tmp_path_factory.mktemp("out") / "model.safetensors"
    plan = layout(tensors)
    create(path, plan)
    values = {n: torch.randn(shape).mul(3).to(TYPES[dtype]) for n, (dtype, shape) in tensors.items()}
    names = list(values)
    random.shuffle(names)
    for name in names:
        _write(path, plan.offsets[name], values[name])
    assert path.stat().st_size == plan.size
    loaded = load_file(path)
    assert loaded.keys() == values.keys()
    assert all(loaded[n].dtype == v.dtype and torch.equal(loaded[n], v) for n, v in values.items())
    assert read_header(path).keys() == values.keys()


def test_creating_again_keeps_what_is_written(tmp_path: Path) -> None:
    path, plan = tmp_path / "m.safetensors", layout({"w": ("F32", (3,))})
    create(path, plan)
    digest = _write(path, plan.offsets["w"], torch.tensor([1.0, 2.0, 3.0]))
    create(path, plan)
    assert load_file(path)["w"].tolist() == [1.0, 2.0, 3.0]
    assert hash_range(path, plan.offsets["w"], 12) == digest


def test_transposed_tensors_are_written_in_row_major_order(tmp_path: Path) -> None:
    path, plan = tmp_path / "m.safetensors", layout({"w": ("F32", (2, 3))})
    create(path, plan)
    _write(path, plan.offsets["w"], torch.arange(6.0).view(3, 2).T)
    assert load_file(path)["w"].tolist() == [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]


def test_parts_follow_each_other(tmp_path: Path) -> None:
    path, plan = tmp_path / "m.safetensors", layout({"v": ("F32", (1,)), "w": ("F32", (4,))})
    create(path, plan)
    with TensorWriter(path, plan.offsets["w"]) as writer:
        for part in torch.arange(4.0).split(3):
            writer.write(part)
    assert load_file(path)["w"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert hash_range(path, plan.offsets["w"], 16) == writer.sha256


def test_hash_of_bytes_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"abc")
    assert hash_range(tmp_path / "short", 1, 100) == hashlib.sha256(b"bc").hexdigest()
