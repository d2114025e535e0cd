"""The arithmetic of the benchmark's lines: bytes on the wire, what came when, round trips."""

from __future__ import annotations

import struct

import pytest

from tests.bench.lines import flow_of
from tests.bench.turns import Packet, before_content, turns
from tests.support.namespaces import Traffic
from tests.support.relay import told, wire_bytes

ROUND_TRIP = 0.1


def packet(*, payload: int, segment: int = 0, flags: int = 0, ports: tuple[int, int] = (22, 40000)) -> bytes:
    """A virtio_net_hdr, and IPv4 and TCP without options around so many bytes."""
    header = struct.pack("=BBHHHH", 0, 1 if segment else 0, 40, segment, 0, 0)
    internet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + payload, 0, 0, 64, 6, 0, bytes(4), bytes(4))
    tcp = struct.pack("!HHIIBBHHH", *ports, 0, 0, 5 << 4, flags, 0, 0, 0)
    return header + internet + tcp + bytes(payload)


def test_a_long_packet_takes_the_headers_of_all_its_segments() -> None:
    assert wire_bytes(packet(payload=1000)) == 1000 + 40 + 14
    assert wire_bytes(packet(payload=3000, segment=1000)) == 3 * (1000 + 40 + 14)
    assert wire_bytes(packet(payload=3001, segment=1000)) == 3001 + 4 * (40 + 14)


def test_the_trace_names_the_ends_ports_alike_in_both_directions() -> None:
    assert told(packet(payload=7), 1.5, ">") == "1.500000 > 22 40000 - 7\n"
    assert told(packet(payload=0, flags=2, ports=(40000, 22)), 2, "<") == "2.000000 < 22 40000 S 0\n"
    assert told(bytes(10) + b"\x60" + bytes(60), 1, ">") == ""  # IPv6


def seen(*events: tuple[float, str, int]) -> list[Packet]:
    """(seconds, mark, payload); ``S`` is a SYN of either end."""
    return [Packet(at, mark[0] == "<", 22, 40000, mark.endswith("S"), payload) for at, mark, payload in events]


def test_a_wait_is_a_turn_and_thinking_is_none() -> None:
    events = seen((0, ">S", 0), (0.1, "<S", 0), (0.1, ">", 5), (0.2, "<", 500), (0.5, ">", 5), (0.59, "<", 500))
    found = turns(events, round_trip=ROUND_TRIP)
    assert [(turn.connecting, turn.received) for turn in found] == [(True, 0), (False, 0)]


def test_what_is_asked_while_answers_come_is_no_turn() -> None:
    events = seen((0, ">", 5), (0.1, "<", 9), (0.11, ">", 5), (0.12, "<", 9), (0.2, ">", 5), (0.21, "<", 9), (0.31, "<", 9))
    assert [turn.received for turn in turns(events, round_trip=ROUND_TRIP)] == [0]


def test_acknowledgements_are_no_answers() -> None:
    events = seen((0, ">", 5), (0.05, "<", 0), (0.1, "<", 9))
    assert len(turns(events, round_trip=ROUND_TRIP)) == 1


def test_turns_before_content_are_those_with_little_received() -> None:
    found = turns(seen((0, ">", 5), (0.1, "<", 900), (0.1, ">", 5), (0.2, "<", 9)), round_trip=ROUND_TRIP)
    assert before_content(found, content=500) == found[:1]


def test_a_flow_ends_with_its_content_not_with_the_talk_after_it() -> None:
    counts = [0, 0, 1000, 1000, 1000, 1000, 0, 0, 10, 0]
    total, samples = 0, [(0.0, Traffic(0, 0, 0, 0))]
    for second, count in enumerate(counts, 1):
        total += count
        samples.append((float(second), Traffic(total, 0, second, 0)))
    flow = flow_of(samples)
    assert (flow.seconds, flow.received, flow.sent, flow.usual) == (4.0, 4010, 10, 1000)
    assert flow.tail == pytest.approx(1000)
