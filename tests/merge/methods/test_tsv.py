import pytest
import torch

from merge.methods import TsvOptions, tsv


@pytest.mark.parametrize("shape", [(9, 15), (15, 9), (2, 7)])
def test_against_the_formula(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(4)
    base = torch.randn(*shape, generator=generator, dtype=torch.float64)
    tau = [torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(3)]
    rank = max(1, min(shape) // 3)
    parts = [torch.linalg.svd(t, full_matrices=False) for t in tau]
    left = torch.cat([u[:, :rank] for u, _, _ in parts], 1)
    values = torch.cat([s[:rank] for _, s, _ in parts])
    right = torch.cat([v[:rank] for _, _, v in parts], 0)

    def whiten(matrix: torch.Tensor) -> torch.Tensor:
        # The published alternative to Procrustes, equal to it: U (UᵀU)^(-1/2); pinv where n·r exceeds the side.
        values, vectors = torch.linalg.eigh(matrix.T @ matrix)
        root = torch.where(values > 1e-9, values.clamp_min(1e-9).rsqrt(), 0)
        return matrix @ vectors @ torch.diag(root) @ vectors.T

    expected = whiten(left) @ torch.diag(values) @ whiten(right.T).T
    got, log = tsv(base, [base + t for t in tau], TsvOptions())
    torch.testing.assert_close(got - base, expected, rtol=1e-8, atol=1e-10)
    assert log == {"rank": rank}


def test_orthogonal_experts_are_summed() -> None:
    first, second = torch.zeros(4, 4), torch.zeros(4, 4)
    first[0, 0], first[1, 1], second[2, 2], second[3, 3] = 1.0, 2.0, 3.0, 4.0
    torch.testing.assert_close(tsv(torch.zeros(4, 4), [first, second], TsvOptions())[0], first + second)
