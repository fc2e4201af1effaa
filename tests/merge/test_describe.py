from pathlib import Path

from merge import MergeConfig, Rule, build_plan
from merge.describe import groups, peak_memory


def test_groups(models, tmp_path: Path) -> None:
    experts = {name: path for name, path in models.items() if name != "base"}
    rules = (Rule(match="^visual", use="base"), Rule(match="norm", use="average", options={"scale": 0.5}))
    config = MergeConfig(base=models["base"], experts=experts, out=tmp_path / "out", rules=rules, method="ties")
    plan = build_plan(config)
    rows = groups(plan)
    assert sum(row.tensors for row in rows) == len(plan.jobs)
    assert [row.parameters for row in rows] == sorted((row.parameters for row in rows), reverse=True)
    by_method = {row.method: row for row in rows}
    assert by_method["base"].options == "" and by_method["base"].tensors == 2
    assert by_method["average"].options == "scale=0.5" and by_method["average"].parameters == 8
    assert by_method["ties"].options == "scale=1.0 density=0.2"
    assert "model.layers.*.mlp.up_proj.weight" in by_method["ties"].examples
    assert peak_memory(plan) == max(job.effort.memory for job in plan.jobs)
