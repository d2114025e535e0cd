"""Plans of pages: every block is in one run, and a run is really one stretch of its seed."""

import sys
from array import array

from hypothesis import given
from hypothesis import strategies as st

from netclnt.model import ZERO_ID, Blocks
from netclnt.plan import MISSING, STAGED, ZEROS, PageRun, PageRuns, missing_page, plan_page, repair_page, whole_page

LETTERS = "abcdef"


def blocks_of(text, length=10):
    """A block for each letter, each letter of a length of its own; ``0`` is a run of zeros."""
    ids = b"".join(ZERO_ID if letter == "0" else letter.encode() * 16 for letter in text)
    return Blocks(array("I", [length + LETTERS.find(letter) for letter in text]), ids)


def finder(seeds):
    """Looks up letters in seeds that are texts themselves."""

    def find(id_):
        letter = id_[:1].decode()
        for number, seed in enumerate(seeds):
            if letter in seed:
                return number, sum(10 + LETTERS.find(each) for each in seed[: seed.index(letter)])
        return None

    return find


pages = st.text(LETTERS + "0", min_size=1, max_size=12)


@given(pages, st.lists(st.text(LETTERS + "0", max_size=6), max_size=3), st.data())
def test_a_plan_covers_its_page_truly(page, seeds, data):
    blocks, find = blocks_of(page), finder(seeds)
    staged = data.draw(st.just([]) | st.lists(st.booleans(), min_size=len(page), max_size=len(page)))
    plan = plan_page(blocks, find, staged=staged)
    index = reused = missing = blocks_missing = 0
    for run in plan.runs:
        assert run.first == index
        assert run.count >= 1
        offset = run.offset
        for _ in range(run.count):
            length = blocks.lengths[index]
            if staged and staged[index]:
                assert run.seed == STAGED
            elif page[index] == "0":
                assert run.seed == ZEROS
            elif find(blocks.id(index)) is None:
                assert run.seed == MISSING
                missing += length
                blocks_missing += 1
            else:
                assert (run.seed, offset) == find(blocks.id(index))
                reused += length
            offset += length
            index += 1
    assert index == len(page)
    assert (plan.reused, plan.missing, plan.blocks_missing) == (reused, missing, blocks_missing)


def test_neighbours_in_a_seed_are_one_run():
    plan = plan_page(blocks_of("xabcyd"), finder(["abcd"]))
    assert [(run.first, run.count, run.seed) for run in plan.runs] == [(0, 1, MISSING), (1, 3, 0), (4, 1, MISSING), (5, 1, 0)]


def test_a_seed_s_jump_begins_a_run():
    assert len(plan_page(blocks_of("acb"), finder(["abc"])).runs) == 3
    assert len(plan_page(blocks_of("ab"), finder(["a", "b"])).runs) == 2


@given(pages, st.integers(0, 1000))
def test_a_whole_page_is_taken_from_its_place(page, offset):
    blocks = blocks_of(page)
    plan = whole_page(blocks, 3, offset)
    starts = [offset + sum(blocks.lengths[:index]) for index in range(len(page))]
    index = 0
    for run in plan.runs:
        assert (run.first, run.count >= 1) == (index, True)
        if run.seed != ZEROS:
            assert (run.seed, run.offset) == (3, starts[index])
        for _ in range(run.count):
            assert (page[index] == "0") == (run.seed == ZEROS)
            index += 1
    assert index == len(page)
    data = sum(length for letter, length in zip(page, blocks.lengths, strict=True) if letter != "0")
    assert (plan.reused, plan.missing, plan.blocks_missing) == (data, 0, 0)


def test_a_repair_fetches_the_bad_blocks_alone():
    blocks = blocks_of("ab0c")
    plan = plan_page(blocks, finder(["ab"]))
    repair = repair_page(blocks, [True, False, True, True], plan)
    assert repair.runs == (PageRun(0, 1, STAGED), PageRun(1, 1, MISSING), PageRun(2, 2, STAGED))
    assert (repair.reused, repair.missing, repair.blocks_missing) == (blocks.lengths[0], blocks.lengths[1], 1)
    assert repair_page(blocks, [True] * 4, plan).runs == (PageRun(0, 4, STAGED),)


runs = st.lists(st.tuples(st.integers(1, 512), st.integers(-3, 300), st.integers(0, (1 << 64) - 1)), min_size=1, max_size=20)


@given(runs)
def test_packed_runs_come_back(parts):
    expected = []
    first = 0
    for count, seed, offset in parts:
        expected.append(PageRun(first, count, seed, offset if seed >= 0 else 0))
        first += count
    packed = PageRuns(expected)
    assert list(packed) == expected
    assert len(packed) == len(expected)
    assert (packed[0], packed[-1], packed[1:]) == (expected[0], expected[-1], tuple(expected[1:]))
    assert packed == PageRuns(expected)
    assert packed != PageRuns([*expected, PageRun(first, 1, MISSING)])


def test_packed_runs_take_few_bytes():
    """A run a block, as when every other block of an image changed: 6 million of them must fit in memory."""
    packed = PageRuns([PageRun(index, 1, MISSING if index % 2 else 0, index << 40) for index in range(512)])
    assert sum(sys.getsizeof(getattr(packed, slot)) for slot in PageRuns.__slots__) < 512 * 8 + 200


@given(pages)
def test_a_page_of_which_nothing_is_here_is_planned_without_a_look_at_its_blocks(page):
    blocks = blocks_of(page)
    assert missing_page(blocks) == plan_page(blocks, lambda _: None)
