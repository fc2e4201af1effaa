from pathlib import Path

import pytest

from lipo.common import LipoError, load_yaml
from merge import MergeConfig

RECIPE = """
method: average
base: models/base
experts: {math: models/math}
out: runs/merged
rules:
  - match: ^visual
    use: base
"""


def _load(tmp_path: Path, *overrides: str) -> MergeConfig:
    (tmp_path / "merge.yaml").write_text(RECIPE)
    return load_yaml(MergeConfig, tmp_path / "merge.yaml", overrides)


def test_recipe(tmp_path: Path) -> None:
    config = _load(tmp_path, "options.scale=0.5", "experts.ocr=models/ocr")
    assert config.experts == {"math": Path("models/math"), "ocr": Path("models/ocr")}
    assert config.options == {"scale": 0.5} and config.rules[0].use == "base" and config.dtype == "float32"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dtype=int8", "dtype is 'int8'"),
        ("workers=0", "workers is 0"),
        ("metod=amm", "did you mean 'method'"),
        ("rules=[{mach: x}]", "unknown key 'mach'"),
        ("experts=models/math", "experts is 'models/math'"),
    ],
)
def test_mistakes(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(LipoError, match=message):
        _load(tmp_path, override)


def test_the_shipped_recipe_is_valid() -> None:
    config = load_yaml(MergeConfig, Path(__file__).parents[2] / "recipes" / "tiny" / "merge.yaml")
    assert config.method == "amm" and set(config.experts) == {"math", "structured", "ocr"}
