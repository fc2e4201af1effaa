import pytest
import torch
import verl.utils.tensordict_utils as tensordict_utils
from tensordict import TensorDict

import lipo.verl_plugin  # noqa: F401


def nested_position_ids(lengths):
    """(batch, 4, L) M-RoPE ids as TransferQueue hands them over."""
    rows = [torch.arange(4 * n).view(4, n) for n in lengths]
    return rows, torch.nested.as_nested_tensor(rows, layout=torch.jagged)


@pytest.mark.parametrize("lengths", [[5, 5, 5], [5], [4, 4, 4, 4]])
def test_equal_lengths_unbind_to_their_rows(lengths):
    rows, ids = nested_position_ids(lengths)
    data = TensorDict({"position_ids": ids}, batch_size=[len(lengths)])
    tensordict_utils.maybe_fix_3d_position_ids(data)
    for row, back in zip(rows, data["position_ids"].unbind(), strict=True):
        assert torch.equal(row, back)


def test_batch_without_position_ids_is_left_alone():
    data = TensorDict({"x": torch.zeros(2)}, batch_size=[2])
    tensordict_utils.maybe_fix_3d_position_ids(data)
    assert set(data.keys()) == {"x"}
