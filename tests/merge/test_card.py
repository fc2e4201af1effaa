import json
from pathlib import Path

from merge import MergeConfig, build_plan
from merge.card import model_card


def test_card(models, tmp_path: Path) -> None:
    experts = {"math": models["math"], "<script>|`x`": models["ocr"]}
    config = MergeConfig(base=models["base"], experts=experts, out=tmp_path / "merged", options={"steps": 7})
    text = model_card(build_plan(config), {"median_norm_ratio": 1.5, "seconds": 2})
    assert text.startswith("---\nlibrary_name: transformers\n") and "# merged\n" in text
    assert "steps=7" in text and "| average |" in text and "1.5" in text
    assert f"| math | `{models['math']}` |" in text
    assert "<script>" not in text.partition("```json")[0]
    recipe = json.loads(text.partition("```json")[2].partition("```")[0])
    assert recipe["method"] == "amm" and recipe["options"]["steps"] == 7
