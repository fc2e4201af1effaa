"""What tables put into their image columns: bytes, base64, paths, other rows' numbers, and lists of these."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any

from eval.sources._images import ImageStore
from eval.sources._literals import read_literal

LONGEST_REFERENCE = 64
"""Characters; VLMEvalKit takes a shorter text in the image column for another row's index."""
_QUOTED = re.compile(r"""['"]([^'"]*)['"]""")
_BASE64_LIST = re.compile(r"""\s*\[\s*['"][A-Za-z0-9+/=\s]{65}""")
_WEB = re.compile(r"(?:https?|ftp)://", re.IGNORECASE)
_SUFFIX = re.compile(r"\.(?:png|jpe?g|webp|gif|bmp|tiff?)\Z", re.IGNORECASE)


class OtherRow(str):
    """The image of another row, named by that row's index."""

    __slots__ = ()


def read_images(value: Any, store: ImageStore, root: Path) -> list[int | OtherRow]:
    """Read an image column.

    Args:
        value: Bytes; ``{bytes, path}`` as Hugging Face writes it; base64, with or without ``data:…;base64,``; a path
            below ``root``; a short text, which is another row's index; a list of these, or its text; None for none.
        store: Where the images are kept.
        root: Folder that paths must stay in.

    Returns:
        Numbers in the store, or other rows yet to be looked up.

    Raises:
        ValueError: It is something else, or there is no such file.
    """
    if value is None or (isinstance(value, str) and (not value or value.isspace())):
        return []
    if hasattr(value, "tolist") and not isinstance(value, bytes):
        value = value.tolist()
    if isinstance(value, str) and value[:9].lstrip().startswith("["):
        # Lists of base64 are too long for a parser; no quote can occur within one.
        value = _QUOTED.findall(value) if _BASE64_LIST.match(value) else read_literal(value)
    if isinstance(value, list):
        return [image for part in value for image in read_images(part, store, root)]
    if isinstance(value, dict):
        found = next((value[key] for key in ("bytes", "base64", "path", "image") if value.get(key)), None)
        if found is None:
            raise ValueError("an image has neither bytes nor path")
        return read_images(found, store, root)
    if isinstance(value, bytes | bytearray):
        return [store.add(bytes(value))]
    if isinstance(value, int) and not isinstance(value, bool):
        return [OtherRow(value)]
    if not isinstance(value, str):
        raise ValueError(f"an image is {type(value).__name__}, not bytes, base64 or a path")
    return [_read_text(value.strip(), store, root)]


def _read_text(text: str, store: ImageStore, root: Path) -> int | OtherRow:
    if _WEB.match(text):
        raise ValueError(f"the image is at {text[:80]!r}; download it, nothing is fetched during an evaluation")
    if text.startswith("data:"):
        return store.add(_decode(text.partition(",")[2]))
    if _SUFFIX.search(text[-8:]) or text.startswith("file://"):
        return store.add(_read_file(text, root))
    if len(text) <= LONGEST_REFERENCE:
        return OtherRow(text)
    return store.add(_decode(text))


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        try:
            # Some break their lines.
            data = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"the image is no base64: it begins {text[:24]!r}") from None
    if not data:
        raise ValueError("the image is empty")
    return data


def _read_file(text: str, root: Path) -> bytes:
    path = (root / text.removeprefix("file://")).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"image path {text!r} leaves {root}; set image_root to allow it")
    if not path.is_file():
        raise ValueError(f"no image at {text!r}")
    return path.read_bytes()
