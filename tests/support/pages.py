"""A page on the web on loopback, for what netclnt tells others of its runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "secret-0123"


@dataclass
class Page:
    """What it answers, and what it heard: the path and the body of each request."""

    status: int = 200
    location: str = ""
    heard: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    @property
    def paths(self) -> list[str]:
        return [path.removeprefix(f"/{SECRET}") for path, _ in self.heard]


@contextmanager
def page() -> Iterator[Page]:
    opened = Page()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            opened.heard.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(opened.status)
            if opened.location:
                self.send_header("Location", opened.location)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        opened.url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield opened
        finally:
            server.shutdown()
            thread.join()
