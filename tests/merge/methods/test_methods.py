"""Laws that hold for every method, whatever it does in between."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipo.common import LipoError
from merge.methods import get_method, method_names, task_vectors

METHODS = method_names()
# For these, identical experts are one expert. Others add the experts up, or stop early on the way from their sum.
IDEMPOTENT = {
    "amm": {"init": "mean", "steps": 50},
    "average": {},
    "dare_linear": {"scale": 1 / 3, "drop": 0.0},
    "dare_ties": {"drop": 0.0},
    "optmerge": {},
    "swudi": {"init": "mean"},
    "task_arithmetic": {"scale": 1 / 3},
    "ties": {"density": 1.0},
    "wudi": {"init": "mean", "steps": 50},
}
# What makes one expert count fully where the default keeps only a part. Iso-C flattens the spectrum even of one.
FULL = {
    "dare_linear": {"scale": 1.0, "drop": 0.0},
    "dare_ties": {"drop": 0.0},
    "task_arithmetic": {"scale": 1.0},
    "ties": {"density": 1.0},
}
# Fewer steps than by default, to save time where the law holds for any number.
BRIEF = {"amm": {"steps": 20}, "optmerge": {"steps": 20}, "wudi": {"steps": 20}}
# Draws depend on the place of an expert in the list; the engine sorts experts by name.
ORDERED = [name for name in METHODS if get_method(name).seeded]


def _options(name: str, values: dict | None = None):
    return get_method(name).parse_options(values or {}, "options")


def _tensors(seed: int, rows: int, columns: int, count: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(rows, columns, generator=generator)
    return base, [base + 1e-3 * torch.randn(rows, columns, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("name", METHODS)
def test_zero_deltas_return_the_base_bit_for_bit(name: str) -> None:
    base = torch.tensor([[0.0, -0.0, 1.5], [-3e-39, 7.0, -1e30]])
    merged, _ = get_method(name).function(base, [base.clone(), base.clone()], _options(name))
    assert torch.equal(merged.view(torch.int32), base.view(torch.int32))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "iso_c"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_one_expert_is_returned(name: str, seed: int, rows: int, columns: int) -> None:
    base, (expert,) = _tensors(seed, rows, columns, 1)
    merged, _ = get_method(name).function(base, [expert], _options(name, FULL.get(name)))
    torch.testing.assert_close(merged, expert, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", IDEMPOTENT)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_identical_experts_are_returned(name: str, seed: int, rows: int, columns: int) -> None:
    base, (expert,) = _tensors(seed, rows, columns, 1)
    merged, _ = get_method(name).function(base, [expert] * 3, _options(name, IDEMPOTENT[name]))
    # Adam takes steps, if small ones, on rounding noise: up to 3 % of the deltas, which are 1e-3.
    torch.testing.assert_close(merged, expert, rtol=1e-6, atol=3e-5)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ORDERED])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 9), columns=st.integers(2, 9))
def test_order_of_experts_does_not_matter(name: str, seed: int, rows: int, columns: int) -> None:
    base, (a, b, c) = _tensors(seed, rows, columns, 3)
    function, options = get_method(name).function, _options(name, BRIEF.get(name))
    torch.testing.assert_close(
        function(base, [c, a, b], options)[0] - base, function(base, [a, b, c], options)[0] - base, rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("name", METHODS)
def test_scale_multiplies_the_merged_task_vector(name: str) -> None:
    base, experts = _tensors(3, 6, 5, 3)
    function = get_method(name).function
    one, two = (
        function(base, experts, _options(name, BRIEF.get(name, {}) | {"scale": scale}))[0] - base
        for scale in (1.0, 2.0)
    )
    torch.testing.assert_close(two, 2 * one, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_inputs_are_left_alone(name: str) -> None:
    base, experts = _tensors(4, 6, 5, 3)
    copies = [t.clone() for t in (base, *experts)]
    get_method(name).function(base, experts, _options(name))
    assert all(torch.equal(a, b) for a, b in zip((base, *experts), copies, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_effort_grows_with_the_tensor(name: str) -> None:
    chosen, options = get_method(name), _options(name)
    small, large = chosen.effort((64, 64), 3, options), chosen.effort((512, 512), 3, options)
    assert 0 < small.flops < large.flops
    assert 64 * 64 * 4 < small.memory < large.memory


@pytest.mark.parametrize("name", [n for n in METHODS if get_method(n).elementwise and n not in ORDERED])
def test_elementwise_methods_go_through_in_blocks(name: str) -> None:
    base, experts = _tensors(5, 10, 1, 3)
    function, options = get_method(name).function, _options(name)
    whole, _ = function(base, experts, options)
    blocks = [(base[i : i + 3], [e[i : i + 3] for e in experts]) for i in range(0, 10, 3)]
    prepare = get_method(name).prepare
    prepared = prepare(lambda: (task_vectors(*block) for block in blocks), options) if prepare else {}
    parts = [function(*block, options, **prepared)[0] for block in blocks]
    assert torch.equal(torch.cat(parts), whole)


def test_unknown_method_is_an_error() -> None:
    with pytest.raises(LipoError, match="did you mean 'average'"):
        get_method("avrage")


def test_every_method_says_what_it_does() -> None:
    assert all(get_method(name).summary.endswith(".") or ":" in get_method(name).summary for name in METHODS)
