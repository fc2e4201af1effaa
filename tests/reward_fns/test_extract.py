import pytest

from reward_fns import RewardOptions, extract_answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<think>a</think>\\boxed{85}", "85"),
        ("\\boxed{1} then \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
        ("\\boxed{\\boxed{5}}", "5"),
        ("\\boxed{1 \\boxed{2}", "2"),
        ("\\boxed{1} \\boxed{2", "1"),
        ("<think>\\boxed{1}</think>\\boxed{2}", "2"),
        ("<think>\\boxed{1}</think>none", None),
        ("<think>\\boxed{1}", None),
        ("\\boxed{}", None),
        ("\\boxed{1}<think>", None),
        ("85", None),
    ],
)
def test_takes_the_last_balanced_box_after_the_reasoning(response, answer):
    assert extract_answer(response) == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<think>a</think><answer> 85 </answer>", "85"),
        ("<answer>1</answer><answer>2</answer>", "2"),
        ("<answer>\\boxed{3}</answer>", "3"),
        ("<answer>1", None),
        ("\\boxed{1}", None),
    ],
)
def test_takes_the_last_answer_tag(response, answer):
    assert extract_answer(response, RewardOptions(answer_style="tag")) == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("It is \\boxed{1}.", "1"),
        ("<answer>2</answer>", "2"),
        ("Work.\nThe answer is: 85", "85"),
        ("Work.\nAnswer: B\n<|im_end|>", "B"),
        ("85", "85"),
        ("", None),
    ],
)
def test_plain_style_falls_back_to_the_last_line(response, answer):
    assert extract_answer(response, RewardOptions(answer_style="plain")) == answer


def test_tag_is_configurable():
    options = RewardOptions(think_tag="reasoning")
    assert extract_answer("<reasoning>\\boxed{1}</reasoning>\\boxed{2}", options) == "2"
    assert extract_answer("<reasoning>\\boxed{1}", options) is None
    assert extract_answer("<think>\\boxed{1}", RewardOptions(think_tag="")) == "1"
