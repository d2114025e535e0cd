"""From wanted blocks to reads: nothing is asked for twice in a row, and nothing is lost."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from netclnt.frames import FrameRange, HeldBack, Piece, WantedFrame, joined, locate
from netclnt.locations import EARLIER, Frame, Locations, Run
from netclnt.model import Blocks
from netclnt.pack import PREFIX, ZSTD, pack_path


def frame(number, *, pack=1, offset=None):
    return Frame(pack, 16 + number * 100 if offset is None else offset, 100, 1000, ZSTD)


@given(st.lists(st.integers(0, 200), max_size=300))
def test_every_piece_is_let_go_once_and_a_frame_s_pieces_together(asked):
    held = HeldBack()
    let_go = []
    for number, wanted in enumerate(asked):
        held.add(frame(wanted), Piece("page", number, 1, 0))
        let_go += held.due()
    let_go += held.rest()
    assert not list(held.rest())
    assert sorted(piece.first for wanted in let_go for piece in wanted.pieces) == list(range(len(asked)))
    for wanted in let_go:
        assert {asked[piece.first] for piece in wanted.pieces} == {(wanted.frame.offset - 16) // 100}


def test_a_frame_asked_for_again_within_three_pages_is_let_go_once():
    held = HeldBack()
    let_go = []
    for number in range(24):
        held.add(frame(number // 8), Piece("page", number * 3, 1, 0))
        let_go += held.due()
        let_go += held.due()
    let_go += held.rest()
    assert [len(wanted.pieces) for wanted in let_go] == [8] * 3


def test_a_frame_that_three_pages_did_not_ask_for_is_not_waited_with():
    held = HeldBack()
    held.add(frame(0), Piece("page", 0, 1, 0))
    assert [len(list(held.due())) for _ in range(5)] == [0, 0, 0, 1, 0]


def test_no_more_than_48_frames_wait():
    held = HeldBack()
    for number in range(100):
        held.add(frame(number), Piece("page", number, 1, 0))
    assert len(list(held.due())) == 52


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 30)), max_size=40))
def test_ranges_are_the_frames_in_their_order(chosen):
    wanted = [WantedFrame(frame(number, pack=pack), 0) for pack, number in chosen]
    ranges = list(joined(iter(wanted)))
    assert [each for found in ranges for each in found.frames] == wanted
    for found in ranges:
        assert found.path == pack_path(found.frames[0].frame.pack)
        assert found.length == sum(each.frame.stored for each in found.frames)
        data = bytes(number % 251 for number in range(found.offset, found.offset + found.length))
        for each, stored in found.split(data):
            begin = each.frame.offset
            assert bytes(stored) == bytes(number % 251 for number in range(begin, begin + each.frame.stored))


def test_ranges_end_at_a_megabyte():
    wanted = [WantedFrame(frame(0)._replace(offset=16 + number * 250_000, stored=250_000), 0) for number in range(9)]
    assert [len(found.frames) for found in joined(wanted)] == [4, 4, 1]
    assert all(found.length <= 1 << 20 for found in joined(wanted))


def test_only_neighbours_are_joined():
    for other in (frame(2), frame(1, pack=2), frame(0), Frame(1, 117, 100, 1000, ZSTD)):
        assert len(list(joined([WantedFrame(frame(0), 0), WantedFrame(other, 0)]))) == 2
    (found,) = joined([WantedFrame(frame(0), 0), WantedFrame(frame(1), 0)])
    assert isinstance(found, FrameRange)
    assert (found.offset, found.length) == (16, 200)


BASE_BLOCKS = Blocks(array("I", [500]), b"b" * 16)
OFFSETS = [0, 10, 30, 60, 100]
"""Of four blocks, and of their end."""


def test_missing_blocks_are_found_where_the_runs_say():
    locations = Locations((frame(0), frame(1)), (Run(0, 2, 1, 5), Run(2, 1, EARLIER, 777), Run(3, 1, 0, 0)))
    assert list(locate(locations, OFFSETS, [(0, 4)], deltas=())) == [(0, 2, frame(1), 5), (2, 1, None, 777), (3, 1, frame(0), 0)]
    assert list(locate(locations, OFFSETS, [(1, 1)], deltas=())) == [(1, 1, frame(1), 15)]
    assert list(locate(locations, OFFSETS, [], deltas=())) == []


def test_a_run_with_blocks_that_are_here_is_asked_for_in_parts():
    locations = Locations((frame(0),), (Run(0, 4, 0, 7),))
    assert list(locate(locations, OFFSETS, [(0, 1), (2, 2)], deltas=())) == [(0, 1, frame(0), 7), (2, 2, frame(0), 37)]


def test_of_two_places_one_is_taken_and_a_block_without_one_is_left_out():
    locations = Locations((frame(0), frame(1)), (Run(0, 1, 0, 0), Run(0, 2, 1, 0)))
    assert list(locate(locations, OFFSETS, [(0, 2), (3, 1)], deltas=())) == [(0, 1, frame(0), 0), (1, 1, frame(1), 10)]


def test_of_a_delta_frame_that_cannot_be_used_the_plain_form_is_taken():
    delta = Frame(9, 16, 40, 1000, PREFIX)
    other = Frame(9, 56, 40, 1000, PREFIX)
    runs = (Run(0, 2, 1, 0), Run(2, 2, 2, 0), Run(0, 4, 0, 0))
    locations = Locations((frame(0), delta, other), runs, ((0, 1), (0, 1)), BASE_BLOCKS)
    assert list(locate(locations, OFFSETS, [(0, 4)], deltas=())) == [(0, 4, frame(0), 0)]
    assert list(locate(locations, OFFSETS, [(0, 4)], deltas={delta})) == [(0, 2, delta, 0), (2, 2, frame(0), 30)]
    assert list(locate(locations, OFFSETS, [(1, 2)], deltas={delta, other})) == [(1, 1, delta, 10), (2, 1, other, 0)]
