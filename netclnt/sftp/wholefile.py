"""A whole small file: opened, read and closed within two round trips, never more of it than allowed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from netclnt.errors import Damaged, ForbiddenValue, NetclntError
from netclnt.pacing import Pace
from netclnt.sftp import wire
from netclnt.sftp.session import Session
from netclnt.sftp.wire import Answer, Nonsense, Status, StatusCode, bytes_on_the_line


class WholeFiles:
    """Reads files over ``session``. ``longest`` says how many bytes to ask for at once, ``wait`` waits for the cap, ``received``
    is told of each payload, ``refused`` makes an error of a status. Raises that, and Nonsense."""

    def __init__(
        self,
        session: Session,
        pace: Pace,
        *,
        longest: Callable[[], int],
        wait: Callable[[], None],
        received: Callable[[int], None],
        refused: Callable[[str, Status], NetclntError],
    ) -> None:
        self._session = session
        self._pace = pace
        self._longest = longest
        self._wait = wait
        self._received = received
        self._refused = refused

    def read(self, path: str, name: bytes, *, limit: int) -> bytes:
        """The content of what the server calls ``name`` and the store ``path``. Raises ForbiddenValue beyond ``limit`` bytes, and
        Damaged if there are fewer than the server itself says."""
        opened = self._session.call(partial(wire.open_file, path=name))
        match opened:
            case wire.Handle(handle=handle):
                try:
                    return self._content(path, handle, limit)
                finally:
                    self._session.ask(partial(wire.close, handle=handle), wire.ignored)
            case Status() if opened.code is not StatusCode.OK:
                raise self._refused(path, opened)
        raise Nonsense(f"{wire.described(opened)} in answer to an OPEN")

    def _content(self, path: str, handle: bytes, limit: int) -> bytes:
        """A file's content: its size is asked and its beginning read in one round trip."""
        facts: list[Answer] = []
        self._session.ask(partial(wire.fstat, handle=handle), facts.append)
        answer = self._session.call(self._next_read(handle, 0, limit))
        while not facts:
            self._session.pump()
        size = facts[0].size or 0 if isinstance(facts[0], wire.Attributes) else 0
        content = bytearray()
        while True:
            data = self._payload(path, answer, limit + 1 - len(content))
            self._pace.charge(bytes_on_the_line(len(data)))
            content += data
            largest = max(len(content), size)
            if largest > limit:
                raise ForbiddenValue(what=f"size of {path}", value=str(largest), rule=f"at most {limit} bytes")
            if not data or len(content) == size:
                break
            self._wait()
            answer = self._session.call(self._next_read(handle, len(content), limit))
        if len(content) < size:
            raise Damaged(what="file of the store", where=path, problem=f"it ends after {len(content)} of {size} bytes")
        return bytes(content)

    def _next_read(self, handle: bytes, offset: int, limit: int) -> Callable[[int], bytes]:
        return partial(wire.read, handle=handle, offset=offset, length=min(self._longest(), limit + 1 - offset))

    def _payload(self, path: str, answer: Answer, asked: int) -> bytes:
        """Empty at the end of the file."""
        match answer:
            case wire.Data(size=size) if 0 < size <= asked:
                self._received(size)
                return b"".join(answer.parts)
            case Status(code=StatusCode.EOF):
                return b""
            case Status() if answer.code is not StatusCode.OK:
                raise self._refused(path, answer)
        raise Nonsense(f"{wire.described(answer)} in answer to a READ of {asked} bytes")
