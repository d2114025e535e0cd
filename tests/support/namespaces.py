"""Two network namespaces of our own with a line between them: narrow (``tc tbf`` on a veth pair) or long (a relay of packets).

The namespaces have no names: they are open descriptors of this process, and end with it or with the ``with`` block, together
with all devices in them. Nothing of the machine's own network is touched. What starts within :meth:`Namespace.entered` (a
process, a thread, a socket) lives in that namespace for good.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

MASTER_ADDRESS = "10.213.0.1"
SLAVE_ADDRESS = "10.213.0.2"
DEVICE = "line"
TOP = Path(__file__).parents[2]

_BURST_MIN = 6000
_BURST_SECONDS = 0.005
"""What the bucket holds, in bytes, or in seconds of the line: less, and a busy machine's late timers waste the rate."""

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
_OFFLOAD_CHECKSUM, _OFFLOAD_TCP4 = 0x01, 0x02
_libc = ctypes.CDLL(None, use_errno=True)


class Missing(Exception):
    """This machine cannot do it; the text says why."""


@dataclass(frozen=True)
class Traffic:
    """What a device counted so far: bytes and packets, headers of the link layer included."""

    received: int
    received_packets: int
    sent: int
    sent_packets: int


@dataclass(frozen=True)
class Namespace:
    """``descriptor`` is that of the namespace; ``address`` its own on the line."""

    descriptor: int
    address: str

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Within, this thread is in the namespace, and what it starts."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self.descriptor)
            try:
                yield
            finally:
                _enter(own)
        finally:
            os.close(own)

    def run(self, *words: str) -> str:
        """Run a short command in the namespace, to its end. Raises Missing when it fails."""
        with self.entered():
            try:
                done = subprocess.run(words, capture_output=True, text=True, check=False)
            except OSError as error:
                raise Missing(f"{words[0]}: {error.strerror}") from error
        if done.returncode:
            raise Missing(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def traffic(self) -> Traffic:
        """Of the line's end in this namespace."""
        with self.entered():
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        (counts,) = (line.split(":")[1].split() for line in lines if line.strip().startswith(f"{DEVICE}:"))
        return Traffic(*(int(counts[column]) for column in (0, 1, 8, 9)))


@dataclass(frozen=True)
class Line:
    """A master's and a slave's namespace, joined by nothing but the line."""

    master: Namespace
    slave: Namespace

    @contextmanager
    def watched(self, *, every: float = 0.1) -> Iterator[list[tuple[float, Traffic]]]:
        """A list that grows by (seconds of the monotonic clock, traffic at the slave's end) as time goes by."""
        seen: list[tuple[float, Traffic]] = [(time.monotonic(), self.slave.traffic())]
        over = Event()

        def watch() -> None:
            while not over.wait(every):
                seen.append((time.monotonic(), self.slave.traffic()))

        thread = Thread(target=watch, name="watch", daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()
            seen.append((time.monotonic(), self.slave.traffic()))


@contextmanager
def narrow_line(kilobits: int, *, queue_milliseconds: int = 100) -> Iterator[Line]:
    """So many thousand bits a second in each direction, counted with the headers of the link layer, as the kernel's token
    bucket does; the queue before it holds packets so long. Next to no delay beside that. Raises Missing."""
    with _pair() as line:
        line.master.run("ip", "link", "add", DEVICE, "type", "veth", "peer", "name", DEVICE, "netns", line.slave.path)
        burst = max(_BURST_MIN, round(kilobits * 125 * _BURST_SECONDS))
        bucket = ["tbf", "rate", f"{kilobits}kbit", "burst", str(burst), "latency", f"{queue_milliseconds}ms"]
        for end in (line.master, line.slave):
            end.run("ip", "address", "add", f"{end.address}/30", "dev", DEVICE)
            end.run("ip", "link", "set", DEVICE, "up")
            # one packet of the wire at a time: the counters tell what a wire would carry, and the queue is one of packets
            end.run("ip", "link", "set", DEVICE, "gso_max_segs", "1")
            end.run("tc", "qdisc", "replace", "dev", DEVICE, "root", *bucket)
        yield line


@contextmanager
def long_line(
    *, round_trip: float, megabits: int, queue_seconds: float = 0.1, trace: Path | None = None, loss: float = 0.0
) -> Iterator[Line]:
    """A line with a ``round_trip`` in seconds, and a rate in each direction.

    The kernel here need not have ``netem``: a process of ours carries the packets from one end's tunnel device to the
    other's, each after its time, so that TCP is the kernel's own from end to end. A queue of ``queue_seconds`` is before the
    rate; what comes on top is dropped, and so is a share of ``loss`` of all packets. ``trace`` receives a line for each packet,
    as :mod:`tests.support.relay` says. Raises Missing.
    """
    with _pair() as line, ExitStack() as opened:
        tunnels = [opened.enter_context(closing(_Tunnel(end))) for end in (line.master, line.slave)]
        for end, other in ((line.master, line.slave), (line.slave, line.master)):
            end.run("ip", "link", "set", DEVICE, "up", "txqueuelen", "10000")
            end.run("ip", "address", "add", end.address, "peer", other.address, "dev", DEVICE)
        numbers = [str(tunnel.descriptor) for tunnel in tunnels]
        rules = [str(round_trip / 2), str(megabits * 125_000), str(queue_seconds), str(trace or ""), str(loss)]
        relay = subprocess.Popen(
            [sys.executable, "-m", "tests.support.relay", *numbers, *rules],
            pass_fds=[tunnel.descriptor for tunnel in tunnels],
            stdin=subprocess.PIPE,
            cwd=TOP,
        )
        assert relay.stdin is not None
        try:
            yield line
        finally:
            relay.stdin.close()
            relay.wait()


class _Tunnel:
    """A tunnel device in a namespace, there as long as it is open. It hands on and takes long packets with their
    ``virtio_net_hdr``, so that a fast line costs few of them."""

    def __init__(self, end: Namespace) -> None:
        with end.entered():
            try:
                self.descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
                flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR
                fcntl.ioctl(self.descriptor, _TUNSETIFF, struct.pack("16sH14x", DEVICE.encode(), flags))
                fcntl.ioctl(self.descriptor, _TUNSETOFFLOAD, _OFFLOAD_CHECKSUM | _OFFLOAD_TCP4)
            except OSError as error:
                raise Missing(f"tunnel devices: {error.strerror}") from error

    def close(self) -> None:
        os.close(self.descriptor)


@contextmanager
def _pair() -> Iterator[Line]:
    """Two namespaces with a loopback each, and no line yet."""
    if os.geteuid():
        raise Missing("network namespaces need root")
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            raise Missing(f"{program} (iproute2) is not installed")
    with ExitStack() as opened:
        ends = []
        for address in (MASTER_ADDRESS, SLAVE_ADDRESS):
            end = Namespace(_new_namespace(), address)
            opened.callback(os.close, end.descriptor)
            end.run("ip", "link", "set", "lo", "up")
            ends.append(end)
        yield Line(*ends)


def _new_namespace() -> int:
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(_CLONE_NEWNET):
            raise Missing(f"network namespaces: {os.strerror(ctypes.get_errno())}")
        made = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _enter(own)
        return made
    finally:
        os.close(own)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
