import pytest
import torch

from merge.methods import IsoCOptions, iso_c


def test_against_the_formula() -> None:
    generator = torch.Generator().manual_seed(5)
    base, *tau = torch.randn(4, 8, 5, generator=generator, dtype=torch.float64)
    left, values, right = torch.linalg.svd(sum(tau), full_matrices=False)
    got, log = iso_c(base, [base + t for t in tau], IsoCOptions(scale=0.7))
    torch.testing.assert_close(got - base, 0.7 * values.mean() * left @ right)
    assert log["singular_value"] == pytest.approx(float(values.mean()))


def test_spectrum_is_flat_on_the_rank_there_is() -> None:
    generator = torch.Generator().manual_seed(6)
    low = torch.randn(8, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
    got, _ = iso_c(torch.zeros(8, 6), [low, low], IsoCOptions())
    values = torch.linalg.svdvals(got)
    expected = torch.linalg.svdvals(2 * low).mean()
    torch.testing.assert_close(values[:2], expected.repeat(2), rtol=1e-4, atol=0)
    assert float(values[2:].max()) < 1e-5
