"""One place in a remote store: S3 through Arrow, which needs no further package, all else through fsspec."""

from __future__ import annotations

import difflib
import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipo.common.errors import LipoError

# A Path keeps one slash of two. One letter would be a drive.
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/{1,3}([^/].*)", re.IGNORECASE | re.DOTALL)
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|KEY|CREDENTIAL", re.IGNORECASE)
_SHORTEST_SECRET = 8


def url_of(place: str | Path) -> str | None:
    """Tell a URL from a local path, also after it went through :class:`~pathlib.Path`, which drops a slash.

    Args:
        place: As the user wrote it.

    Returns:
        ``scheme://rest`` without trailing slashes; None for a local path.

    Raises:
        LipoError: It carries credentials or a query, or climbs with ``..``.

    Example:
        >>> url_of(Path("s3://bucket/models/math/"))
        's3://bucket/models/math'
        >>> url_of(Path("models/math")) is None
        True
    """
    match = _URL.fullmatch(str(place))
    if not match or match[1].lower() == "file":
        return None
    scheme, rest = match[1].lower(), match[2].rstrip("/")
    where = f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"
    if "@" in rest.partition("/")[0] or "?" in rest:
        raise LipoError(f"the URL {where} carries credentials or a query", "put credentials into the environment")
    if ".." in rest.split("/"):
        raise LipoError(f"the URL {where} has '..' in it", "write the path out")
    return f"{scheme}://{rest}"


def require_local(place: str | Path, what: str) -> None:
    """Refuse a URL where only a local path works, before a directory of that name is made.

    Raises:
        LipoError: It is one.

    Example:
        >>> require_local(Path("runs/eval"), "out")
    """
    url = url_of(place)
    if url:
        raise LipoError(f"{what} is {url}", "give a local or shared directory, and copy the result when it is done")


@dataclass(frozen=True)
class Entry:
    """One remote file: bytes, and a mark that changes with its content (ETag, else time of change)."""

    size: int
    tag: str


class Remote:
    """A file or folder of a remote store.

    Args:
        url: From :func:`url_of`.

    Raises:
        LipoError: Nobody knows this scheme, or the package for it is not installed.
    """

    advice = "correct the URL"
    """What to do where nothing is found."""

    def __init__(self, url: str) -> None:
        """Choose the implementation; nothing is sent yet."""
        self.url = url
        scheme, _, rest = url.partition("://")
        self._s3 = scheme in ("s3", "s3a")
        if self._s3:
            self._fs, self._root = _arrow_s3(), rest
            return
        self._fs, self._root = _fsspec(url)

    def list(self) -> dict[str, Entry]:
        """List what is there.

        Returns:
            Relative name → entry, sorted; a single file's name is the last part of the URL. Empty if nothing is there.

        Raises:
            LipoError: The store refuses, does not answer, or has a name that leads out of the folder.
        """
        from pyarrow.fs import FileSelector, FileType

        with self._explained("read"):
            own = self._fs.get_file_info(self._root)
            if own.type == FileType.File:
                return {posixpath.basename(self._root): self._entry(own)}
            found = self._fs.get_file_info(FileSelector(self._root, allow_not_found=True, recursive=True))
            files = {posixpath.relpath(i.path, self._root): i for i in found if i.type == FileType.File}
            for name in files:
                if name.startswith(("/", "..")) or "\\" in name or "\0" in name:
                    raise LipoError(f"{self.url} has a file named {name!r}", "remove it there")
            return {name: self._entry(files[name]) for name in sorted(files)}

    def is_file(self) -> bool:
        """Whether the URL names one file."""
        from pyarrow.fs import FileType

        with self._explained("read"):
            return bool(self._fs.get_file_info(self._root).type == FileType.File)

    def _entry(self, info: Any) -> Entry:
        tag = str(info.mtime_ns or "")
        if self._s3:
            with self._fs.open_input_file(info.path) as file:
                tag = (file.metadata() or {}).get("ETag", tag.encode()).decode()
        return Entry(int(info.size), tag)

    @contextmanager
    def reading(self, name: str | None) -> Iterator[Any]:
        """Open a file of the folder, or the file itself, as a stream of bytes."""
        with self._explained("read", name), self._fs.open_input_stream(self._path(name), compression=None) as stream:
            yield stream

    @contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """Open a stream whose bytes become a file; after an exception it may hold a part of them."""
        with self._explained("write", name):
            path = self._path(name)
            if not self._s3:
                self._fs.create_dir(posixpath.dirname(path), recursive=True)
            with self._fs.open_output_stream(path, compression=None) as stream:
                yield stream

    def entry(self, name: str) -> Entry:
        """Look one file up."""
        with self._explained("read", name):
            return self._entry(self._fs.get_file_info(self._path(name)))

    def _path(self, name: str | None) -> str:
        return posixpath.join(self._root, name) if name else self._root

    @contextmanager
    def _explained(self, what: str, name: str | None = None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.filename and not str(error.filename).startswith(self._root):
                raise  # a local file's
            where = f"{self.url}/{name}" if name else self.url
            raise LipoError(
                f"cannot {what} {where}: {_without_secrets(str(error))}",
                "check the URL, the network, and the credentials in the environment (AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL for S3)",
            ) from None


def _arrow_s3() -> Any:
    from pyarrow.fs import S3FileSystem

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # Seconds; the SDK's own, 1 and 3, give a busy server up.
    patience = {"connect_timeout": 10, "request_timeout": 60}
    if not endpoint:
        return S3FileSystem(**patience)
    # Servers other than Amazon's often refuse the checksums in trailers that the SDK sends unasked.
    os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return S3FileSystem(endpoint_override=endpoint, region=region, **patience)


def _fsspec(url: str) -> tuple[Any, str]:
    """Open a store of any other scheme, and tell the URL's place in it."""
    import fsspec
    from fsspec.registry import known_implementations
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    scheme = url.partition(":")[0]
    if scheme not in known_implementations:
        close = difflib.get_close_matches(scheme, list(known_implementations), n=1, cutoff=0.5)
        fix = f"did you mean {close[0]}://?" if close else "use s3://, https:// or another scheme of fsspec's, as gs://"
        raise LipoError(f"cannot open {url}: nothing is known of the scheme {scheme}://", fix)
    try:
        fs, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        # Such as gcsfs.GCSFileSystem; what a class of fsspec's own needs is in the message.
        package = known_implementations[scheme]["class"].partition(".")[0]
        fix = "install the package that it names" if package == "fsspec" else f"pip install {package}"
        raise LipoError(f"cannot open {url}: {scheme}:// needs a further package ({error})", fix) from None
    except (ValueError, OSError) as error:
        reason = _without_secrets(str(error))
        raise LipoError(f"cannot open {url}: {reason}", f"see fsspec's documentation of {scheme}://") from None
    return PyFileSystem(FSSpecHandler(fs)), root


def _without_secrets(text: str) -> str:
    text = " ".join(text.split())[:400]
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return text
