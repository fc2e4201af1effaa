"""Small pictures with varied fonts, colours, positions and noise, each a pure function of its random state."""

from __future__ import annotations

import functools
import random
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 112, 56
"""Pixels. 8 × 4 patches of 14 pixels, so 8 visual tokens after Qwen2.5-VL's 2 × 2 merge."""

CELL = 28
"""Pixels; the side of one visual token."""

_FONT_DIR = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSerif.ttf", "STIXGeneralBol.ttf")
_INKS = ("black", "navy", "darkred", "darkgreen", "indigo", "saddlebrown")
_PAPERS = ("white", "#fff8e0", "#eef3ff", "#f0fff0", "#fdeef4", "#eeeeee")
_BAR_COLOURS = ("red", "green", "blue", "orange", "purple", "teal", "brown", "deeppink")


@functools.lru_cache(maxsize=256)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONT_DIR / name), size)


def _add_noise(image: Image.Image, rng: random.Random) -> Image.Image:
    sigma = rng.uniform(0.0, 12.0)
    noise = np.random.default_rng(rng.getrandbits(64)).normal(0.0, sigma, (HEIGHT, WIDTH, 3))
    return Image.fromarray(np.clip(np.asarray(image, dtype=np.float32) + noise, 0, 255).astype(np.uint8))


def draw_text(rows: list[str], rng: random.Random) -> Image.Image:
    """Write up to two rows of up to four characters: random font, size, ink, paper, position and noise.

    Characters stand in cells of 28 pixels, about one visual token each, each shifted a little on its own.
    """
    font_name, size = rng.choice(_FONTS), rng.randint(21, 26)
    font = _font(font_name, size)
    image = Image.new("RGB", (WIDTH, HEIGHT), rng.choice(_PAPERS))
    draw, ink = ImageDraw.Draw(image), rng.choice(_INKS)
    shift_x, shift_y = rng.uniform(-2.0, 2.0), rng.uniform(-2.0, 2.0)
    for row, text in enumerate(rows):
        for column, character in enumerate(text):
            x = CELL * (column + 0.5) + shift_x + rng.uniform(-1.5, 1.5)
            y = CELL * (row + 0.5) + shift_y + rng.uniform(-1.5, 1.5)
            draw.text((x, y), character, fill=ink, font=font, anchor="mm")
    return _add_noise(image, rng)


def draw_bars(values: list[int], rng: random.Random) -> Image.Image:
    """Draw a bar chart of values 1…9 over a base line, bars coloured and spaced at random."""
    image = Image.new("RGB", (WIDTH, HEIGHT), rng.choice(_PAPERS))
    draw = ImageDraw.Draw(image)
    pitch, base = WIDTH // len(values), HEIGHT - rng.randint(2, 5)
    bar_width, offset = rng.randint(pitch - 12, pitch - 5), rng.randint(1, 4)
    same = rng.random() < 0.5
    colour = rng.choice(_BAR_COLOURS)
    for i, value in enumerate(values):
        x = offset + pitch * i
        fill = colour if same else rng.choice(_BAR_COLOURS)
        draw.rectangle([x, base - 5 * value, x + bar_width, base], fill=fill)
    draw.line([0, base, WIDTH, base], fill="black")
    return _add_noise(image, rng)
