"""Proof that a merged model works: transformers loads every tensor of it and takes a token from an image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lipo.common import LipoError

PROMPT = "Describe this image."
# A multiple of every patch size in use; large enough for models that refuse tiny images.
_SIZE = 112


def sample_image() -> Any:
    """Return a picture with some content: four coloured squares."""
    from PIL import Image

    image = Image.new("RGB", (_SIZE, _SIZE), "white")
    for index, colour in enumerate(("red", "green", "blue", "black")):
        image.paste(colour, ((index % 2) * _SIZE // 2, (index // 2) * _SIZE // 2, *_corner(index)))
    return image


def _corner(index: int) -> tuple[int, int]:
    return (index % 2 + 1) * _SIZE // 2, (index // 2 + 1) * _SIZE // 2


def takes_images(directory: Path) -> bool:
    """Whether the model in ``directory`` has a vision tower, by its config."""
    return "vision_config" in json.loads((directory / "config.json").read_text("utf-8"))


def verify(directory: Path) -> str:
    """Load a model with transformers, check that every stored tensor is used, and generate one token.

    Args:
        directory: A Hugging Face model directory; no code of it is run.

    Returns:
        One line on what was seen.

    Raises:
        LipoError: The model does not load, tensors are missing, not used or of another shape, or it gives no token.
    """
    try:
        return _generate(directory)
    except LipoError:
        raise
    except Exception as error:  # Loaders, processors and models raise what they like.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        raise LipoError(
            f"transformers cannot use {directory}: {reason}",
            "check that the base by itself loads; its config, tokenizer and processor are those of the merge",
        ) from error


def _generate(directory: Path) -> str:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    safe = {"trust_remote_code": False, "local_files_only": True}
    images = takes_images(directory)
    auto_model: Any = AutoModelForImageTextToText if images else AutoModelForCausalLM
    model, report = auto_model.from_pretrained(
        directory, dtype="auto", use_safetensors=True, output_loading_info=True, **safe
    )
    wrong = {key: sorted(map(str, names)) for key, names in report.items() if key in _MUST_BE_EMPTY and names}
    if wrong:
        shown = "; ".join(f"{key.replace('_', ' ')}: {', '.join(names[:3])}" for key, names in wrong.items())
        raise LipoError(
            f"transformers does not take {directory} as it is: {shown}", "compare config.json with the base's"
        )
    if images:
        processor = AutoProcessor.from_pretrained(directory, **safe)
        inputs = processor(text=[image_prompt(processor)], images=[sample_image()], return_tensors="pt")
    else:
        inputs = AutoTokenizer.from_pretrained(directory, **safe)(PROMPT, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits[0, -1]
    if not bool(torch.isfinite(logits).all()):
        raise LipoError(f"{directory} gives NaN or infinite logits", "use a smaller scale, or float32")
    what = "an image" if images else "a text"
    return f"transformers loads it, uses every tensor and gives a token for {what} (id {int(logits.argmax())})"


_MUST_BE_EMPTY = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")


def image_prompt(processor: Any) -> str:
    """Render a question about one image with the model's own chat template."""
    content = [{"type": "image"}, {"type": "text", "text": PROMPT}]
    return str(
        processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
    )
