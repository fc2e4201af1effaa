import torch

from merge.methods import AverageOptions, average


def test_by_hand() -> None:
    base = torch.tensor([1.0, 2.0])
    experts = [torch.tensor([2.0, 2.0]), torch.tensor([4.0, 5.0])]
    assert average(base, experts, AverageOptions())[0].tolist() == [3.0, 3.5]
    assert average(base, experts, AverageOptions(scale=0.5))[0].tolist() == [2.0, 2.75]
    assert average(base, experts, AverageOptions(scale=0.0))[0].tolist() == [1.0, 2.0]
