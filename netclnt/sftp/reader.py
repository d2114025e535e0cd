"""The pipelined reader: many READs in flight on one transport, answers in any order, bytes out as ranges are complete."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Generic, TypeVar

from netclnt.allowance import Allowance, unlimited
from netclnt.errors import Damaged, NetclntError, Paused, SourceMissing
from netclnt.model import SIZE_MAX, Range, check_range
from netclnt.naming import check_path
from netclnt.pacing import Pace
from netclnt.sftp import wire
from netclnt.sftp.address import Parent
from netclnt.sftp.flow import READ_MIN, Flow, Mark
from netclnt.sftp.session import Session
from netclnt.sftp.transport import Transport
from netclnt.sftp.wholefile import WholeFiles
from netclnt.sftp.wire import READ_MAX, Answer, Limits, Nonsense, Status, StatusCode, bytes_on_the_line

R = TypeVar("R", bound=Range)

REQUESTS_MAX = 256

HANDLES = 64
"""Most files open at the server at a time, if it allows twice as many."""

_HANDLES_UNTOLD = 4
"""The same before the server has told its limits."""

_LOGIN = 4096
"""Bytes that come with a login, about."""

_SLACK = 0.25
"""Seconds of a cap to have in flight more than the round trip asks for."""

_SMALL_ANSWER = 80
"""Bytes of an answer without a payload, on an encrypted line, about."""

_OF_THE_FILE = (StatusCode.NO_SUCH_FILE, StatusCode.PERMISSION_DENIED, StatusCode.FAILURE)


@dataclass(slots=True, eq=False)
class _Work(Generic[R]):
    """One call of fetch: ranges under way, ranges done and not yet handed out, what went wrong first, and why nothing more may be
    asked for."""

    done: deque[tuple[R, bytes]] = field(default_factory=deque)
    under_way: int = 0
    splitting: _Assembly[R] | None = None
    error: NetclntError | None = None
    paused: Paused | None = None
    over: bool = False


@dataclass(slots=True, eq=False)
class _Assembly(Generic[R]):
    """One range on its way. ``asked`` and ``missing`` count its bytes; ``pieces`` are payloads by their offset in the file."""

    work: _Work[R]
    range: R
    missing: int
    asked: int = 0
    pieces: dict[int, Sequence[memoryview]] = field(default_factory=dict)

    def add(self, offset: int, data: wire.Data) -> None:
        if self.work.over:
            return
        self.pieces[offset] = data.parts
        self.missing -= data.size
        if not self.missing:
            self.work.done.append((self.range, self._joined()))
            self.work.under_way -= 1

    def _joined(self) -> bytes:
        parts, self.pieces = self.pieces, {}
        return b"".join(chain.from_iterable(parts[offset] for offset in sorted(parts)))


@dataclass(slots=True, eq=False)
class _Read:
    """``length`` bytes at ``offset`` of a file, wanted by ``owner``."""

    file: _File
    owner: _Assembly[Any]
    offset: int
    length: int


@dataclass(slots=True, eq=False)
class _File:
    """A file open at the server, or about to be. ``unanswered`` counts its READs; ``backlog`` are those not yet sent."""

    path: str
    handle: bytes | None = None
    unanswered: int = 0
    backlog: list[_Read] = field(default_factory=list)
    forgotten: bool = False


class SftpSource:
    """A :class:`~netclnt.protocols.Source` over one transport, made and opened with the first read, and closed with it.

    ``timeout`` is in seconds, as in :class:`~netclnt.sftp.session.Session`. ``flow`` says how much to ask for ahead of the
    answers, and is told how they come; ``pace`` caps what is asked for, with all who share it, and ``allowance`` says whether
    anything may be asked for: if not, what is in flight is still taken in and handed out, and then Paused raised. A fetch may be
    begun from within the iterable of another one. Errors of the line close the source for good.
    """

    def __init__(
        self,
        make_transport: Callable[[], Transport],
        parent: Parent,
        *,
        timeout: float,
        flow: Flow | None = None,
        pace: Pace | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self._session = Session(make_transport, address=str(parent), timeout=timeout)
        self._parent = parent
        self._flow = flow or Flow()
        self._pace = pace or Pace()
        self._allowance = allowance or unlimited()
        self._closed = False
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._chunk = READ_MAX
        self._handles = _HANDLES_UNTOLD
        self._open = 0
        self._reads = 0
        self._asked = 0
        self._bytes_received = 0
        self._whole = WholeFiles(
            self._session,
            self._pace,
            longest=self._longest,
            wait=self._wait,
            received=self._received_whole,
            refused=self._refused,
        )

    @property
    def address(self) -> str:
        return self._session.address

    @property
    def connections(self) -> int:
        return int(self._session.started)

    @property
    def bytes_received(self) -> int:
        return self._bytes_received

    def close(self) -> None:
        self._closed = True
        self._session.close()
        self._pace.wake()

    def read_file(self, path: str, *, limit: int) -> bytes:
        check_path(path)
        self._allowance.check()
        self._start()
        self._forget(path)
        try:
            return self._whole.read(path, self._parent.path(path), limit=limit)
        except Nonsense as error:
            raise self._session.broken(error) from error
        finally:
            self._session.rest()

    def fetch(self, ranges: Iterable[R]) -> Iterator[tuple[R, bytes]]:
        work: _Work[R] = _Work()
        feed = iter(ranges)
        more = True
        try:
            while True:
                more = more and self._refill(work, feed)
                self._session.flush()
                while work.done:
                    self._session.rest()
                    yield work.done.popleft()
                if work.error is not None:
                    raise work.error
                if work.paused is not None and not self._reads:
                    raise work.paused
                if not more and not work.under_way:
                    return
                if self._session.waiting:
                    self._session.pump()
        finally:
            work.over = True

    # --- ranges into requests

    def _refill(self, work: _Work[R], feed: Iterator[R]) -> bool:
        """Ask for more while bytes in flight allow; False when ``feed`` is at its end, or nothing more may be asked for."""
        while work.error is None and self._asked < self._flow.window and self._reads < REQUESTS_MAX:
            if work.splitting is not None:
                if not self._ask_piece(work, work.splitting):
                    break
                continue
            self._session.rest()
            taken = next(feed, None)
            if taken is None:
                return False
            if not check_range("range length", taken.length, 0, SIZE_MAX):
                work.done.append((taken, b""))
                break
            check_range("range offset", taken.offset, 0, SIZE_MAX)
            work.paused = work.paused or self._allowance.take(taken.length)
            if work.paused is not None:
                return False
            work.splitting = _Assembly(work, taken, missing=taken.length)
            work.under_way += 1
        return True

    def _ask_piece(self, work: _Work[R], assembly: _Assembly[R]) -> bool:
        """Ask for the next bytes of a range; False if they, or one more open file, must wait for answers to others, or nothing
        more may be asked for."""
        work.paused = work.paused or self._allowance.closed()
        if work.paused is not None:
            return False
        self._start()
        wanted = assembly.range
        length = min(self._longest(), wanted.length - assembly.asked)
        if self._asked and self._asked + length > self._allowed(length):
            return False
        file = self._file(wanted.path)
        if file is None:
            return False
        self._take(bytes_on_the_line(length))
        piece = _Read(file, assembly, wanted.offset + assembly.asked, length)
        assembly.asked += length
        if assembly.asked == wanted.length:
            work.splitting = None
        self._reads += 1
        self._asked += length
        file.unanswered += 1
        self._send(piece)
        return True

    def _send(self, piece: _Read) -> None:
        file, work = piece.file, piece.owner.work
        if file.handle is None:
            file.backlog.append(piece)
            return
        work.paused = work.paused or self._allowance.closed()  # it waited for the cap, or for its file
        if work.paused is not None:
            self._drop(piece)
            return
        encode = partial(wire.read, handle=file.handle, offset=piece.offset, length=piece.length)
        self._session.ask(encode, partial(self._answered, piece, self._flow.mark()))

    def _longest(self) -> int:
        """Bytes to ask for at once."""
        return self._pace.longest_request(min(self._chunk, self._flow.request))

    def _allowed(self, length: int) -> int:
        """Bytes that may be in flight when ``length`` are asked for: two requests at the least, and under a cap no more than it
        lets through in about two round trips."""
        window, rate = self._flow.window, self._pace.rate
        if rate is None:
            return window
        return max(2 * length, min(window, int(rate * (2 * (self._flow.round_trip or 0) + _SLACK))))

    def _take(self, count: int) -> None:
        """Take bytes of the cap, waiting for them if need be; what was asked for so far goes out before."""
        if self._pace.rate is not None:
            self._session.flush()
            self._session.rest()
            self._pace.take(count, given_up=lambda: self._closed)

    def _wait(self) -> None:
        """Wait until any byte may be asked for. Raises Paused."""
        self._take(0)
        self._allowance.check()

    def _received_whole(self, size: int) -> None:
        self._count(size)
        self._allowance.charge(size)

    def _answered(self, piece: _Read, mark: Mark, answer: Answer) -> None:
        match answer:
            case wire.Data(size=size) if 0 < size <= piece.length:
                self._count(size)
                self._flow.received(mark, size)
                piece.owner.add(piece.offset, answer)
                self._asked -= size
                piece.offset += size
                piece.length -= size
                if piece.length and not piece.owner.work.over:
                    self._chunk = max(READ_MIN, min(self._chunk, size))
                    self._send(piece)
                    return
            case Status() if answer.code is not StatusCode.OK:
                self._fail(piece, self._refused(piece.file.path, answer))
            case _:
                raise Nonsense(f"{wire.described(answer)} in answer to a READ of {piece.length} bytes")
        self._drop(piece)
        self._session.progress()

    def _count(self, size: int) -> None:
        self._bytes_received += size

    def _fail(self, piece: _Read, error: NetclntError) -> None:
        if piece.owner.work.error is None:
            piece.owner.work.error = error

    def _drop(self, piece: _Read) -> None:
        self._reads -= 1
        self._asked -= piece.length
        piece.file.unanswered -= 1
        self._close_unused(piece.file)

    # --- open files

    def _start(self) -> None:
        if self._session.started:
            return
        self._take(_LOGIN)
        self._session.start(self._limit)

    def _limit(self, limits: Limits) -> None:
        if limits.read:
            self._chunk = max(READ_MIN, min(READ_MAX, limits.read))
        self._handles = max(1, min(HANDLES, limits.handles // 2)) if limits.handles else HANDLES

    def _file(self, path: str) -> _File | None:
        """The file, open or about to be; None if too many others are in use."""
        file = self._files.get(path)
        if file is None:
            check_path(path)
            if self._open >= self._handles and not self._close_idle():
                return None
            file = self._files[path] = _File(path)
            self._open += 1
            self._pace.charge(2 * _SMALL_ANSWER)  # for this and for the CLOSE
            encode = partial(wire.open_file, path=self._parent.path(path))
            self._session.ask(encode, partial(self._opened, file, self._flow.mark()))
        self._files.move_to_end(path)
        return file

    def _opened(self, file: _File, mark: Mark, answer: Answer) -> None:
        self._flow.returned(mark)
        backlog, file.backlog = file.backlog, []
        match answer:
            case wire.Handle(handle=handle):
                file.handle = handle
                for piece in backlog:
                    self._send(piece)
            case Status() if answer.code is not StatusCode.OK:
                self._open -= 1
                error = self._refused(file.path, answer)
                for piece in backlog:
                    self._fail(piece, error)
                    self._drop(piece)
            case _:
                raise Nonsense(f"{wire.described(answer)} in answer to an OPEN")

    def _refused(self, path: str, status: Status) -> NetclntError:
        """The error for a file that the server does not give."""
        if status.code is StatusCode.EOF:
            return Damaged(what="file of the store", where=path, problem="it ends too early")
        if status.code not in _OF_THE_FILE:
            raise Nonsense(wire.described(status))
        for name in list(self._files):  # the store has changed, so that other open files may be old ones too
            self._forget(name)
        return SourceMissing(path=path, cause=status.message or status.code.name)

    def _close_idle(self) -> bool:
        """Close the file that was not read for the longest time; False if all are in use."""
        for file in self._files.values():
            if file.handle is not None and not file.unanswered:
                self._forget(file.path)
                return True
        return False

    def _forget(self, path: str) -> None:
        """Open the file anew next time."""
        file = self._files.pop(path, None)
        if file is not None:
            file.forgotten = True
            self._close_unused(file)

    def _close_unused(self, file: _File) -> None:
        if file.forgotten and file.handle is not None and not file.unanswered:
            self._close_handle(file.handle)
            file.handle = None
            self._open -= 1

    def _close_handle(self, handle: bytes) -> None:
        self._session.ask(partial(wire.close, handle=handle), wire.ignored)
