import dataclasses
import json
from pathlib import Path

import pytest

from lipo.common import sha256_file
from merge import MergeConfig, build_plan
from merge.manifest import MANIFEST, copy_accompanying, is_complete, summarise, write_manifest
from merge.writer import create


def _record(method: str = "average", **values) -> dict:
    return {"method": method, "norm_ratio": 1.0, "cosines": {"a b": 0.5}} | values


@pytest.fixture
def done(models, tmp_path: Path):
    """A plan and its output directory, manifest included."""
    out = tmp_path / "out"
    out.mkdir()
    experts = {name: path for name, path in models.items() if name != "base"}
    plan = build_plan(MergeConfig(base=models["base"], experts=experts, out=out, method="average"))
    for name, layout in plan.layouts.items():
        create(out / name, layout)
    hashes = {str(p): sha256_file(p) for p in [*plan.input_files, *(out / name for name in plan.layouts)]}
    copy_accompanying(plan, out)
    write_manifest(plan, out, hashes, {job.name: _record() for job in plan.jobs}, seconds=1.0)
    return plan, out


def test_manifest_names_what_went_in_and_came_out(done, models) -> None:
    plan, out = done
    content = json.loads((out / MANIFEST).read_text())
    assert content["inputs"]["base"] == {"model.safetensors": sha256_file(models["base"] / "model.safetensors")}
    assert content["inputs"]["experts"]["ocr"] == {
        "model.safetensors": sha256_file(models["ocr"] / "model.safetensors")
    }
    assert content["output"] == {"model.safetensors": sha256_file(out / "model.safetensors")}
    assert content["config"]["options"] == {"scale": 1.0}
    assert content["tensors"].keys() == {job.name for job in plan.jobs}
    assert content["versions"].keys() >= {"lipo", "torch", "python"}


def test_complete_until_something_changes(done, models) -> None:
    plan, _ = done
    assert is_complete(plan)
    other = build_plan(dataclasses.replace(plan.config, options={"scale": 0.5}))
    assert not is_complete(other)
    (models["ocr"] / "model.safetensors").touch()
    assert is_complete(build_plan(plan.config))
    with (models["ocr"] / "model.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\0\0\0")
    assert not is_complete(build_plan(plan.config))


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer_config.json", "config.json"])
def test_not_complete_once_the_base_has_other_files_beside_its_weights(done, models, name: str) -> None:
    plan, out = done
    path = models["base"] / name
    before = path.read_text() if path.exists() else None
    path.write_text('{"dtype": "float32", "model_type": "another"}')
    changed = build_plan(plan.config)
    assert changed.fingerprint == plan.fingerprint and not is_complete(changed)
    copy_accompanying(changed, out)
    assert is_complete(changed)
    path.unlink() if before is None else path.write_text(before)
    assert not is_complete(build_plan(plan.config)), "a file that the base has no longer"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": 1}'])
def test_a_broken_manifest_is_not_complete(done, content: str) -> None:
    plan, out = done
    (out / MANIFEST).write_text(content)
    assert not is_complete(plan)


def test_a_cut_output_is_not_complete(done) -> None:
    plan, out = done
    with (out / "model.safetensors").open("r+b") as file:
        file.truncate(100)
    assert not is_complete(plan)


def test_accompanying_files(models, tmp_path: Path, write_model, toy) -> None:
    base = write_model(
        tmp_path / "b", toy(0), 2, dtype="bfloat16", text_config={"torch_dtype": "bfloat16", "hidden_size": 8}
    )
    for name in ("tokenizer.json", "chat_template.jinja", "modeling_evil.py", "optimizer.pt", "notes.json"):
        (base / name).write_text(name)
    out = tmp_path / "copied"
    out.mkdir()
    copy_accompanying(build_plan(MergeConfig(base=base, experts={"m": models["math"]}, out=out)), out)
    assert {p.name for p in out.iterdir()} == {
        "tokenizer.json",
        "chat_template.jinja",
        "config.json",
        "model.safetensors.index.json",
    }
    config = json.loads((out / "config.json").read_text())
    assert config["dtype"] == "float32" and config["text_config"] == {"torch_dtype": "float32", "hidden_size": 8}
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == toy(0).keys()
    assert index["metadata"]["total_size"] == sum(t.numel() * 4 for t in toy(0).values())


def test_summary() -> None:
    records = {
        "a": _record("amm", norm_ratio=1.5, survived=0.5),
        "b": _record("amm", norm_ratio=None, cosines={}, survived=0.7),
        "c": {"method": "base"},
    }
    records["layers.0.up.weight"] = records["layers.7.up.weight"] = _record(norm_ratio=9.0, survived=0.25)
    assert summarise(records, "amm") == {
        "tensors": {"amm": 2, "average": 2, "base": 1},
        "median_norm_ratio": 1.5,
        "median_expert_cosine": 0.5,
        "median_survived": 0.6,
        "survived": {"a": 0.5, "b": 0.7, "layers.*.up.weight": 0.25},
    }
    assert summarise(records, "ties")["median_norm_ratio"] == 9.0
