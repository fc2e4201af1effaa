import base64

import numpy as np
import pytest

from eval.sources._image_column import OtherRow, read_images
from eval.sources._images import ImageStore

LONG = bytes(range(100))
TEXT = base64.b64encode(LONG).decode()


@pytest.fixture
def read(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_bytes(b"png")
    (tmp_path / "data" / "odd").write_bytes(b"odd")
    (tmp_path / "secret.png").write_bytes(b"secret")

    def read(value):
        store = ImageStore()
        found = read_images(value, store, tmp_path / "data")
        return [n if isinstance(n, OtherRow) else store.read(n) for n in found]

    return read


@pytest.mark.parametrize(
    ("value", "images"),
    [
        (None, []),
        ("  ", []),
        (LONG, [LONG]),
        (TEXT, [LONG]),
        (TEXT[:70] + "\n" + TEXT[70:], [LONG]),
        (f"data:image/png;base64,{TEXT}", [LONG]),
        (f"['{TEXT}', '{TEXT}']", [LONG, LONG]),
        (f'["{TEXT}"]', [LONG]),
        ([LONG, {"bytes": b"x", "path": None}], [LONG, b"x"]),
        ({"bytes": None, "path": "a.png"}, [b"png"]),
        ("a.png", [b"png"]),
        ("file://a.png", [b"png"]),
        ("['a.png', 'a.png']", [b"png", b"png"]),
        (np.array([{"bytes": b"x"}], dtype=object), [b"x"]),
        ("17", [OtherRow("17")]),
        (17, [OtherRow("17")]),
        ([], []),
    ],
)
def test_all_that_tables_hold(read, value, images):
    assert read(value) == images


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (TEXT[:-3] + "***", "no base64"),
        ("no! base64 " * 20, "no base64"),
        ("../secret.png", "leaves"),
        ("/etc/passwd.png", "leaves"),
        ("file:///etc/hostname", "leaves"),
        ("['a.png', '../secret.png']", "leaves"),
        ("b.png", "no image at"),
        ("https://example.org/a.png", "nothing is fetched"),
        ({"bytes": None, "path": None}, "neither bytes nor path"),
        (1.5, "float"),
        ("data:image/png;base64,", "empty"),
    ],
)
def test_what_is_no_image_says_so(read, value, message):
    with pytest.raises(ValueError, match=message):
        read(value)
