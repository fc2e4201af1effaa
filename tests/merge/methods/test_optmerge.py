import pytest
import torch

from merge.methods import OptMergeOptions, optmerge


@pytest.mark.parametrize("shape", [(12, 20), (20, 12), (2, 9)])
def test_against_the_published_objective(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(2)
    base = torch.randn(*shape, generator=generator, dtype=torch.float64)
    tau = [torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(3)]
    rank = max(1, min(shape) // 3)
    targets, rows = [], []
    for vector in tau:
        left, values, right = torch.linalg.svd(vector, full_matrices=False)
        targets.append(left[:, :rank] @ torch.diag(values[:rank]) @ right[:rank])
        rows.append(torch.diag(values[:rank]) @ right[:rank])
    merged = (sum(tau) / 3).requires_grad_()
    sgd = torch.optim.SGD([merged], lr=1e-2, momentum=0.9)
    for _ in range(50):
        sgd.zero_grad()
        terms = (
            ((merged - t) @ b.T).square().sum() / v.square().sum() for t, b, v in zip(targets, rows, tau, strict=True)
        )
        loss = sum(terms)
        loss.backward()
        sgd.step()
    got, log = optmerge(base, [base + vector for vector in tau], OptMergeOptions(steps=50, lr=1e-2))
    torch.testing.assert_close(got - base, merged.detach(), rtol=1e-9, atol=1e-11)
    assert log["loss_end"] < log["loss_start"]


def test_defaults_are_the_published_ones() -> None:
    assert OptMergeOptions() == OptMergeOptions(scale=1.0, steps=300, lr=1e-4)
