"""From sources to training files: look at every question once, choose by seed, write what was chosen."""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipo.common import LipoError, atomic_write
from recipes.qwen2_5_vl_3b.data.checks import Rejected, check_text, decode, describe, shrink
from recipes.qwen2_5_vl_3b.data.example import Example, Source, row
from recipes.qwen2_5_vl_3b.data.leaks import LeakIndex

VALIDATION_SHARE = 32
"""One picture in so many is set apart for validation."""
_FLUSH = 256
_BATCH = 64

OnProgress = Callable[[str, int], None]


@dataclass(frozen=True)
class Look:
    """What was found out about one example.

    Attributes:
        identity: Of the example.
        image: Hash of its picture; empty where it was not looked at.
        question: Hash of its question.
        reason: Why it is not taken; empty if it is.
    """

    identity: str
    image: str
    question: str
    reason: str


def look(
    source: Source,
    directory: Path,
    state: str,
    leaks: LeakIndex,
    work: Path,
    on_progress: OnProgress,
    *,
    seed: int,
    limit: int,
) -> list[Look]:
    """Check the examples of a source; continues where it was interrupted.

    Args:
        source: The source.
        directory: Its files.
        state: Of these files; what was found out of others counts for nothing.
        leaks: The benchmarks.
        work: Directory of ``<source>.jsonl``, one line per example, appended as they are looked at.
        on_progress: Called with the source's name and the examples looked at.
        seed: Of the choice.
        limit: Examples to look at; of a source with more (PlotQA has 20 million), those that the seed ranks first.

    Returns:
        One entry per example looked at, in the source's order.
    """
    path = work / f"{source.name}.jsonl"
    head = json.dumps({"state": state, "leaks": leaks.digest, "seed": seed, "limit": limit})
    chosen = _candidates(source, directory, seed, limit, path.with_suffix(".candidates.json"), head)
    known = _read(path, head)
    if not known:
        with atomic_write(path) as file:
            file.write(head + "\n")
    looks = list(known)
    with path.open("a", encoding="utf-8") as file:
        candidates = (e for e in source.read(directory) if chosen is None or e.identity in chosen)
        for number, example in enumerate(candidates):
            if number < len(known):
                if known[number].identity != example.identity:
                    raise LipoError(f"{directory} has changed since {path} was begun", f"remove {path}")
                continue
            looks.append(_look_at(example, source, leaks))
            entry = looks[-1]
            file.write(json.dumps([entry.identity, entry.image, entry.question, entry.reason]) + "\n")
            if len(looks) % _FLUSH == 0:
                file.flush()
                on_progress(source.name, len(looks))
        file.flush()
        os.fsync(file.fileno())
    on_progress(source.name, len(looks))
    return looks


