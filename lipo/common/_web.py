"""A file or folder of a web server, read with the standard library: no further package, and proxies as everywhere.

fsspec's reader takes a folder for a file, knows no sizes in a folder, and says of every error that nothing is there.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urljoin

from lipo.common._remote import Entry, Remote
from lipo.common.errors import LipoError

_PATIENCE_SECONDS = 60.0
_LONGEST_LISTING = 16 << 20
_MOST_FILES = 10_000
_DEEPEST = 8
_FOLDERS = "a folder must be listed by its server, as nginx' autoindex and 'python -m http.server' do"


class Web(Remote):
    """A file or folder of a web server; nothing can be written.

    Args:
        url: From :func:`lipo.common.storage.url_of`, with ``http`` or ``https``.
    """

    advice = f"correct the URL; {_FOLDERS}"

    def __init__(self, url: str) -> None:
        """Name the place; nothing is sent yet."""
        self.url = url
        self._single: bool | None = None

    def list(self) -> dict[str, Entry]:
        """List what is there; see :meth:`lipo.common._remote.Remote.list`."""
        own, headers = self._head(self.url)
        if own is None:
            return {}
        self._single = not (own.endswith("/") or _is_page(headers))
        if self._single:
            return {self.url.rpartition("/")[2]: _entry(self.url, headers)}
        found: dict[str, Entry] = {}
        self._walk(self.url, "", found, _DEEPEST)
        if not found:
            raise LipoError(f"{self.url} is a page without links to files below it", f"correct the URL; {_FOLDERS}")
        return dict(sorted(found.items()))

    def is_file(self) -> bool:
        """Whether the URL names one file."""
        if self._single is None:
            self.list()
        return bool(self._single)

    def entry(self, name: str) -> Entry:
        """Look one file up."""
        url = self._place(name)
        found, headers = self._head(url)
        if found is None:
            raise LipoError(f"nothing at {url}", "correct the URL")
        return _entry(url, headers)

    @contextmanager
    def reading(self, name: str | None) -> Iterator[Any]:
        """Open a file of the folder, or the file itself, as a stream of bytes."""
        url = self._place(name)
        with _explained(url), _open("GET", url) as stream:
            yield stream

    @contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """Refuse: web servers only give."""
        raise LipoError(f"cannot write {self.url}: web servers are only read", "write to s3:// or to a directory")
        yield

    def _place(self, name: str | None) -> str:
        return f"{self.url}/{quote(name)}" if name else self.url

    def _head(self, url: str) -> tuple[str | None, Any]:
        """Ask for a file's headers; its final place is None where nothing is there."""
        with _explained(url):
            try:
                with _open("HEAD", url) as answer:
                    return answer.geturl(), answer.headers
            except urllib.error.HTTPError as error:
                if error.code in (404, 410):
                    return None, {}
                if error.code not in (405, 501):
                    raise
            # A server without HEAD.
            with _open("GET", url) as answer:
                return answer.geturl(), answer.headers

    def _walk(self, url: str, prefix: str, found: dict[str, Entry], depth: int) -> None:
        """Follow the links of a listing that lead to files and folders right below it."""
        with _explained(url), _open("GET", url + "/") as answer:
            base, page = answer.geturl(), answer.read(_LONGEST_LISTING)
        links = _Links()
        links.feed(page.decode("utf-8", errors="replace"))
        for link in dict.fromkeys(links.found):
            target = urljoin(base, link)
            rest = target.removeprefix(base)
            name = unquote(rest.rstrip("/"))
            # Not the parent, a sorted view, another server's, nor a name that leads out of the folder.
            if rest == target or not name or set(name) & set("/\\\0?#") or name in (".", "..") or "?" in rest:
                continue
            if rest.endswith("/"):
                if depth:
                    self._walk(f"{url}/{quote(name)}", f"{prefix}{name}/", found, depth - 1)
                continue
            if len(found) >= _MOST_FILES:
                raise LipoError(f"{self.url} lists more than {_MOST_FILES} files", "give the folder of one model")
            found[prefix + name] = self.entry(prefix + name)


class _Links(HTMLParser):
    """Collects the targets of links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the target of a link."""
        if tag == "a":
            self.found += [value for key, value in attrs if key == "href" and value]


def _is_page(headers: Any) -> bool:
    return str(headers.get("Content-Type", "")).partition(";")[0].strip().lower() == "text/html"


def _entry(url: str, headers: Any) -> Entry:
    size = str(headers.get("Content-Length", ""))
    if not size.isdecimal():
        raise LipoError(f"the server does not tell the size of {url}", "use a server that does, or copy the file")
    return Entry(int(size), headers.get("ETag") or headers.get("Last-Modified") or "")


def _open(method: str, url: str) -> Any:
    # A compressed answer would have another size; the scheme is http or https, and no other is followed.
    headers = {"Accept-Encoding": "identity", "User-Agent": "lipo"}
    request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310
    return _OPENER.open(request, timeout=_PATIENCE_SECONDS)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only, and never from a protected connection to an open one; a HEAD stays one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Make the next request, or refuse."""
        scheme = newurl.partition(":")[0].lower()
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise urllib.error.URLError(f"it redirects to {scheme}://")
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following:
            following.method = req.get_method()
        return following


_OPENER = urllib.request.build_opener(_Redirects)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        asks = error.code in (401, 403)
        fix = "only what is public can be read from the web; copy it" if asks else Web.advice
        raise LipoError(f"cannot read {url}: the server answers {error.code} {error.reason}", fix) from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise LipoError(f"cannot read {url}: {reason}", "check the URL and the network") from None
