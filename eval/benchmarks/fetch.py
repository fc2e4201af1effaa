"""Downloads benchmark data: resumable, under the final name only when whole, with checksums."""

from __future__ import annotations

import contextlib
import email.message
import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eval.benchmarks._resolve import find_declaration
from lipo.common import LipoError, atomic_write, only_one, require_free_space, sha256_file

OnProgress = Callable[[int, int], None]
"""Called with bytes done and bytes in all (0 if the server does not say)."""
_BLOCK = 1 << 20
_TIMEOUT_SECONDS = 60
_ATTEMPTS = 4
_DATA = tuple(
    f"*.{suffix}"
    for suffix in (
        "parquet",
        "arrow",
        "json",
        "jsonl",
        "csv",
        "tsv",
        "zip",
        "tar",
        "mp4",
        "srt",
        "md",
        "png",
        "jpg",
        "jpeg",
    )
)
"""What a dataset on the Hub may consist of; scripts are not wanted."""


def fetch_benchmark(
    name: str, directory: Path, origin: str | None = None, on_progress: OnProgress | None = None
) -> Path:
    """Download a declared benchmark.

    Args:
        name: Of the benchmark, or path of a YAML declaration.
        directory: Folder of benchmark data.
        origin: ``tsv`` (VLMEvalKit's file) or ``hub`` (Hugging Face); None for the first that is declared.
        on_progress: Told of bytes.

    Returns:
        The file or folder. What is there already, whole, is not downloaded again.

    Raises:
        LipoError: Unknown benchmark, nothing to download, no network, or a wrong checksum.
    """
    benchmark = find_declaration(name)
    if benchmark.tsv and origin in (None, "tsv"):
        return fetch_file(benchmark.tsv.url, directory / benchmark.tsv.file, benchmark.tsv.md5, on_progress)
    if benchmark.hub and origin in (None, "hub"):
        return fetch_dataset(benchmark.hub.name, directory / benchmark.hub.name)
    what = f"no {origin} download is" if origin else "no download is"
    raise LipoError(f"{what} declared for '{name}'", "get the data from its authors and give 'source'")


def fetch_file(url: str, target: Path, md5: str | None = None, on_progress: OnProgress | None = None) -> Path:
    """Download a file, continuing an earlier attempt where the server allows it.

    The file's SHA-256 is written to ``<target>.sha256``, in the format of ``sha256sum``; a file that is there is
    checked against it.

    Args:
        url: http or https.
        target: Final name.
        md5: Checksum that the publisher gives; None if it gives none.
        on_progress: Told of bytes.

    Returns:
        ``target``.

    Raises:
        LipoError: No connection, an error of the server, no space, or a wrong checksum.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise LipoError(f"cannot download {url}", "give an http or https address")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file() and _is_whole(target, md5):
        return target
    part = target.with_name(f".{target.name}.part")
    with only_one(target.with_name(f".{target.name}.lock"), f"the download of {target.name}"):
        for attempt in range(_ATTEMPTS):
            try:
                _continue(url, part, on_progress)
                break
            except (OSError, http.client.HTTPException) as error:
                if attempt + 1 == _ATTEMPTS or not _may_pass(error):
                    raise LipoError(
                        f"cannot download {url}: {error}", "check the network; the same command continues"
                    ) from error
                time.sleep(0.2 * 2**attempt)
        found = _md5(part)
        if md5 is not None and found != md5:
            part.unlink()
            _state(part).unlink(missing_ok=True)
            raise LipoError(
                f"{url} has the MD5 {found}, not {md5} as published",
                "try again; if it stays so, the publisher changed the file: report it, or give 'source' by hand",
            )
        with part.open("rb") as file:
            os.fsync(file.fileno())
        digest = sha256_file(part)
        os.replace(part, target)
        _state(part).unlink(missing_ok=True)
        with atomic_write(_sidecar(target)) as file:
            file.write(f"{digest}  {target.name}\n")
    return target


def _sidecar(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _state(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _is_whole(target: Path, md5: str | None) -> bool:
    """Check a file that is there by what was recorded of it; one that a user put there is left alone."""
    try:
        recorded = _sidecar(target).read_text("utf-8").split()[0]
    except (OSError, IndexError):
        if md5 is None or _md5(target) == md5:
            return True
        raise LipoError(
            f"{target} is not the published file: its MD5 is not {md5}", "remove it, or give it as 'source'"
        ) from None
    return sha256_file(target) == recorded


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _may_pass(error: Exception) -> bool:
    """Whether it may be better the next time."""
    return not isinstance(error, urllib.error.HTTPError) or error.code in (408, 429) or error.code >= 500


def _continue(url: str, part: Path, on_progress: OnProgress | None) -> None:
    """Get what is missing of ``part``; start anew if the server's file is another one than before."""
    done, tag = (part.stat().st_size if part.is_file() else 0), _read_state(part, url)
    headers = {"User-Agent": "lipo", "Accept-Encoding": "identity"}
    if done and tag:
        headers |= {"Range": f"bytes={done}-", "If-Range": tag}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the scheme has been checked)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        # Nothing is missing: the connection broke after the last byte.
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{done}":
            return
        raise
    with response:
        resumed = response.status == 206
        done = done if resumed else 0
        total = done + int(response.headers.get("Content-Length") or 0)
        require_free_space(part.parent, total - done, part.name)
        _write_state(part, url, response.headers)
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                if on_progress is not None:
                    on_progress(done, total)
        if total and done < total:
            raise OSError(f"the connection ended after {done} of {total} bytes")


