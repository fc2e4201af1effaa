"""The component that experts have in common, and AMM's option that averages it."""

import pytest
import torch

from lipo.common import LipoError
from merge.methods import AmmOptions, amm, get_method
from merge.methods._shared import split_shared

SHAPES = [(40, 60), (60, 40)]


def _normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _low_rank(rows: int, columns: int, seed: int) -> torch.Tensor:
    return _normal(rows, 2, seed=seed) @ _normal(2, columns, seed=seed + 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_add_up(shape: tuple[int, int]) -> None:
    vectors = _normal(3, *shape, seed=1) + _low_rank(*shape, seed=2)
    rest = vectors.clone()
    common, log = split_shared(rest)
    torch.testing.assert_close(common + rest, vectors)
    assert log["shared"] == pytest.approx(float(common.square().sum() / vectors.square().sum((1, 2)).mean()))


@pytest.mark.parametrize("shape", SHAPES)
def test_identical_experts_have_everything_in_common(shape: tuple[int, int]) -> None:
    vector = _normal(*shape, seed=3)
    common, log = split_shared(vector.repeat(3, 1, 1))
    torch.testing.assert_close(common, vector)
    assert log["shared"] == pytest.approx(1.0)


def test_experts_on_different_inputs_have_nothing_in_common() -> None:
    vectors = torch.zeros(2, 6, 8, dtype=torch.float64)
    vectors[0, :, :4], vectors[1, :, 4:] = _normal(6, 4, seed=4), _normal(6, 4, seed=5)
    both = torch.stack([vectors[0], vectors[1]])
    common, log = split_shared(both)
    # The short side mixes both experts' rows, so a little chance agreement remains.
    assert log["shared"] < 0.25
    tall = torch.stack([v.T.contiguous() for v in vectors])
    assert split_shared(tall.mT.contiguous())[1]["shared"] == pytest.approx(log["shared"])
    assert float(common.norm()) < float(vectors[0].norm())


@pytest.mark.parametrize("shape", SHAPES)
def test_finds_a_common_direction_better_than_the_mean_does(shape: tuple[int, int]) -> None:
    truth = _low_rank(*shape, seed=6)
    vectors = truth + 2 * _normal(3, *shape, seed=8)
    mean_error = float((vectors.mean(0) - truth).norm())
    common, _ = split_shared(vectors.clone())
    assert float((common - truth).norm()) < 0.8 * mean_error


def test_amm_adds_the_common_part_once() -> None:
    base, vector = _normal(10, 12, seed=9), _normal(10, 12, seed=10)
    expert = base + vector
    averaged, log = amm(base, [expert] * 3, AmmOptions(shared="average", precision="float64"))
    torch.testing.assert_close(averaged, expert)
    assert log["shared"] == pytest.approx(1.0)
    added, _ = amm(base, [expert] * 3, AmmOptions(precision="float64", steps=0))
    torch.testing.assert_close(added, base + 3 * vector)


def test_not_in_paper_mode() -> None:
    with pytest.raises(LipoError, match="not part of mode: paper"):
        get_method("amm").parse_options({"mode": "paper", "shared": "average"}, "options")