def _candidates(source: Source, directory: Path, seed: int, limit: int, path: Path, head: str) -> frozenset[str] | None:
    """Identities to look at, from texts alone and in bounded memory; None for all, kept for the next run."""
    try:
        kept = json.loads(path.read_text("utf-8"))
        if kept["head"] == head:
            return None if kept["identities"] is None else frozenset(kept["identities"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    heap: list[tuple[int, str]] = []
    total = 0
    for example in source.read(directory):
        total += 1
        # A heap of negated ranks: its first is the one to give up.
        entry = (-int(_rank(seed, source.name, example.identity), 16), example.identity)
        if len(heap) < limit:
            heapq.heappush(heap, entry)
        elif entry > heap[0]:
            heapq.heapreplace(heap, entry)
    identities = sorted(identity for _, identity in heap) if total > limit else None
    with atomic_write(path) as file:
        json.dump({"head": head, "identities": identities}, file)
    return None if identities is None else frozenset(identities)


def _look_at(example: Example, source: Source, leaks: LeakIndex) -> Look:
    image = ""
    question = hashlib.sha256(example.question.encode()).hexdigest()
    try:
        check_text(example, source.task)
        picture = describe(decode(_load(example)))
        image = picture.pixels
        if leak := leaks.find(picture, example.question):
            raise Rejected(f"in {leak}")
    except Rejected as reason:
        return Look(example.identity, image, question, str(reason))
    return Look(example.identity, image, question, "")


def _load(example: Example) -> bytes:
    try:
        return example.load()
    except (OSError, KeyError, TypeError) as error:
        raise Rejected("no image") from error
    except ValueError as error:
        raise Rejected(str(error) if len(str(error)) < 40 else "image unusable") from error


def _read(path: Path, head: str) -> list[Look]:
    """Read a begun file; one of other circumstances counts as none, and a torn last line is cut off."""
    if not path.exists():
        return []
    whole, looks = 0, []
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines):
        try:
            value = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or (number == 0 and line.decode().strip() != head):
            break
        if number:
            looks.append(Look(*value))
        whole += len(line)
    os.truncate(path, whole)
    return looks


@dataclass(frozen=True)
class Choice:
    """Identities per source, and what was counted.

    Attributes:
        train: Source → identities.
        validation: Source → identities; of other pictures than those of the training.
        counts: Source → reason → examples; with ``taken`` and ``spare``.
    """

    train: dict[str, set[str]]
    validation: dict[str, set[str]]
    counts: dict[str, Counter[str]]


def choose(looks: Mapping[str, list[Look]], size: int, validation: int, seed: int) -> Choice:
    """Choose training and validation examples of one task, sources in equal shares as far as they reach.

    The order in which examples are taken is that of SHA-256(seed, source, identity), so it does not depend on the
    order of files, nor on which other sources there are. Pictures are divided first: all questions on one are on the
    same side.

    Args:
        looks: Source → its examples.
        size: Training examples wanted.
        validation: Validation examples wanted.
        seed: Of the choice.

    Returns:
        The choice; smaller than wanted where there is no more.
    """
    counts: dict[str, Counter[str]] = {}
    sides: dict[str, tuple[list[str], list[str]]] = {}
    seen: set[tuple[str, str]] = set()
    for name in sorted(looks):
        counts[name] = Counter()
        ranked: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
        for entry in looks[name]:
            if entry.reason:
                counts[name][entry.reason] += 1
            elif (entry.image, entry.question) in seen:
                counts[name]["duplicate"] += 1
            else:
                seen.add((entry.image, entry.question))
                held_out = int(_rank(seed, "picture", entry.image)[:8], 16) % VALIDATION_SHARE == 0
                ranked[held_out].append((_rank(seed, name, entry.identity), entry.identity))
        sides[name] = ([i for _, i in sorted(ranked[0])], [i for _, i in sorted(ranked[1])])
    train = _share({name: side[0] for name, side in sides.items()}, size)
    held = _share({name: side[1] for name, side in sides.items()}, validation)
    for name, (both, apart) in sides.items():
        counts[name]["taken"] = len(train[name]) + len(held[name])
        counts[name]["spare"] = len(both) + len(apart) - counts[name]["taken"]
    return Choice(train, held, counts)


def _rank(seed: int, *parts: str) -> str:
    return hashlib.sha256("\0".join([str(seed), *parts]).encode()).hexdigest()


def _share(ordered: Mapping[str, list[str]], size: int) -> dict[str, set[str]]:
    """Give every source the same share; what one cannot fill goes to the others."""
    level, longest = 0, max(map(len, ordered.values()), default=0)
    while level < longest and sum(min(len(ids), level + 1) for ids in ordered.values()) <= size:
        level += 1
    taken = {name: min(len(ids), level) for name, ids in ordered.items()}
    left = size - sum(taken.values())
    for name in sorted(name for name, ids in ordered.items() if len(ids) > level)[:left]:
        taken[name] += 1
    return {name: set(ordered[name][:count]) for name, count in taken.items()}


@dataclass(frozen=True)
class Part:
    """What one source gives to a training file.

    Attributes:
        source: The source.
        directory: Its files.
        state: Of these files.
        wanted: Identities to take.
    """

    source: Source
    directory: Path
    state: str
    wanted: set[str]

    @property
    def digest(self) -> str:
        """Changes with the files and with what is taken: an identity may be no more than a row's number."""
        return hashlib.sha256("\0".join([self.state, *sorted(self.wanted)]).encode()).hexdigest()


def write(path: Path, parts: list[Part], split: str, work: Path, on_progress: OnProgress) -> int:
    """Write a training file; every source's part is kept until the whole is there, so that a rerun continues.

    Args:
        path: The file.
        parts: What each source gives.
        split: For the rows' ``extra_info``.
        work: Directory of the parts.
        on_progress: Called with the part's name and its rows.

    Returns:
        Rows written.
    """
    import pyarrow.parquet

    files = []
    for part in parts:
        if not part.wanted:
            continue
        kept = work / f"{split}-{part.source.name}-{part.digest[:16]}.parquet"
        if not kept.exists():
            with atomic_write(kept, "wb") as file:
                _write_rows(file, _rows(part, split))
        files.append(kept)
        on_progress(f"{split} {part.source.name}", len(part.wanted))
    if not files:
        return 0
    total = 0
    with atomic_write(path, "wb") as file, pyarrow.parquet.ParquetWriter(file, _schema()) as writer:
        for kept in files:
            for batch in pyarrow.parquet.ParquetFile(kept).iter_batches(batch_size=_BATCH):
                writer.write_batch(batch)
                total += batch.num_rows
    for kept in files:
        kept.unlink()
    return total


def _rows(part: Part, split: str) -> Iterator[dict[str, Any]]:
    index = 0
    left = set(part.wanted)
    for example in part.source.read(part.directory):
        if example.identity in left:
            left.remove(example.identity)
            yield row(part.source, example, shrink(example.load()), split, index)
            index += 1
        if not left:
            return


def _write_rows(file: Any, rows: Iterator[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(file, _schema()) as writer:
        batch: list[dict[str, Any]] = []
        for entry in rows:
            batch.append(entry)
            if len(batch) == _BATCH:
                writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, _schema()))
                batch.clear()
        writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, _schema()))


def _schema() -> Any:
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        {
            "data_source": text,
            "prompt": pa.list_(pa.struct({"role": text, "content": text})),
            "images": pa.list_(pa.struct({"bytes": pa.binary()})),
            "ability": text,
            "reward_model": pa.struct({"style": text, "ground_truth": text}),
            "extra_info": pa.struct(
                {"split": text, "index": pa.int64(), "identity": text, "question": text, "answer": text}
            ),
        }
    )
