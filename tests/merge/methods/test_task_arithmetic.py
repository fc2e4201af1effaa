import torch

from merge.methods import AverageOptions, TaskArithmeticOptions, average, task_arithmetic


def test_by_hand() -> None:
    base = torch.tensor([1.0, 2.0])
    experts = [torch.tensor([2.0, 2.0]), torch.tensor([4.0, 5.0])]
    assert task_arithmetic(base, experts, TaskArithmeticOptions(scale=0.5))[0].tolist() == [3.0, 3.5]
    torch.testing.assert_close(
        task_arithmetic(base, experts, TaskArithmeticOptions())[0], torch.tensor([1 + 0.3 * 4, 2 + 0.3 * 3])
    )


def test_one_over_n_is_the_average() -> None:
    generator = torch.Generator().manual_seed(0)
    base, *experts = torch.randn(4, 10, generator=generator)
    torch.testing.assert_close(
        task_arithmetic(base, experts, TaskArithmeticOptions(scale=1 / 3))[0],
        average(base, experts, AverageOptions())[0],
    )
