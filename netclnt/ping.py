"""A page on the web that wants to hear of each run, as healthchecks.io and its kin: one POST, bounded in time and size."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

from netclnt import __version__
from netclnt.callthread import Overdue, call_within
from netclnt.errors import Unreachable

_BODY_MAX = 1000
_ANSWER_MAX = 4096


def url_of(url: str, suffix: str) -> str:
    """The URL with one more component of its path, before any query; with none for an empty suffix."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{suffix}")) if suffix else url


def shown(url: str) -> str:
    """The URL for people: its path and query are what keeps others from using it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"


def post(url: str, body: str, *, seconds: float) -> None:
    """One attempt, resolving the name included, that ends after ``seconds``. A proxy of the environment is used; no redirection
    is followed: it could lead anywhere. Raises Unreachable, without the URL's secret."""
    try:
        status = call_within(seconds, lambda: _status(url, body, seconds))
    except Overdue:
        raise _unreachable(url, f"no answer within {seconds:g} seconds") from None
    except urllib.error.URLError as error:
        raise _unreachable(url, str(getattr(error.reason, "strerror", None) or error.reason)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, getattr(error, "strerror", None) or type(error).__name__) from None
    if not 200 <= status < 300:
        raise _unreachable(url, f"it answers with HTTP status {status}")


def _status(url: str, body: str, seconds: float) -> int:
    headers = {"User-Agent": f"netclnt/{__version__}", "Content-Type": "text/plain; charset=utf-8"}
    request = urllib.request.Request(url, data=_body(body), headers=headers, method="POST")
    with _opener().open(request, timeout=seconds) as response:
        response.read(_ANSWER_MAX)
        return int(response.status)


def _body(text: str) -> bytes:
    """The beginning of a text, whole characters of it."""
    return text.encode(errors="backslashreplace")[:_BODY_MAX].decode(errors="ignore").encode()


def _opener() -> urllib.request.OpenerDirector:
    """Knows http and https only, and takes any answer for what it is."""
    opener = urllib.request.OpenerDirector()
    for kind in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(kind())
    return opener


def _unreachable(url: str, cause: str) -> Unreachable:
    return Unreachable(what="ping_url", address=shown(url), cause=cause)