def _read_state(part: Path, url: str) -> str | None:
    try:
        state: dict[str, Any] = json.loads(_state(part).read_text("utf-8"))
        return str(state["tag"]) if state["url"] == url and state["tag"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_state(part: Path, url: str, headers: email.message.Message) -> None:
    """Remember which version of the file it is: a weak tag does not promise the same bytes."""
    tag = headers.get("ETag") or headers.get("Last-Modified") or ""
    with atomic_write(_state(part)) as file:
        json.dump({"url": url, "tag": "" if tag.startswith("W/") else tag}, file)


def fetch_dataset(name: str, target: Path) -> Path:
    """Download a dataset of the Hugging Face Hub; interrupted, the next call continues.

    Every file must have the checksum that the Hub publishes; the SHA-256 of all go to ``<target>/SHA256SUMS``.

    Args:
        name: owner/name.
        target: Folder to make.

    Returns:
        ``target``.

    Raises:
        LipoError: No connection, no such dataset, it needs a login, or a wrong checksum.
    """
    from huggingface_hub import dataset_info, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    if _dataset_is_whole(target):
        return target
    try:
        published = dataset_info(name, files_metadata=True)
        snapshot_download(
            name, repo_type="dataset", revision=published.sha, local_dir=target, allow_patterns=list(_DATA)
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise LipoError(
            f"cannot download the dataset {name}: {reason}",
            "check the network; for a gated dataset accept its terms and run 'hf auth login'",
        ) from error
    files = sorted(path for path in target.rglob("*") if path.is_file() and ".cache" not in path.parts)
    files = [path for path in files if path.name != "SHA256SUMS"]
    if not files:
        with contextlib.suppress(OSError):
            target.rmdir()
        raise LipoError(f"the dataset {name} has no data files", f"its page: https://huggingface.co/datasets/{name}")
    checksums = {file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id for file in published.siblings or []}
    for path in files:
        _require_checksum(path, checksums.get(path.relative_to(target).as_posix()), name)
    with atomic_write(target / "SHA256SUMS") as file:
        file.writelines(f"{sha256_file(path)}  {path.relative_to(target)}\n" for path in files)
    return target


def _dataset_is_whole(target: Path) -> bool:
    """Whether every file is there as it was when the download ended."""
    try:
        lines = (target / "SHA256SUMS").read_text("utf-8").splitlines()
        recorded = dict(line.split("  ", 1)[::-1] for line in lines)
        return bool(recorded) and all(sha256_file(target / name) == digest for name, digest in recorded.items())
    except (OSError, ValueError):
        return False


def _require_checksum(path: Path, published: str | None, name: str) -> None:
    """Compare with the SHA-256 of a large file or the name of git's blob; a file that is not the Hub's has neither."""
    if published is None:
        return
    if len(published) == 64:
        found = sha256_file(path)
    else:
        blob = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                blob.update(block)
        found = blob.hexdigest()
    if found != published:
        path.unlink()
        raise LipoError(
            f"{path.name} of the dataset {name} has the checksum {found}, not {published} as published",
            "the same command fetches it again",
        )
