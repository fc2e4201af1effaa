import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.methods import TiesOptions, ties
from merge.methods.ties import thresholds


def test_by_hand() -> None:
    base = torch.ones(6)
    experts = [
        torch.tensor([5.0, -3.0, 0.1, 0.0, 2.0, 0.2]),
        torch.tensor([-0.1, 2.0, -0.2, 3.0, -1.0, 0.1]),
        torch.tensor([0.0, -4.0, 0.3, 1.0, 0.1, -2.0]),
    ]
    # Half of six is three. Kept: (5, −3, ·, ·, 2, ·), (·, 2, ·, 3, −1, ·), (·, −4, ·, 1, ·, −2).
    # The sums (5, −5, 0, 4, 1, −2) elect the signs; those that agree average to (5, −3.5, 0, 2, 2, −2).
    merged, _ = ties(base, [base + e for e in experts], TiesOptions(density=0.5))
    torch.testing.assert_close(merged - base, torch.tensor([5.0, -3.5, 0.0, 2.0, 2.0, -2.0]))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.floats(-(2.0**99), 2.0**99, width=32) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-40]),
        min_size=1,
        max_size=40,
    ),
    st.floats(0.001, 1),
    st.integers(1, 9),
)
def test_threshold_is_the_kth_largest_magnitude(values: list[float], density: float, block: int) -> None:
    vector = torch.tensor(values)
    count = max(1, int(density * len(values)))
    got = thresholds(lambda: (part[None] for part in vector.split(block)), TiesOptions(density=density))["thresholds"]
    assert float(got[0]) == sorted(vector.abs().tolist(), reverse=True)[count - 1]


@pytest.mark.parametrize("density", [0.1, 0.37, 1.0])
def test_against_a_plain_implementation(density: float) -> None:
    generator = torch.Generator().manual_seed(7)
    base = torch.randn(31, 17, generator=generator, dtype=torch.float64)
    tau = torch.randn(4, 31, 17, generator=generator, dtype=torch.float64)
    kept = torch.zeros_like(tau)
    for i, vector in enumerate(tau):
        top = vector.abs().flatten().topk(int(density * vector.numel())).indices
        kept[i].view(-1)[top] = vector.flatten()[top]
    sign = kept.sum(0).sign()
    agree = (kept.sign() == sign) & (kept != 0)
    expected = (kept * agree).sum(0) / agree.sum(0).clamp(min=1)
    got, _ = ties(base, list(base + tau), TiesOptions(density=density))
    torch.testing.assert_close(got - base, expected)
