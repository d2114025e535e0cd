"""Requests and answers over one transport: ids, the opening talk, the watch over a server that stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from netclnt.errors import DeadlinePassed, Incompatible, LineBroken, NetclntError
from netclnt.sftp import wire
from netclnt.sftp.transport import CLOSED, WHAT, Transport, Watchdog
from netclnt.sftp.wire import Answer, Limits, Nonsense

_PROGRESS = 16 * 1024
_IDS = 1 << 32
_SUPPORTED = "SFTP version 3"

T = TypeVar("T")


class Session:
    """One SFTP session over a transport that is made when it starts.

    After any error that it raises it is closed, and raises LineBroken for everything. ``timeout`` is the longest time in
    seconds in which a server may neither answer a request whole nor send 16 KiB: then the transport is closed under whoever
    waits, and DeadlinePassed raised.
    """

    def __init__(self, make_transport: Callable[[], Transport], *, address: str, timeout: float) -> None:
        self.address = address
        self._make_transport = make_transport
        self._transport: Transport | None = None
        self._timeout = timeout
        self._watchdog = Watchdog(timeout, self._cut)
        self._inbox = wire.Inbox()
        self._outbox: list[bytes] = []
        self._waiting: dict[int, Callable[[Answer], None]] = {}
        self._last_id = 0
        self._unmarked = 0
        self._closed = False
        self._greeted = False
        self.started = False

    @property
    def waiting(self) -> int:
        """Requests not yet answered."""
        return len(self._waiting)

    def start(self, limited: Callable[[Limits], None]) -> None:
        """Connect, log in, and queue what begins a session. Does nothing when that is done already.

        Nothing waits for the server's version: requests are handled in order, so that the first ones go out with INIT, and
        the version is checked before any answer. ``limited`` gets the server's limits; a server that does not
        know the question says just that, and then has none.
        """
        if self.started:
            return
        self._guarded(self._connect)
        self.started = True
        self.progress()
        self._outbox.append(wire.init())

        def answered(answer: Answer) -> None:
            if isinstance(answer, wire.ExtendedReply):
                limited(wire.parse_limits(answer.payload))
            else:
                limited(Limits(packet=0, read=0, handles=0))

        self.ask(lambda request: wire.extended(request, wire.LIMITS), answered)

    def ask(self, encode: Callable[[int], bytes], answered: Callable[[Answer], None]) -> None:
        """Queue a request, to go out with the next :meth:`flush`. ``answered`` may raise Nonsense, nothing else."""
        request = (self._last_id + 1) % _IDS
        while request in self._waiting:
            request = (request + 1) % _IDS
        self._last_id = request
        self._waiting[request] = answered
        self._outbox.append(encode(request))

    def flush(self) -> None:
        """Send all queued requests in one go."""
        if self._outbox:
            data = b"".join(self._outbox)
            self._outbox.clear()
            self._guarded(lambda: self._line.send(data))

    def pump(self) -> None:
        """Flush, wait for at least one answer, and hand on all that are there."""
        self.flush()
        self._guarded(self._receive_answers)

    def call(self, encode: Callable[[int], bytes]) -> Answer:
        """Send one request and wait for its answer."""
        answers: list[Answer] = []
        self.ask(encode, answers.append)
        while not answers:
            self.pump()
        self.rest()
        return answers[0]

    def progress(self) -> None:
        """The server did something useful: the clock starts anew."""
        self._unmarked = 0
        self._watchdog.progress()

    def rest(self) -> None:
        """Nobody waits for the server just now."""
        self._watchdog.rest()

    def broken(self, error: Nonsense) -> NetclntError:
        """Close for an answer that makes no sense; returns what to raise."""
        return self._last_error(self._line_broken(f"the server sent {error}"))

    def close(self) -> None:
        """Idempotent; from any thread."""
        self._closed = True
        self._watchdog.stop()
        self._cut()

    @property
    def _line(self) -> Transport:
        assert self._transport is not None
        return self._transport

    def _cut(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _connect(self) -> None:
        self._transport = self._make_transport()
        if self._closed:  # by another thread, which saw no transport yet
            self._cut()
        self._transport.open()

    def _guarded(self, work: Callable[[], T]) -> T:
        """Run what may wait for the server, under the watch, and close the session when it fails."""
        if self._closed:
            raise self._line_broken(CLOSED)
        self._watchdog.watch()
        try:
            return work()
        except Nonsense as error:
            raise self.broken(error) from error
        except NetclntError as error:
            raise self._last_error(error) from error

    def _last_error(self, error: NetclntError) -> NetclntError:
        asked_to_close = self._closed
        self.close()
        if self._watchdog.expired:
            return DeadlinePassed(what=WHAT, address=self.address, seconds=self._timeout)
        return self._line_broken(CLOSED) if asked_to_close else error

    def _line_broken(self, cause: str) -> LineBroken:
        return LineBroken(what=WHAT, address=self.address, cause=cause)

    def _greet(self) -> None:
        try:
            while (first := self._inbox.next()) is None:
                self._receive()
        except Nonsense as error:
            raise Incompatible(what="SFTP server", found=str(error), supported=_SUPPORTED) from error
        if not isinstance(first, wire.Version) or first.version != wire.VERSION:
            raise Incompatible(what="SFTP server", found=repr(first)[:80], supported=_SUPPORTED)
        self._greeted = True
        self.progress()

    def _receive_answers(self) -> None:
        if not self._greeted:
            self._greet()
        while (answer := self._inbox.next()) is None:
            self._receive()
        while answer is not None:
            self._hand_on(answer)
            answer = self._inbox.next()

    def _receive(self) -> None:
        for piece in self._line.receive():
            self._inbox.feed(piece)
            self._unmarked += len(piece)
        if self._unmarked >= _PROGRESS:
            self.progress()

    def _hand_on(self, answer: wire.Version | Answer) -> None:
        if isinstance(answer, wire.Version):
            raise Nonsense("VERSION a second time")
        answered = self._waiting.pop(answer.id, None)
        if answered is None:
            raise Nonsense(f"an answer to request {answer.id}, which nobody asked")
        if not isinstance(answer, wire.Data):
            self.progress()  # DATA counts when a READ is whole: single bytes now and then are no progress
        answered(answer)
