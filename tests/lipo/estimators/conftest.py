import pytest
import torch


@pytest.fixture
def advantages():
    """Advantages of one group, without division by σ unless asked for."""

    def run(rule, scores, lengths, *, normalize_by_std=False, **options):
        estimate = rule(
            torch.tensor(scores, dtype=torch.float64),
            torch.tensor(lengths),
            torch.zeros(len(scores), dtype=torch.int64),
            rule.options(options),
            normalize_by_std=normalize_by_std,
        )
        return pytest.approx(estimate.advantages.tolist(), abs=2e-5)

    return run


@pytest.fixture
def statistics():
    """Statistics of one group."""

    def run(rule, scores, lengths, **options):
        groups = torch.zeros(len(scores), dtype=torch.int64)
        return rule(torch.tensor(scores), torch.tensor(lengths), groups, rule.options(options)).statistics

    return run
