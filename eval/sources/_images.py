"""Encoded images of a benchmark: each kept once, beyond a limit on disk, so that gigabytes need little memory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, overload

from lipo.common import LipoError

IN_MEMORY = 64 << 20
"""Bytes of images that a store keeps in memory; the rest goes to a file without a name."""


class ImageStore:
    """Encoded image files, equal ones once.

    What exceeds the limit is in a temporary file that the kernel removes with this process, however it ends.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        """Start empty.

        Args:
            in_memory: Bytes to keep in memory.
        """
        self._left = in_memory
        self._numbers: dict[bytes, int] = {}
        self._digests: list[bytes] = []
        self._places: list[bytes | tuple[int, int]] = []
        self._file: IO[bytes] | None = None
        self._handle = -1
        self._end = 0

    def add(self, data: bytes) -> int:
        """Keep an image and return its number."""
        digest = hashlib.sha256(data).digest()
        if digest not in self._numbers:
            self._numbers[digest] = len(self._places)
            self._digests.append(digest)
            self._places.append(self._put(data))
        return self._numbers[digest]

    def _put(self, data: bytes) -> bytes | tuple[int, int]:
        if len(data) <= self._left:
            self._left -= len(data)
            return data
        place, written = (self._end, len(data)), 0
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (lives as long as the store)
                self._handle = self._file.fileno()
            while written < len(data):
                written += os.pwrite(self._handle, data[written:], self._end + written)
        except OSError as error:
            # Not to be taken for a fault of the row.
            raise LipoError(
                f"cannot keep images on disk: {error}", "free space, or set TMPDIR to another disk"
            ) from error
        self._end += len(data)
        return place

    def read(self, number: int) -> bytes:
        """Return an image; any number of threads may."""
        place = self._places[number]
        if isinstance(place, bytes):
            return place
        return os.pread(self._handle, place[1], place[0])

    def digest(self, number: int) -> bytes:
        """Return the SHA-256 of an image."""
        return self._digests[number]


class StoredImages(Sequence[bytes]):
    """Images of one question, read when they are used; crosses process borders as a plain tuple of bytes."""

    def __init__(self, store: ImageStore, numbers: Iterable[int]) -> None:
        """Refer to images of a store."""
        self._store, self._numbers = store, tuple(numbers)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> StoredImages: ...
    def __getitem__(self, place: int | slice) -> bytes | StoredImages:
        if isinstance(place, slice):
            return StoredImages(self._store, self._numbers[place])
        return self._store.read(self._numbers[place])

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[bytes]:
        return map(self._store.read, self._numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and image_digests(self) == image_digests(other)

    def __hash__(self) -> int:
        return hash(self.digests)

    def __reduce__(self) -> tuple[type[tuple], tuple[list[bytes]]]:
        return tuple, (list(self),)

    def reordered(self, order: Iterable[int]) -> StoredImages:
        """Return the images at these places."""
        return StoredImages(self._store, [self._numbers[place] for place in order])

    @property
    def digests(self) -> tuple[bytes, ...]:
        """SHA-256 of every image, without reading it again."""
        return tuple(map(self._store.digest, self._numbers))


def image_digests(images: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the SHA-256 of every image."""
    if isinstance(images, StoredImages):
        return images.digests
    return tuple(hashlib.sha256(image).digest() for image in images)
