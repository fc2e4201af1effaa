"""One question of a benchmark, wherever it was read from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.sources._clips import Clip
from eval.sources._images import image_digests


@dataclass(frozen=True)
class Item:
    """One question."""

    index: int
    """Row number in its file, from 0."""
    messages: tuple[tuple[str, str], ...]
    """(role, text) pairs; ``<image>`` in a text stands for the next image, ``<video>`` for the clip."""
    images: Sequence[bytes]
    """Encoded image files, not yet decoded; those of large files are read from disk at every access."""
    ground_truth: Any
    data_source: str = ""
    extra_info: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    """Why the question cannot be asked; such an item counts as not answered correctly."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Breakdown → the category that this question belongs to, e.g. ``{"subject": "algebra"}``."""
    cluster: str = ""
    """Questions of the same cluster are not independent; by default those about the same images or clip."""
    scorer: str = ""
    """Module of reward_fns that judges this question; empty for the benchmark's."""
    scorer_options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of ``scorer``."""
    clip: Clip | None = None
    """Frames of a video."""

    def __post_init__(self) -> None:
        """Give the cluster its default."""
        if not self.cluster:
            digests = self.image_digests
            name = f"images {hashlib.sha256(b''.join(digests)).hexdigest()[:16]}" if digests else f"item {self.index}"
            name = f"clip {self.clip.key}" if self.clip else name
            object.__setattr__(self, "cluster", name)

    @property
    def question(self) -> str:
        """The texts of all messages, for people."""
        return "\n".join(text for _, text in self.messages)

    @property
    def image_digests(self) -> tuple[bytes, ...]:
        """SHA-256 of every image."""
        return image_digests(self.images)

    @property
    def content_hash(self) -> str:
        """SHA-256 of what the model gets to see."""
        digest = hashlib.sha256(json.dumps(self.messages).encode())
        for image in self.image_digests:
            digest.update(image)
        if self.clip:
            digest.update(f"clip {self.clip.key}".encode())
        return digest.hexdigest()
