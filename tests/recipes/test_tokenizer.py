from hypothesis import given
from hypothesis import strategies as st

from recipes.tiny.tokenizer import SPECIAL_TOKENS, VOCABULARY, build_tokenizer

PRINTABLE = [chr(c) for c in range(32, 127)] + ["\n"]


@given(st.text(st.sampled_from(PRINTABLE), max_size=60))
def test_printable_ascii_survives(text):
    tokenizer = build_tokenizer()
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert all(0 <= i < len(VOCABULARY) for i in ids)


def test_special_tokens_come_first_and_are_single():
    tokenizer = build_tokenizer()
    assert [tokenizer(token)["input_ids"] for token in SPECIAL_TOKENS] == [[i] for i in range(len(SPECIAL_TOKENS))]
    # verl masks ids above the tokenizer's size in vLLM: a padded vocabulary would bias rollout probabilities.
    assert len(tokenizer) == len(VOCABULARY) == len(set(VOCABULARY))


def test_chat_template_is_that_of_qwen():
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "read the code."}]}]
    text = build_tokenizer().apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text == (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>read the code.<|im_end|>\n<|im_start|>assistant\n"
    )
