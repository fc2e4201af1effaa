"""Data of the page's item browser: question, picture, and every model's answer, for a choice of items."""

from __future__ import annotations

import base64
import io
from typing import Any

from eval.results import Results
from eval.scoring import ScoredAnswer
from eval.sources import Item

ITEMS_PER_BENCHMARK = 100
_RESPONSE_CHARACTERS = 4000
_THUMBNAIL = (480, 480)
"""Pixels at most."""
_FRAME = (160, 160)
_FRAMES = 8
"""Of a clip, spread over those that the model saw."""


def browser_data(results: Results) -> dict[str, Any]:
    """Collect the items to show: those first on which models disagree with the baseline, then by row number.

    Returns:
        ``{"baseline", "models", "judged", "benchmarks": {name: [{"row", "question", "truth", "images", "frames",
        "answers"}]}}``, where ``frames`` are ``{"time", "source"}`` of a clip, and ``answers[model]`` holds the first
        response's ``correct``, ``status``, ``tokens``, ``truncated``, ``text``, ``prediction``, ``judge`` and
        ``error``.
    """
    config = results.config
    benchmarks = {}
    for name in config.benchmarks:
        first = {
            model: {row.item: row for row in results.scores[model][name] if row.sample == 0} for model in config.models
        }
        items = sorted(results.items[name], key=lambda i: (_agreement(first, i.index, config.baseline), i.index))
        benchmarks[name] = [
            {
                "row": item.index,
                "question": item.question.replace("<image>", "").removeprefix("<video>").strip()[:_RESPONSE_CHARACTERS],
                "truth": str(item.ground_truth)[:_RESPONSE_CHARACTERS],
                "images": [thumb for image in item.images[:4] if (thumb := _thumbnail(image))],
                "frames": _strip(item),
                "answers": {model: _answer(rows[item.index]) for model, rows in first.items()},
            }
            for item in items[:ITEMS_PER_BENCHMARK]
        ]
    return {
        "baseline": config.baseline,
        "models": list(config.models),
        "judged": config.judge is not None,
        "benchmarks": benchmarks,
    }


def _agreement(first: dict[str, dict[int, ScoredAnswer]], item: int, baseline: str) -> bool:
    return all(rows[item].correct == first[baseline][item].correct for rows in first.values())


def _answer(row: ScoredAnswer) -> dict[str, Any]:
    return {
        "correct": row.correct,
        "status": row.status,
        "tokens": row.tokens,
        "truncated": row.truncated,
        "text": row.response[:_RESPONSE_CHARACTERS],
        "prediction": row.prediction,
        "judge": row.judge,
        "error": row.error,
    }


def _strip(item: Item) -> list[dict[str, Any]]:
    """Frames of an item's clip, and when they are shown."""
    if item.clip is None:
        return []
    last = len(item.clip.frames) - 1
    chosen = sorted({round(i * last / (_FRAMES - 1)) for i in range(_FRAMES)})
    shown = [(item.clip.times[i], _thumbnail(item.clip.frames[i], _FRAME)) for i in chosen]
    return [{"time": round(time, 1), "source": source} for time, source in shown if source]


def _thumbnail(data: bytes, largest: tuple[int, int] = _THUMBNAIL) -> str | None:
    """Re-encode an image as a small JPEG data address; None where it cannot be read."""
    from eval._replica import decode_image

    try:
        image = decode_image(data)
        image.thumbnail(largest)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
    # Pillow raises many kinds of errors on hostile files.
    except Exception:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
