"""What a question must be like to be trained on."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lipo.common import LipoError
from recipes.qwen2_5_vl_3b.data.example import Example, Source, Task

MAX_PIXELS = 1280 * 28 * 28
"""Larger pictures are scaled down: 1280 image tokens [ours], so that they and the question fit 2048."""
MIN_SIDE = 28
"""One image token."""
MAX_ASPECT = 100
MAX_ENCODED = 32 << 20
MAX_DECODED = 64_000_000
MAX_QUESTION = 1500
"""Characters: at worst about 600 tokens."""
MAX_ANSWER = {"math": 64, "structured": 64, "ocr": 256}
"""Characters; longer ones are for nobody to box."""
FREE = frozenset(
    {"mit", "apache-2.0", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "bsd-3-clause"}
)
"""Licences that allow training without more ado."""

_PROSE = re.compile(r"[^\W\d_]{3,}(?:\s+[^\W\d_]{2,}){5,}")


class Rejected(ValueError):  # noqa: N818 - an answer, not an error
    """Why an example is not taken; few different texts, for they are counted."""


@dataclass(frozen=True)
class Picture:
    """A checked picture.

    Attributes:
        pixels: SHA-256 of the decoded RGB values and the size.
        outline: 256 bits that survive another encoding or size: whether brightness rises from left to right on a
            16 × 16 grid.
    """

    pixels: str
    outline: bytes


def check_text(example: Example, task: Task) -> None:
    """Check question and answer.

    Raises:
        Rejected: With the reason.
    """
    answer = example.answer.strip()
    if not example.question.strip():
        raise Rejected("no question")
    if len(example.question) > MAX_QUESTION:
        raise Rejected("question too long")
    if not answer or answer.lower() in ("none", "nan", "null"):
        raise Rejected("no single answer")
    if len(answer) > MAX_ANSWER[task]:
        raise Rejected("answer too long")
    if task == "math" and _PROSE.search(answer):
        raise Rejected("answer is prose")


def decode(data: bytes) -> Image.Image:
    """Decode a picture to RGB.

    Raises:
        Rejected: Not a picture, or one of unfit size.
    """
    if len(data) > MAX_ENCODED:
        raise Rejected("image too large")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "GIF", "BMP")) as picture:
            width, height = picture.size
            if width * height > MAX_DECODED:
                raise Rejected("image too large")
            if min(width, height) < MIN_SIDE:
                raise Rejected("image too small")
            if max(width, height) > MAX_ASPECT * min(width, height):
                raise Rejected("image too elongated")
            return picture.convert("RGB")
    except Rejected:
        raise
    except Image.DecompressionBombError as error:
        raise Rejected("image too large") from error
    except Exception as error:  # Decoders raise whatever they like on broken files.
        raise Rejected("image unreadable") from error


def describe(picture: Image.Image) -> Picture:
    """Hash a picture, exactly and by its outline."""
    digest = hashlib.sha256(f"{picture.size}".encode() + picture.tobytes())
    grey = np.asarray(picture.convert("L").resize((17, 16), Image.Resampling.BILINEAR), dtype=np.int16)
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    return Picture(digest.hexdigest(), bits.tobytes())


def shrink(data: bytes) -> bytes:
    """Scale a picture down to :data:`MAX_PIXELS`; smaller ones stay as they are, byte for byte."""
    picture = decode(data)
    pixels = picture.width * picture.height
    if pixels <= MAX_PIXELS:
        return data
    factor = (MAX_PIXELS / pixels) ** 0.5
    size = (max(MIN_SIDE, int(picture.width * factor)), max(MIN_SIDE, int(picture.height * factor)))
    output = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(output, "PNG")
    return output.getvalue()


def check_licence(source: Source, directory: Path, accepted: Collection[str]) -> str:
    """Find a source's licence and whether it allows training.

    Args:
        source: The source; its licence counts where the copy has no card.
        directory: The copy; the ``license:`` of its README.md counts.
        accepted: Licences that the user accepts beside the free ones.

    Returns:
        The licence.

    Raises:
        LipoError: It must be accepted first.
    """
    licence = source.licence
    card = directory / "README.md"
    if card.is_file():
        text = card.read_text("utf-8", errors="replace")
        front = text.split("---")[1] if text.startswith("---") and text.count("---") >= 2 else ""
        if found := re.search(r"^license:\s*[\"']?([\w.+-]+)", front, re.MULTILINE):
            licence = found.group(1).lower()
    if licence not in FREE and licence not in accepted:
        raise LipoError(
            f"source '{source.name}' has the licence '{licence}' ({source.home})",
            f"read it, then add --accept-licence {licence}, or leave the source out",
        )
    return licence
