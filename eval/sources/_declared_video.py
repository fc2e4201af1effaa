"""Finds the video and the subtitles of a row, as a benchmark's declaration says."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.benchmarks._prompt import PATH_NAMES, compile_prompt
from eval.benchmarks.declaration import Video
from eval.sources._clips import Clip, VideoFile, inside
from eval.sources._columns import for_people, look_up
from eval.sources._subtitles import read_subtitles, spoken_at
from lipo.video import Part


class VideoLocator:
    """Finds videos of one benchmark.

    Args:
        video: The declaration's part.
        name: Of the benchmark, for messages.
    """

    def __init__(self, video: Video, name: str) -> None:
        """Prepare the templates."""
        self._video = video
        self._paths = [compile_prompt(template, name, PATH_NAMES) for template in video.paths]
        self._subtitles = [compile_prompt(template, name, PATH_NAMES) for template in video.subtitles]
        self._root: Path | None = None
        self._read = functools.lru_cache(maxsize=64)(read_subtitles)

    def locate(self, row: Mapping[str, Any], root: Path) -> VideoFile:
        """Find a row's video.

        Args:
            row: Column → value.
            root: Folder that it must stay in.

        Raises:
            ValueError: There is none, it lies elsewhere, or its part is no part.
        """
        self._root = root
        path = self._find(self._paths, row, root, "video")
        return VideoFile(path, self._part(row))

    def subtitles(self, row: Mapping[str, Any], clip: Clip) -> str:
        """Give what is said while the frames are shown, a line each; empty without subtitles.

        Raises:
            ValueError: The file lies elsewhere, or is none.
        """
        if not self._subtitles or self._root is None:
            return ""
        try:
            path = self._find(self._subtitles, row, self._root, "file of subtitles")
        except FileNotFoundError:
            return ""
        return "\n".join(spoken_at(self._read(path), clip.times))

    def _find(self, templates: Sequence[Any], row: Mapping[str, Any], root: Path, kind: str) -> Path:
        folder = ""
        if self._video.folder:
            value = str(look_up(row, self._video.folder.column) or "").strip()
            folder = self._video.folder.names.get(value, value)
        names = [name for t in templates if (name := t(row=for_people(row), folder=folder).strip())]
        if not names:
            raise MissingFileError(f"the row names no {kind}")
        outside: ValueError | None = None
        for name in names:
            try:
                path = inside(root, name)
            except ValueError as problem:
                outside = outside or problem
                continue
            if path.exists():
                return path
        raise MissingFileError(f"no {kind} at {' or '.join(names)[:300]!r}") if outside is None else outside

    def _part(self, row: Mapping[str, Any]) -> Part:
        chosen = [str(row.get(column)) in values for column, values in self._video.part_when.items()]
        if chosen and not any(chosen):
            return Part(picture_fps=self._video.picture_fps)
        start = _seconds(look_up(row, self._video.start), "start")
        end = _seconds(look_up(row, self._video.end), "end")
        if end is not None and end < (start or 0.0):
            raise ValueError(f"the part to be shown ends before it begins: {end:g} s, {start:g} s")
        return Part(start or 0.0, end, self._video.picture_fps)


class MissingFileError(FileNotFoundError, ValueError):
    """A row's file that is not there."""


def _seconds(value: Any, name: str) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {str(value)[:40]!r}, no number of seconds") from None
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{name} is {seconds:g}, no number of seconds")
    return seconds
