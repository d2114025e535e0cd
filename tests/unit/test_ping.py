"""One POST to a page on the web: bounded, quiet about its secret, and led nowhere else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from netclnt.config.readers import Unfit, web_page
from netclnt.errors import Unreachable
from netclnt.ping import post, shown, url_of
from tests.support import pages
from tests.support.pages import Page


@pytest.fixture
def page() -> Iterator[Page]:
    with pages.page() as opened:
        yield opened


def test_a_page_hears_the_body(page: Page) -> None:
    post(page.url, "OK: no image changed", seconds=10)
    assert page.heard == [("/secret-0123", "OK: no image changed")]


@pytest.mark.parametrize("before", range(4))
def test_a_body_ends_with_a_whole_character(page: Page, before: int) -> None:
    post(page.url, "x" * before + "€" * 1000, seconds=10)
    assert page.heard[0][1] == "x" * before + "€" * ((1000 - before) // 3)


def test_a_body_is_bounded(page: Page) -> None:
    post(page.url, "x" * 100_000, seconds=10)
    assert len(page.heard[0][1]) == 1000


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
def test_whatever_is_not_a_success_is_a_failure_without_the_secret(page: Page, status: int) -> None:
    page.status = status
    with pytest.raises(Unreachable, match=str(status)) as failed:
        post(page.url, "", seconds=10)
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/elsewhere"])
def test_a_redirection_leads_nowhere(page: Page, target: str) -> None:
    page.status, page.location = 302, target
    with pytest.raises(Unreachable):
        post(page.url, "", seconds=10)
    assert [path for path, _ in page.heard] == ["/secret-0123"]


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="refused") as failed:
        post(f"http://127.0.0.1:{port}/secret", "", seconds=10)
    assert "secret" not in str(failed.value)


def test_a_page_that_stands_still_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, pytest.raises(Unreachable, match=r"no answer|timed out|TimeoutError"):
        post(f"http://127.0.0.1:{deaf.getsockname()[1]}/x", "", seconds=0.2)


def test_an_answer_that_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def answer() -> None:
            connection, _ = odd.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"hello\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unreachable):
            post(f"http://127.0.0.1:{odd.getsockname()[1]}/x", "", seconds=10)
        thread.join()


def test_a_proxy_of_the_environment_is_used(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", page.url)
    monkeypatch.delenv("no_proxy", raising=False)
    post("http://ping.example/abc", "x", seconds=10)
    assert page.heard == [("http://ping.example/abc", "x")]


def test_a_proxy_of_an_unknown_kind_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(Unreachable):
        post("http://ping.example/abc", "x", seconds=10)


def test_the_urls_of_healthchecks() -> None:
    assert url_of("https://hc.example/uuid", "") == "https://hc.example/uuid"
    assert url_of("https://hc.example/uuid/", "start") == "https://hc.example/uuid/start"
    assert url_of("https://hc.example/uuid?create=1", "5") == "https://hc.example/uuid/5?create=1"
    assert shown("https://hc.example:8443/uuid?key=1") == "https://hc.example:8443/…"


@pytest.mark.parametrize("url", ["https://hc.example/uuid", "http://[::1]:8000/ping/x/y?rid=1"])
def test_good_pages(url: str) -> None:
    assert web_page(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://x/y", "https://", "https:///x", "x", "https://a b/", "https://hc.example/\u00fc"),
        *("https://user:secret@hc.example/x", "https://hc.example/x#secret", "https://hc.example:0/", "https://hc.example:x/", 3),
    ],
)
def test_bad_pages_are_refused_without_telling_them(url: object) -> None:
    with pytest.raises(Unfit) as refused:
        web_page(url)
    assert "secret" not in str(refused.value)
