"""Checkpoints that verl's own manager wrote from FSDP models on two ranks, and shards that cannot be trusted."""

import ast
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import merge
from lipo.common import LipoError
from merge import MergeConfig, build_plan
from merge.checkpoint import open_checkpoint
from merge.fsdp import read_shards
from merge.reader import read_tensor
from merge.tensor import merge_tensor
from merge.writer import create

RANK = """
import os, sys
import torch
import torch.distributed as dist
from omegaconf import OmegaConf
from torch.distributed.device_mesh import init_device_mesh
from transformers import AutoModelForImageTextToText, AutoProcessor
from verl.utils.checkpoint.fsdp_checkpoint_manager import FSDPCheckpointManager

rank, port, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(rank), "WORLD_SIZE": "2"}
dist.init_process_group("gloo", rank=rank, world_size=2)
mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("fsdp",))
processor = AutoProcessor.from_pretrained(folder + "/math")
contents = OmegaConf.create({"save_contents": ["model"], "load_contents": ["model"]})
for version in (1, 2):
    model = AutoModelForImageTextToText.from_pretrained(folder + "/math", dtype=torch.float32)
    if version == 1:
        from torch.distributed.fsdp import FullyShardedDataParallel
        model = FullyShardedDataParallel(model, device_mesh=mesh, device_id=torch.device("cpu"))
    else:
        from torch.distributed.fsdp import fully_shard
        for layer in model.model.language_model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    manager = FSDPCheckpointManager(model, processing_class=processor, checkpoint_config=contents)
    manager.save_checkpoint(f"{folder}/fsdp{version}/global_step_3/actor", global_step=3)
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, an expert as safetensors, and the same expert as verl saves it under FSDP 1 and 2."""
    from recipes.tiny.model import build_model, save_model

    folder = tmp_path_factory.mktemp("trained")
    model = build_model(0, hidden=64, layers=1, vision_hidden=32, vision_layers=1)
    save_model(model, folder / "base")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            # Changes of this size are what bfloat16 rounds away.
            parameter.add_(1e-5 * torch.randn_like(parameter))
    save_model(model, folder / "math")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", RANK]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(port), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for rank in (0, 1)
    ]
    for rank in ranks:
        output, _ = rank.communicate(timeout=240)
        assert rank.returncode == 0, output.decode()[-3000:]
    return folder


def _merged(base: Path, expert: Path, out: Path) -> bytes:
    plan = build_plan(MergeConfig(base=base, experts={"math": expert}, out=out, method="task_arithmetic"))
    out.mkdir()
    for name, layout in plan.layouts.items():
        create(out / name, layout)
    for job in plan.jobs:
        merge_tensor(job, out, list(plan.experts))
    return (out / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_verl_saved_merges_like_the_same_weights_in_safetensors(trained: Path, tmp_path: Path) -> None:
    truth = load_file(trained / "math" / "model.safetensors")
    expected = _merged(trained / "base", trained / "math", tmp_path / "expected")
    for version in ("fsdp1", "fsdp2"):
        step = trained / version / "global_step_3"
        problems: list[str] = []
        checkpoint = open_checkpoint(step, problems)
        assert checkpoint is not None and not problems
        assert checkpoint.tensors.keys() - truth.keys() <= {"lm_head.weight"}
        for name, tensor in truth.items():
            assert torch.equal(read_tensor(checkpoint.tensors[name]), tensor)
        assert _merged(trained / "base", step / "actor", tmp_path / version) == expected
    assert "global_step_3" in _problems(trained / "fsdp1")
    with pytest.raises(LipoError, match="is a training checkpoint; give the model that training started from"):
        _merged(step, trained / "math", tmp_path / "wrong")

    broken = tmp_path / "broken"
    shutil.copytree(step / "actor", broken)
    shard = broken / "model_world_size_2_rank_1.pt"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    assert "model_world_size_2_rank_1.pt" in _problems(broken)
    shutil.copy(broken / "model_world_size_2_rank_0.pt", shard)
    shard.unlink()
    assert "has no model_world_size_2_rank_1.pt" in _problems(broken)


def _problems(directory: Path) -> str:
    problems: list[str] = []
    assert open_checkpoint(directory, problems) is None
    return "\n".join(problems)


def _shard(folder: Path, content: object) -> Path:
    folder.mkdir(parents=True)
    torch.save(content, folder / "model_world_size_1_rank_0.pt")
    return folder


def test_one_rank_with_plain_tensors(tmp_path: Path) -> None:
    tensors = {"model.norm.weight": torch.arange(6.0).view(2, 3), "lm_head.weight": torch.ones(4).bfloat16()}
    files, found = read_shards(_shard(tmp_path / "actor", tensors))
    assert [file.name for file in files] == ["model_world_size_1_rank_0.pt"]
    assert all(torch.equal(read_tensor(found[name]), tensor) for name, tensor in tensors.items())
    assert read_tensor(found["model.norm.weight"], 2, 5).tolist() == [2.0, 3.0, 4.0]


def test_a_shard_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    with pytest.raises(LipoError, match="cannot be read as tensors alone"):
        read_shards(_shard(tmp_path / "actor", {"w": torch.ones(2), "trap": Trap()}))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "is not a table of tensors"),
        ({"w": 3}, "is not a table of tensors"),
        ({"base.q_proj.lora_A.default.weight": torch.ones(2, 2)}, "holds a LoRA adapter"),
        ({"w": torch.arange(6.0).view(2, 3).T}, "is not stored row by row"),
        ({"w": torch.ones(2, dtype=torch.complex64)}, "is torch.complex64"),
    ],
)
def test_shards_of_no_use(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(LipoError, match=message):
        read_shards(_shard(tmp_path / "actor", content))


def test_shards_of_two_runs(tmp_path: Path) -> None:
    folder = _shard(tmp_path / "actor", {"w": torch.ones(2)})
    (folder / "model_world_size_4_rank_0.pt").write_bytes(b"")
    with pytest.raises(LipoError, match="holds shards of runs with"):
        read_shards(folder)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 but no more"])
def test_a_file_that_is_no_shard(tmp_path: Path, content: bytes) -> None:
    folder = _shard(tmp_path / "actor", {})
    (folder / "model_world_size_1_rank_0.pt").write_bytes(content)
    with pytest.raises(LipoError, match="cannot be read as tensors alone"):
        read_shards(folder)
    assert "huggingface/config.json is missing" in _problems(tmp_path / "actor")


def test_nothing_in_merge_unpickles_freely() -> None:
    loads = []
    for path in sorted(Path(merge.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {module.split(".")[0] for module in modules}
            assert not roots & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}, path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "load", "np.load", "numpy.load"):
                loads.append((path.name, {k.arg: ast.unparse(k.value) for k in node.keywords}.get("weights_only")))
    assert loads == [("fsdp.py", "True")]
