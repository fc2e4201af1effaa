"""Draws a table as a picture, for sources that have tables as text only; the same table gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_CHARACTERS = 40
_ROWS = 60
_COLUMNS = 14


def draw_table(rows: Sequence[Sequence[str]], title: str = "") -> bytes:
    """Draw a table in black on white.

    Args:
        rows: The first is the header. Cells longer than 40 characters are refused like tables of more than 60 rows or
            14 columns: a picture of them could not be read.
        title: Above the table.

    Returns:
        A PNG file.

    Raises:
        ValueError: Too large to be legible, or empty.
    """
    if not rows or not rows[0]:
        raise ValueError("an empty table")
    columns = max(len(row) for row in rows)
    cells = [[" ".join(cell.split()) for cell in (*row, *[""] * (columns - len(row)))] for row in rows]
    if len(rows) > _ROWS or columns > _COLUMNS or any(len(cell) > _CHARACTERS for row in cells for cell in row):
        raise ValueError("a table too large to be legible")
    font = ImageFont.load_default(size=16)
    widths = [max(int(font.getlength(row[i])) for row in cells) + 16 for i in range(columns)]
    line, top = 26, 30 if title else 4
    width = max(sum(widths), int(font.getlength(title))) + 8
    picture = Image.new("RGB", (width, top + line * len(cells) + 5), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((6, 5), title, fill="black", font=font)
    for number, row in enumerate(cells):
        left = 4
        for text, column in zip(row, widths, strict=True):
            box = (left, top + number * line, left + column, top + (number + 1) * line)
            pen.rectangle(box, fill="#e8e8e8" if number == 0 else "white", outline="#808080")
            pen.text((left + 8, box[1] + 4), text, fill="black", font=font)
            left += column
    output = io.BytesIO()
    picture.save(output, "PNG")
    return output.getvalue()
