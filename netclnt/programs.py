"""Programs of this host, run for their exit code and for what they say: :class:`netclnt.machine.Programs`.

Each runs in a session of its own, so that it can be ended with all that it started; what it starts in yet another session (a
daemon) is left alone. It inherits no descriptor but its three streams, and no signal is ignored or blocked in it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from types import FrameType

from netclnt.child import Child
from netclnt.machine import Ended

_HURRY_SECONDS = 0.5
"""Between SIGTERM and SIGKILL, where netclnt itself has been told to end."""
_DEATH_SECONDS = 2.0
"""Whoever hangs in the kernel does not die even of SIGKILL, and is left behind."""

_SHORTEST_SLICE, _LONGEST_SLICE = 0.001, 0.1
_CHUNK = 64 << 10
_CHUNKS_LEFT = 16
"""More than a pipe holds: what it still held when its program ended, and not what somebody goes on to write."""

_LINE_BYTES = 1000
_OUTPUT_BYTES = 64 << 10
_SIGNALS: tuple[int, ...] = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class LocalPrograms:
    """For the main thread, which hears of signals."""

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        stdin: bytes,
        seconds: float,
        grace: float,
        say: Callable[[str], None],
    ) -> Ended:
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # or else the kernel would keep the exit code to itself
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        child: Child | None = None
        try:
            with _signals_held_back():
                child = Child(argv, stderr=subprocess.STDOUT, env=environment, cwd="/")
            return _Talk(child, stdin, _Lines(say)).end(seconds, grace)
        except (OSError, ValueError) as error:
            if child is not None:
                raise
            return Ended(None, f"cannot be started: {getattr(error, 'strerror', None) or error}")
        finally:
            if child is not None:
                _leave(child)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Within, no signal is ignored, which a child would inherit, and those that come are handled at the end: nobody may raise
    between a child's birth and the moment at which it is known."""
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = {number: handler for number in _SIGNALS if (handler := signal.getsignal(number)) is not None}
    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


class _Talk:
    """One program's standard streams, followed until it ends."""

    def __init__(self, child: Child, stdin: bytes, lines: _Lines) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._child = child
        self._stdin, self._stdout = child.stdin, child.stdout
        self._left = memoryview(stdin)
        self._lines = lines

    def end(self, seconds: float, grace: float) -> Ended:
        """How it ended, if need be by force after so many seconds, and the ``grace``."""
        with DefaultSelector() as selector:
            for stream, event, move in ((self._stdin, EVENT_WRITE, self._write), (self._stdout, EVENT_READ, self._read)):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, event, (stream, move))
            if self._follow(selector, seconds):
                return self._ended()
            _signal_group(self._child, signal.SIGTERM)
            self._follow(selector, grace)
            _signal_group(self._child, signal.SIGKILL)
            self._follow(selector, _DEATH_SECONDS)
            return Ended(None, f"did not end within {seconds:g} seconds", self._lines.end())

    def _ended(self) -> Ended:
        for _ in range(_CHUNKS_LEFT):
            if not self._read():
                break
        said = self._lines.end()
        code = self._child.wait()
        if code >= 0:
            return Ended(code, said=said)
        return Ended(None, f"was ended by {_name(-code)}", said)

    def _follow(self, selector: DefaultSelector, seconds: float) -> bool:
        """Listen until the program has ended; False if that takes longer."""
        until = time.monotonic() + seconds
        pause = _SHORTEST_SLICE
        while not _has_ended(self._child):
            left = until - time.monotonic()
            if left <= 0:
                return False
            ready = selector.select(min(left, pause))
            pause = _SHORTEST_SLICE if ready else min(2 * pause, _LONGEST_SLICE)
            for key, _ in ready:
                stream, move = key.data
                if not move():
                    selector.unregister(stream)
                    stream.close()
        return True

    def _read(self) -> bool:
        """Take what is there; False at the end, and where nothing is there."""
        if self._stdout.closed:
            return False
        with suppress(BlockingIOError):
            data = os.read(self._stdout.fileno(), _CHUNK)
            self._lines.feed(data)
            return bool(data)
        return False

    def _write(self) -> bool:
        """Give what it takes; False when there is no more, or nobody who reads it."""
        try:
            self._left = self._left[os.write(self._stdin.fileno(), self._left) :]
        except BrokenPipeError:
            return False
        return bool(self._left)


class _Lines:
    """Tells the lines of a stream, each cut off where it becomes too long, and the first of them alone where there are too many.
    Keeps no more of it than one line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = b""
        self._cut = False
        self._told = 0
        self._last = ""

    def feed(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._cut:
                self._tell(line)
            self._cut = False
        if len(rest) > _LINE_BYTES and not self._cut:
            self._tell(rest)
            self._cut = True
        self._rest = b"" if self._cut else rest

    def end(self) -> str:
        """The last line that has something in it."""
        if self._rest:
            self._tell(self._rest)
            self._rest = b""
        return self._last

    def _tell(self, line: bytes) -> None:
        text = line[:_LINE_BYTES].decode(errors="backslashreplace").rstrip("\r")
        if len(line) > _LINE_BYTES:
            text += "…"
        self._last = text if text.strip() else self._last
        before, self._told = self._told, self._told + min(len(line), _LINE_BYTES) + 1
        if self._told <= _OUTPUT_BYTES:
            self._say(text)
        elif before <= _OUTPUT_BYTES:
            self._say(f"(what it says beyond {_OUTPUT_BYTES >> 10} KiB is not shown)")


def _has_ended(child: Child) -> bool:
    """Whether it has ended. It is not reaped yet: as long as it is not, nobody else gets its number, and its group's."""
    with suppress(ChildProcessError):
        return child.returncode is not None or os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True


def _signal_group(child: Child, number: int) -> None:
    if child.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)


def _leave(child: Child) -> None:
    """Close the streams, and end the program, with its group, if it has not ended: somebody told netclnt to stop."""
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()
    if child.returncode is None and not _has_ended(child):
        _signal_group(child, signal.SIGTERM)
        _wait(child, _HURRY_SECONDS)
        _signal_group(child, signal.SIGKILL)
        _wait(child, _DEATH_SECONDS)
    if _has_ended(child):
        child.wait()


def _wait(child: Child, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not _has_ended(child) and time.monotonic() < until:
        time.sleep(_SHORTEST_SLICE * 10)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"
