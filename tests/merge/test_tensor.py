"""Whole merges in this process, without Ray."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import merge.tensor
from lipo.common import LipoError
from merge import MergeConfig, Plan, Rule, build_plan
from merge.methods import AmmOptions, amm
from merge.tensor import merge_tensor
from merge.writer import create, hash_range


def _merge(plan: Plan, directory: Path) -> tuple[dict[str, torch.Tensor], dict[str, dict]]:
    directory.mkdir()
    for name, layout in plan.layouts.items():
        create(directory / name, layout)
    records = {job.name: merge_tensor(job, directory, list(plan.experts)) for job in reversed(plan.jobs)}
    tensors = {}
    for name in plan.layouts:
        tensors |= load_file(directory / name)
    return tensors, records


def _config(models, **changes) -> MergeConfig:
    experts = {name: path for name, path in models.items() if name != "base"}
    return MergeConfig(**({"base": models["base"], "experts": experts, "out": Path("unused")} | changes))


def _load(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "model.safetensors")


def test_average_by_hand(models, tmp_path: Path) -> None:
    merged, records = _merge(build_plan(_config(models, method="average")), tmp_path / "out")
    math, ocr, base = (_load(models[name]) for name in ("math", "ocr", "base"))
    assert merged.keys() == base.keys()
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, (math[name] + ocr[name]) / 2, rtol=0, atol=1e-6)
    record = records["model.norm.weight"]
    tau = [expert["model.norm.weight"] - base["model.norm.weight"] for expert in (math, ocr)]
    assert record["norms"] == pytest.approx({"math": float(tau[0].norm()), "ocr": float(tau[1].norm())}, rel=1e-5)
    cosine = float(torch.nn.functional.cosine_similarity(tau[0], tau[1], dim=0))
    assert record["cosines"] == {"math ocr": pytest.approx(cosine, rel=1e-4)}
    mean = float((tau[0] + tau[1]).norm() / 2) / float((tau[0].norm() + tau[1].norm()) / 2)
    assert record["norm_ratio"] == pytest.approx(mean, rel=1e-5)
    assert "survived" not in record


def test_amm_of_a_layer_is_the_method_applied_to_it(models, tmp_path: Path) -> None:
    merged, records = _merge(build_plan(_config(models, options={"steps": 20})), tmp_path / "out")
    name = "model.layers.0.mlp.down_proj.weight"
    base, math, ocr = (_load(models[n])[name] for n in ("base", "math", "ocr"))
    expected, log = amm(base, [math, ocr], AmmOptions(steps=20))
    assert torch.equal(merged[name], expected)
    assert log.items() <= records[name].items()


@pytest.mark.parametrize("method", ["average", "amm"])
def test_small_blocks_and_shards_change_nothing(models, tmp_path: Path, write_model, monkeypatch, method: str) -> None:
    whole, records = _merge(build_plan(_config(models, method=method)), tmp_path / "whole")
    sharded = {name: write_model(tmp_path / f"{name}-sharded", _load(path), 3) for name, path in models.items()}
    monkeypatch.setattr(merge.tensor, "BLOCK", 7)
    pieces, other = _merge(build_plan(_config(sharded, method=method)), tmp_path / "pieces")
    assert whole.keys() == pieces.keys()
    assert all(torch.equal(whole[name], pieces[name]) for name in whole)
    for name, record in records.items():
        assert record["sha256"] == other[name]["sha256"]
        assert record["norms"] == pytest.approx(other[name]["norms"], rel=1e-5)


def test_the_recorded_hash_is_that_of_the_bytes(models, tmp_path: Path) -> None:
    plan = build_plan(_config(models, method="average", dtype="bfloat16"))
    _, records = _merge(plan, tmp_path / "out")
    for job in plan.jobs:
        assert records[job.name]["sha256"] == hash_range(tmp_path / "out" / job.file, job.offset, 2 * job.base.numel)


def test_sixteen_bits_report_what_survived(models, tmp_path: Path, write_model) -> None:
    base = {"w": torch.full((64,), 1.0), "v": torch.full((64,), 1.0)}
    # bfloat16 has a spacing of 2^-7 above 1: a delta of 0.001 is lost, one of 2^-7 is kept whole.
    expert = {"w": base["w"] + 0.001, "v": base["v"] + 2**-7}
    paths = {"base": write_model(tmp_path / "b", base), "e": write_model(tmp_path / "e", expert)}
    _, records = _merge(build_plan(_config(paths, method="average", dtype="bfloat16")), tmp_path / "out")
    assert records["w"]["survived"] == 0.0
    assert records["v"]["survived"] == pytest.approx(1.0)


def test_bfloat16_models_with_zero_deltas_come_back_bit_for_bit(tmp_path: Path, write_model, toy) -> None:
    tensors = {name: value.bfloat16() for name, value in toy(0).items()}
    paths = {"base": write_model(tmp_path / "b", tensors), "e": write_model(tmp_path / "e", tensors)}
    merged, _ = _merge(build_plan(_config(paths, dtype="bfloat16")), tmp_path / "out")
    assert all(merged[n].dtype == torch.bfloat16 and torch.equal(merged[n], tensors[n]) for n in tensors)


def test_kept_and_integer_tensors_are_copies(models, tmp_path: Path, write_model, toy) -> None:
    extra = {"counter": torch.tensor([3, 1, 2]), "flag": torch.tensor(True), "none": torch.empty(0, 4)}
    paths = {
        "base": write_model(tmp_path / "b", toy(0) | extra),
        "e": write_model(tmp_path / "e", toy(1) | extra | {"counter": torch.tensor([9, 9, 9])}),
    }
    config = _config(paths, rules=(Rule(match="^visual", use="base"),))
    merged, records = _merge(build_plan(config), tmp_path / "out")
    assert merged["counter"].tolist() == [3, 1, 2] and bool(merged["flag"]) and merged["none"].shape == (0, 4)
    name = "visual.blocks.0.attn.proj.weight"
    assert torch.equal(merged[name], toy(0)[name]) and records[name]["method"] == "base"


def test_nan_in_an_expert(tmp_path: Path, models, write_model, toy) -> None:
    bad = toy(1)
    bad["model.norm.weight"][3] = float("nan")
    paths = {"base": models["base"], "bad": write_model(tmp_path / "bad", bad)}
    with pytest.raises(LipoError, match=r"'model\.norm\.weight' in .*bad/model\.safetensors holds NaN"):
        _merge(build_plan(_config(paths)), tmp_path / "out")


def test_result_too_large_for_the_output_type(tmp_path: Path, write_model) -> None:
    paths = {"base": write_model(tmp_path / "b", {"w": torch.zeros(3)})}
    paths["e"] = write_model(tmp_path / "e", {"w": torch.full((3,), 1e5)})
    with pytest.raises(LipoError, match="does not fit F16"):
        _merge(build_plan(_config(paths, method="average", dtype="float16")), tmp_path / "out")


def test_float64_models_are_merged_in_float64(tmp_path: Path, write_model) -> None:
    base = torch.tensor([1.0, 2.0], dtype=torch.float64)
    paths = {"base": write_model(tmp_path / "b", {"w": base})}
    paths["e"] = write_model(tmp_path / "e", {"w": base + 1e-12})
    plan = build_plan(_config(paths, method="average"))
    _, records = _merge(plan, tmp_path / "out")
    assert records["w"]["norms"]["e"] == pytest.approx(2**0.5 * 1e-12, rel=1e-3)
