import pytest

from reward_fns import RewardOptions, follows_format, repeated_share

GOOD = "<think>a</think>"


@pytest.mark.parametrize(
    "response",
    [
        f"{GOOD}\\boxed{{85}}",
        f"  {GOOD}\n\nThe answer is $\\boxed{{85}}$.\n",
        f"{GOOD}\\[\\boxed{{\\frac{{1}}{{2}}}}\\]<|im_end|>",
        f"{GOOD}\\boxed{{85}}</s>",
        f"{GOOD}**\\boxed{{85}}**",
    ],
)
def test_keeps(response):
    assert follows_format(response)


@pytest.mark.parametrize(
    "response",
    [
        "\\boxed{85}",
        "<think></think>\\boxed{85}",
        "<think> \n</think>\\boxed{85}",
        f"x {GOOD}\\boxed{{85}}",
        f"{GOOD}{GOOD}\\boxed{{85}}",
        "<think>a</think></think>\\boxed{85}",
        "<think>a<think>b</think>\\boxed{85}",
        f"{GOOD}85",
        f"{GOOD}\\boxed{{}}",
        f"{GOOD}\\boxed{{85",
        f"{GOOD}\\boxed 85",
        f"{GOOD}\\boxed{{85}}\\boxed{{85}}",
        f"{GOOD}\\boxed{{\\boxed{{85}}}}",
        f"{GOOD}\\boxed{{85}} or 86",
        f"{GOOD}\\boxed{{85}}<think>",
        f"{GOOD}\\boxed{{85}}<|im_end|>more",
    ],
)
def test_breaks(response):
    assert not follows_format(response)


@pytest.mark.parametrize(
    ("style", "response", "kept"),
    [
        ("tag", f"{GOOD}<answer>85</answer>", True),
        ("tag", f"{GOOD}<answer>85</answer> or 86", False),
        ("tag", f"{GOOD}so <answer>85</answer>", False),
        ("tag", f"{GOOD}<answer>1</answer><answer>2</answer>", False),
        ("tag", f"{GOOD}</answer>85<answer>", False),
        ("tag", f"{GOOD}<answer> </answer>", False),
        ("plain", f"{GOOD}85", True),
        ("plain", GOOD, False),
    ],
)
def test_other_answer_styles(style, response, kept):
    assert follows_format(response, RewardOptions(answer_style=style)) is kept


def test_reasoning_may_be_optional():
    assert follows_format("\\boxed{85}", RewardOptions(think_tag=""))


def test_loops_are_found_and_ordinary_text_is_not():
    loop = "wait, let me check it again. "
    ordinary = " ".join(f"step {i}: {i} plus {i * 7 % 13} gives {i + i * 7 % 13}, so we go on." for i in range(200))
    assert repeated_share(loop * 100) > 0.9
    assert repeated_share(ordinary + loop * 400) > 0.5
    assert repeated_share("あいうえおかきく" * 400) > 0.9
    assert repeated_share(ordinary) < 0.2
    assert repeated_share(loop * 20) == 0.0
