"""A small word-and-character tokenizer with Qwen2.5-VL's special tokens and a chat template of the same form."""

from __future__ import annotations

import re
import string

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

_TAGS = ("<think>", "</think>", "<answer>", "</answer>", "\\boxed{")
_WORDS = (  # noqa: SIM905 (sixty words read better as text)
    "what is the result text image chart bars bar code letters first second third fourth fifth sixth ones "
    "tens and then in so it answer i read see look at think wait let me check verify this step by again "
    "but hmm be sure do once more which are calculate solve sum of difference add subtract number value"
).split()
_CHARACTERS = tuple(string.ascii_letters + string.digits + string.punctuation + " \n")

VOCABULARY = SPECIAL_TOKENS + tuple(
    dict.fromkeys(_TAGS + tuple(f" {w}" for w in _WORDS) + tuple(w for w in _WORDS if len(w) > 1) + _CHARACTERS)
)
"""Token strings by id. A space belongs to the word that follows it, as in byte-level BPE vocabularies."""

_PATTERN = "|".join(
    re.escape(token).replace("\n", "\\n") for token in sorted(VOCABULARY[len(SPECIAL_TOKENS) :], key=len, reverse=True)
)

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' or 'video' in part %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer; characters outside printable ASCII become ``<|endoftext|>``."""
    words = Tokenizer(models.WordLevel({t: i for i, t in enumerate(VOCABULARY)}, unk_token="<|endoftext|>"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(_PATTERN), "isolated")
    words.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
