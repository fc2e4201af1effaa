"""The cluster files: Ray's own schema, Kubernetes' structure, bash's parser, and every path and option they name."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml
from typer.main import get_command

from lipo.cli._app import app

FOLDER = Path(__file__).parents[2] / "recipes/ray"
ROOT = FOLDER.parents[1]


def test_there_are_these():
    assert {p.name for p in FOLDER.iterdir()} == {"local.yaml", "aws.yaml", "kuberay.yaml", "slurm.sh"}


@pytest.mark.parametrize("name", ["local.yaml", "aws.yaml"])
def test_cluster_files_follow_rays_schema(name):
    """As 'ray up' sees them: completed with the provider's defaults first."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    schema = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())
    config = prepare_config(yaml.safe_load((FOLDER / name).read_text("utf-8")))
    jsonschema.validate(config, schema)
    validate_config(config)
    assert config["available_node_types"]
    config["auht"] = {}
    with pytest.raises(jsonschema.ValidationError, match="auht"):
        jsonschema.validate(config, schema)


@pytest.mark.parametrize("name", ["local.yaml", "aws.yaml"])
def test_the_dashboard_stays_on_loopback(name):
    text = (FOLDER / name).read_text("utf-8")
    assert "--dashboard-host=127.0.0.1" in text and "0.0.0.0" not in text


def test_kuberay():
    manifest = yaml.safe_load((FOLDER / "kuberay.yaml").read_text("utf-8"))
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", manifest["metadata"]["name"])
    spec = manifest["spec"]
    assert isinstance(yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"], dict)
    cluster = spec["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert len(groups) == 2
    for group in groups:
        assert isinstance(group["rayStartParams"], dict)
        pod = group["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert container["resources"]["limits"] == container["resources"]["requests"]
            assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
            assert all("value" not in entry for entry in container.get("env", [])), "secrets come from a Secret"
    assert cluster["workerGroupSpecs"][0]["replicas"] == 1


def test_slurm_is_bash():
    subprocess.run(["bash", "-n", FOLDER / "slurm.sh"], check=True)
    done = subprocess.run(["bash", FOLDER / "slurm.sh"], capture_output=True, text=True)
    assert done.returncode == 2 and "usage: sbatch" in done.stderr
    assert (FOLDER / "slurm.sh").stat().st_mode & 0o111


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda p: p.name)
def test_what_they_name_exists(path):
    text = path.read_text("utf-8")
    recipes = set(re.findall(r"recipes/[\w/]+\.(?:yaml|sh)", text))
    assert recipes and all((ROOT / recipe).is_file() for recipe in recipes)
    commands = set(re.findall(r"\blipo (?!-)([a-z]+) recipes", text)) | set(re.findall(r"lipo\.cli ([a-z]+)", text))
    assert commands <= set(get_command(app).commands)
    profiles = {p.stem for p in (ROOT / "recipes/qwen2_5_vl_3b/profile").glob("*.yaml")}
    assert set(re.findall(r"\bprofile=(\w+)", text)) <= profiles


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_slurm_starts_a_real_ray_and_stops_it(models, tmp_path):
    """With srun and scontrol of one node, which run what they are given here."""
    import os
    import sys

    import psutil

    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {
        "srun": 'while [[ "$1" == --* ]]; do shift; done\nexec "$@"',
        "scontrol": "echo localhost",
        "hostname": "echo 127.0.0.1",
    }
    for name, text in scripts.items():
        (tools / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "merge.yaml").write_text(
        f"method: average\nbase: {models}/base\nexperts: {{math: {models}/math}}\nout: merged\n"
    )
    mark = f"slurm-test-{os.getpid()}"
    environment = {**os.environ, "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}", "MARK": mark,
                   "SLURM_JOB_NODELIST": "localhost", "SLURM_JOB_ID": str(os.getpid()), "SLURM_CPUS_PER_TASK": "2",
                   "PYTHONPATH": str(ROOT), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # fmt: skip
    # 'ray stop' would end every Ray of this machine's user, those of other tests included: here only our own.
    (tools / "ray").write_text(
        f'#!/usr/bin/env bash\nif [[ "$1" == stop ]]; then exec {sys.executable} {tools}/stop.py; fi\n'
        f'exec {Path(sys.executable).parent}/ray "$@"\n'
    )
    (tools / "ray").chmod(0o755)
    (tools / "stop.py").write_text(
        "import psutil\n"
        "for p in psutil.process_iter():\n"
        "    try:\n"
        f"        ours = p.environ().get('MARK') == {mark!r} and 'ray' in ' '.join(p.cmdline())\n"
        "    except psutil.Error:\n        continue\n"
        "    if ours and p.pid not in {q.pid for q in psutil.Process().parents()}: p.terminate()\n"
    )
    command = ["bash", FOLDER / "slurm.sh", "merge", "merge.yaml", "address=auto"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "merged/manifest.json").is_file()
    psutil.wait_procs([p for p in psutil.process_iter() if _has(p, mark)], timeout=30)
    assert not [p.cmdline()[:3] for p in psutil.process_iter() if _has(p, mark)]


def _has(process, mark):
    import psutil

    try:
        return process.environ().get("MARK") == mark and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
