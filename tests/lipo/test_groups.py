import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipo.groups import Groups, group_ids

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 50), st.floats(-5, 5, width=32)), min_size=1, max_size=30)


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a", "b", 7],
        np.array(["b", "a", "b", 7], dtype=object),
        np.array([40, -3, 40, 7]),
        np.array([1.5, 0.5, 1.5, 7]),
        torch.tensor([40, -3, 40, 7]),
    ],
)
def test_group_ids_tell_labels_of_any_kind_apart(labels):
    ids = group_ids(labels)
    assert ids.dtype == torch.int64
    assert ids[0] == ids[2]
    assert sorted(set(ids.tolist())) == [0, 1, 2]


def test_statistics_by_hand():
    groups = Groups(torch.tensor([1, 0, 1, 1, 1]), torch.tensor([4, 9, 1, 3, 2]))
    assert groups.order.tolist() == [1, 2, 4, 3, 0]
    x = groups.sort(torch.tensor([8.0, 5.0, 1.0, 3.0, 2.0], dtype=torch.float64))
    assert x.tolist() == [5, 1, 2, 3, 8]
    assert groups.mean(x).tolist() == [5, 3.5, 3.5, 3.5, 3.5]
    assert groups.median(x).tolist() == [5, 2.5, 2.5, 2.5, 2.5]
    assert groups.min(x).tolist() == [5, 1, 1, 1, 1]
    assert groups.max(x).tolist() == [5, 8, 8, 8, 8]
    assert groups.size().tolist() == [1, 4, 4, 4, 4]
    assert groups.rank().tolist() == [0, 0, 1, 2, 3]
    assert groups.sum(x > 2).tolist() == [1, 2, 2, 2, 2]
    assert groups.mean(x, x > 2).tolist() == [5, 5.5, 5.5, 5.5, 5.5]
    assert groups.mean(x, x > 4).tolist() == [5, 8, 8, 8, 8]
    assert groups.mean(x, x > 5).tolist() == [0, 8, 8, 8, 8]
    assert groups.min(x, where=x > 5).tolist() == [torch.inf, 8, 8, 8, 8]
    assert groups.max(x, where=x < 3).tolist() == [-torch.inf, 2, 2, 2, 2]
    assert groups.std(x).tolist() == pytest.approx([0] + [np.std([8, 1, 3, 2])] * 4)
    assert groups.std(x, unbiased=True).tolist() == pytest.approx([0] + [np.std([8, 1, 3, 2], ddof=1)] * 4)
    assert groups.per_group(groups.max(x)).tolist() == [5, 8]


@given(rows, st.randoms(use_true_random=False))
def test_results_do_not_depend_on_row_order(rows, random):
    shuffled = random.sample(range(len(rows)), len(rows))

    def means(picked):
        group, length, value = (torch.tensor(column) for column in zip(*picked, strict=True))
        value = value.double()
        groups = Groups(group_ids(group), length, value)
        weights = groups.sort(torch.exp(-length.double() / 7))
        return groups.restore(groups.mean(groups.sort(value), weights))

    assert torch.equal(means(rows)[shuffled], means([rows[i] for i in shuffled]))


@given(rows)
def test_statistics_match_numpy(rows):
    group, length, value = (np.array(column) for column in zip(*rows, strict=True))
    value = value.astype(np.float64)
    groups = Groups(group_ids(group), torch.from_numpy(length))
    x, lengths = groups.sort(torch.from_numpy(value)), groups.sort(torch.from_numpy(length)).double()
    weights = torch.exp(-lengths / 9)
    for ours, theirs in (
        (groups.mean(x), lambda m: value[m].mean()),
        (groups.std(x), lambda m: value[m].std()),
        (groups.median(lengths), lambda m: np.median(length[m])),
        (groups.mean(x, weights), lambda m: np.average(value[m], weights=np.exp(-length[m] / 9))),
        (groups.max(x), lambda m: value[m].max()),
    ):
        expected = [theirs(group == g) for g in group]
        assert groups.restore(ours).tolist() == pytest.approx(expected, abs=1e-9)


@given(st.floats(-1e3, 1e3), st.integers(1, 9), st.lists(st.floats(0, 1), min_size=9, max_size=9))
def test_equal_values_have_exactly_their_mean_and_no_spread(value, count, weights):
    groups = Groups(torch.zeros(count, dtype=torch.int64))
    x, w = torch.full((count,), value, dtype=torch.float64), torch.tensor(weights[:count], dtype=torch.float64)
    assert (groups.mean(x) == x).all()
    assert (groups.std(x) == 0).all()
    assert (groups.std(x, w) == 0).all()


def test_no_rows():
    groups = Groups(torch.empty(0, dtype=torch.int64), torch.empty(0))
    assert groups.mean(torch.empty(0)).numel() == 0
