"""Manifests: encoders and decoders agree, and the decoders believe nothing."""

import hashlib
import struct
from array import array
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from netclnt.errors import Damaged, ForbiddenName, ForbiddenValue, Incompatible
from netclnt.manifest import (
    BLOCKS_MAX,
    BLOCKS_MIN,
    ENTRIES_MAX,
    ENTRIES_MIN,
    PAGES_MAX,
    BlockPage,
    EntryPage,
    Head,
    check_entries,
    decode_blocks,
    decode_entries,
    decode_head,
    encode_blocks,
    encode_entries,
    encode_head,
    ends_page,
    entry_pages,
    page_offsets,
    path_key,
)
from netclnt.model import BLOCK_MAX, SIZE_MAX, ZERO_ID, ZERO_RUN_MAX, Blocks, Entry, EntryType
from netclnt.pack import compress
from tests.support.mutations import decoded, mutated

CHECK = bytes(range(16))
DIGEST = bytes(range(32))


def sha256(data):
    return hashlib.sha256(data).digest()


def head_of(data):
    return decode_head(data, hashlib.sha256(data).hexdigest())


components = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="/"), min_size=1, max_size=12)
paths = st.lists(components, min_size=1, max_size=4).map("/".join)


@st.composite
def entries(draw):
    type_ = draw(st.sampled_from(EntryType))
    made = {"path": draw(paths), "type": type_, "mode": draw(st.integers(0, 0o777))}
    if type_ is EntryType.FILE:
        made |= {"size": draw(st.integers(0, SIZE_MAX)), "sha256": draw(st.binary(min_size=32, max_size=32))}
    if type_ is EntryType.LINK:
        made["target"] = draw(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30))
    try:
        return Entry(**made)
    except ForbiddenName:
        assume(False)


ids = st.binary(min_size=16, max_size=16).filter(lambda id_: id_ != ZERO_ID)
data_blocks = st.tuples(ids, st.integers(1, BLOCK_MAX))
zero_blocks = st.tuples(st.just(ZERO_ID), st.integers(1, ZERO_RUN_MAX))


@st.composite
def block_lists(draw):
    made = draw(st.lists(data_blocks | zero_blocks, min_size=1, max_size=12))
    return Blocks(array("I", [length for _, length in made]), b"".join(id_ for id_, _ in made))


@st.composite
def heads(draw):
    digests = st.binary(min_size=32, max_size=32)
    entry_rows = st.builds(EntryPage, digests, st.integers(1, 9000), st.integers(1, 9000), st.integers(1, ENTRIES_MAX))
    block_rows = st.builds(
        BlockPage, digests, st.integers(1, BLOCKS_MAX), st.integers(1, 1 << 30), st.binary(min_size=16, max_size=16)
    )
    entry_list = draw(st.lists(entry_rows, min_size=1, max_size=4))
    block_list = draw(st.lists(block_rows, max_size=4))
    size = sum(page.plain for page in block_list)
    return Head(
        chunker=draw(st.text("abcdefgh0123456789/-", max_size=30)),
        tree=draw(st.booleans()),
        hash_seed=draw(st.integers(0, (1 << 64) - 1)),
        size=size,
        data=draw(st.integers(0, size)),
        entries=sum(page.count for page in entry_list),
        blocks=sum(page.count for page in block_list),
        entry_pages=tuple(entry_list),
        block_pages=tuple(block_list),
    )


# --- round trips


@given(st.lists(entries(), min_size=1, max_size=20))
def test_entries_come_back(made):
    page, stored = encode_entries(made)
    assert (page.count, page.stored, page.digest) == (len(made), len(stored), sha256(stored))
    assert decode_entries(page, stored, where="here") == made


@given(block_lists())
def test_blocks_come_back(made):
    page, stored = encode_blocks(made, CHECK)
    assert (page.count, page.stored, page.plain) == (len(made), len(stored), sum(made.lengths))
    found = decode_blocks(page, stored, where="here")
    assert found == made
    assert list(found) == [(made.id(index), made.lengths[index]) for index in range(len(made))]


@given(heads())
def test_a_head_comes_back(made):
    assert head_of(encode_head(made)) == made


# --- entries under attack


def page_of(plain, count):
    stored = compress(plain, 1)
    return EntryPage(sha256(stored), len(stored), len(plain), count), stored


def encoded(entry, **changes):
    """One entry's bytes, with any field made wrong."""
    fields = {
        "letter": {"file": b"f", "directory": b"d", "link": b"l"}[entry.type],
        "mode": entry.mode,
        "size": entry.size,
        "sha256": entry.sha256,
        "path": entry.path.encode(),
        "target": entry.target.encode() if entry.target else None,
    } | changes
    data = struct.pack(">cHQ", fields["letter"], fields["mode"], fields["size"]) + fields["sha256"]
    for text in (fields["path"], fields["target"]):
        if text is not None:
            data += struct.pack(">H", len(text)) + text
    return data


FILE = Entry("etc/passwd", EntryType.FILE, 0o644, 1000, DIGEST)
LINK = Entry("etc/link", EntryType.LINK, 0o777, target="passwd")


def refused(entry, error, **changes):
    page, stored = page_of(encoded(entry, **changes), 1)
    with pytest.raises(error):
        decode_entries(page, stored, where="here")


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "..", "../x", "a/../../x", "a/..", ".", "./a", "a/./b", "a//b", "a/", "/", "//"),
        *("a\0b", "a\nb", "a\x1b[31m", "a\x7f", "a\u202eb", "a\u2066b", "a\u2028b", "a\u0085b"),
        *("e\u0301", "x" * 256, "a/" * 2000 + "b", "/".join("a" * 65)),
    ],
)
def test_F1_F2_F4_no_path_leads_out_of_an_image(path):
    refused(FILE, ForbiddenName, path=path.encode())


@pytest.mark.parametrize("raw", [b"\xff", b"\xed\xb2\x80", b"a\xc3", b"\xc0\xaf"])
def test_F2_a_path_that_is_not_utf_8_is_damage(raw):
    refused(FILE, Damaged, path=raw)


@pytest.mark.parametrize("path", ["-rf", "$(id)", "%s", "[/b]", "{0}", "~", "a b", ".netclnt", "x" * 255, "@:!*?\\"])
def test_F3_any_printable_path_is_taken(path):
    page, stored = page_of(encoded(FILE, path=path.encode()), 1)
    assert decode_entries(page, stored, where="here") == [replace(FILE, path=path)]


@pytest.mark.parametrize("size", [SIZE_MAX + 1, 1 << 60, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_F7_no_file_is_larger_than_any_disk(size):
    refused(FILE, ForbiddenValue, size=size)


def test_F7_only_files_have_a_size():
    refused(LINK, ForbiddenValue, size=1)
    refused(Entry("a", EntryType.DIRECTORY, 0o755), ForbiddenValue, size=1)


@pytest.mark.parametrize("mode", [0o1000, 0o2755, 0o4755, 0o7777, 0xFFFF])
def test_F10_no_mode_has_more_than_permissions(mode):
    refused(FILE, ForbiddenValue, mode=mode)


@pytest.mark.parametrize("digest", [b"", DIGEST[:31]])
def test_F9_a_hash_that_is_short_is_refused(digest):
    page, stored = page_of(encoded(FILE, sha256=digest, path=b""), 1)
    with pytest.raises((Damaged, ForbiddenValue)):
        decode_entries(page, stored, where="here")


@pytest.mark.parametrize("letter", [b"\0", b"F", b"p", b"b", b"\xff"])
def test_unknown_types_are_refused(letter):
    refused(FILE, Damaged, letter=letter)


@pytest.mark.parametrize("target", [b"", b"a\0b"])
def test_a_link_leads_somewhere(target):
    refused(LINK, ForbiddenValue, target=target)


def test_a_target_that_cannot_be_written_down_is_forbidden():
    for target in ("\udcff", "x" * 4096):
        with pytest.raises(ForbiddenValue):
            Entry("a", EntryType.LINK, 0o777, target=target)


@pytest.mark.parametrize("count", [0, 1, 3, 1 << 20])
def test_F8_a_page_has_the_entries_that_it_says(count):
    page, stored = page_of(encoded(FILE) + encoded(LINK), count)
    with pytest.raises(Damaged):
        decode_entries(page, stored, where="here")


@pytest.mark.parametrize("wrong", [-10, -1, 1, 1000])
def test_F12_a_page_has_the_length_that_it_says(wrong):
    page, stored = page_of(encoded(FILE) + encoded(LINK), 2)
    with pytest.raises(Damaged):
        decode_entries(replace(page, plain=page.plain + wrong), stored, where="here")


@given(st.data())
def test_M2_an_entry_page_changed_inside_is_refused_or_means_what_it_says(data):
    made = [Entry("", EntryType.DIRECTORY, 0o755), FILE, LINK]
    plain = data.draw(mutated(b"".join(encoded(entry) for entry in made)))
    page, stored = page_of(plain, data.draw(st.integers(1, 4)))
    found = decoded(lambda: decode_entries(page, stored, where="here"))
    assert found is None or b"".join(encoded(entry) for entry in found) == plain


@given(st.data())
def test_M2_a_changed_entry_page_is_refused(data):
    page, stored = encode_entries([FILE, LINK])
    changed = data.draw(mutated(stored))
    assume(changed != stored)
    with pytest.raises(Damaged):
        decode_entries(page, changed, where="here")
    decoded(lambda: decode_entries(replace(page, digest=sha256(changed)), changed, where="here"))


# --- blocks under attack


def blocks_of(*made):
    return Blocks(array("I", [length for _, length in made]), b"".join(id_ for id_, _ in made))


A, B = b"a" * 16, b"b" * 16


@pytest.mark.parametrize(
    "made", [[(A, 0)], [(A, BLOCK_MAX + 1)], [(ZERO_ID, ZERO_RUN_MAX + 1)], [(ZERO_ID, 0), (A, 5)], [(B, (1 << 32) - 1)]]
)
def test_F8_lengths_of_blocks_are_within_bounds(made):
    page, stored = encode_blocks(blocks_of(*made), CHECK)
    with pytest.raises(ForbiddenValue):
        decode_blocks(page, stored, where="here")


@pytest.mark.parametrize("wrong", [-1, 1, 1 << 40])
def test_F8_lengths_of_blocks_add_up(wrong):
    page, stored = encode_blocks(blocks_of((A, 5), (B, 6)), CHECK)
    with pytest.raises(ForbiddenValue):
        decode_blocks(replace(page, plain=page.plain + wrong), stored, where="here")


@pytest.mark.parametrize("count", [1, 3, 512])
def test_F8_a_page_has_the_blocks_that_it_says(count):
    page, stored = encode_blocks(blocks_of((A, 5), (B, 6)), CHECK)
    with pytest.raises(Damaged):
        decode_blocks(replace(page, count=count), stored, where="here")


@given(st.data())
def test_M2_a_changed_block_page_is_refused_or_means_what_it_says(data):
    page, stored = encode_blocks(data.draw(block_lists()), CHECK)
    changed = data.draw(mutated(stored))
    found = decoded(lambda: decode_blocks(replace(page, digest=sha256(changed)), changed, where="here"))
    assert found is None or encode_blocks(found, CHECK)[1] == changed
    if changed != stored:
        with pytest.raises(Damaged):
            decode_blocks(page, changed, where="here")


# --- heads under attack

HEAD = Head("cdc", True, 7, 300, 200, 5, 6, (EntryPage(DIGEST, 10, 20, 5),), (BlockPage(DIGEST, 6, 300, CHECK),))


@given(heads(), st.data())
def test_M2_a_changed_head_is_refused_or_means_what_it_says(made, data):
    changed = data.draw(mutated(encode_head(made)))
    found = decoded(lambda: head_of(changed))
    assert found is None or encode_head(found) == changed


@given(st.binary(max_size=200))
def test_M2_any_bytes_are_refused(data):
    for prefix in (b"", b"NCMANIF1", b"NCMANIF1\x00", b"NCMANIF1\x03cdc"):
        assert decoded(lambda data=prefix + data: head_of(data)) is None


def test_a_head_of_another_digest_is_damaged():
    with pytest.raises(Damaged):
        decode_head(encode_head(HEAD), "00" * 32)


def test_a_later_format_is_incompatible():
    with pytest.raises(Incompatible):
        head_of(encode_head(HEAD).replace(b"NCMANIF1", b"NCMANIF2"))


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 299},
        {"size": SIZE_MAX + 1},
        {"size": (1 << 64) - 1},
        {"data": 301},
        {"entries": 4},
        {"entries": (1 << 32) - 1},
        {"blocks": 7},
        {"blocks": (1 << 64) - 1},
        {"entry_pages": ()},
        {"block_pages": ()},
        {"entry_pages": (EntryPage(DIGEST, 10, 20, 0), EntryPage(DIGEST, 10, 20, 5))},
        {"entry_pages": (EntryPage(DIGEST, 10, 20, ENTRIES_MAX + 1),), "entries": ENTRIES_MAX + 1},
        {"entry_pages": (EntryPage(DIGEST, 10, (1 << 32) - 1, 5),)},
        {"entry_pages": (EntryPage(DIGEST, (1 << 32) - 1, 20, 5),)},
        {"entry_pages": (EntryPage(DIGEST, 0, 20, 5),)},
        {"entry_pages": (EntryPage(DIGEST, 10, 0, 5),)},
        {"block_pages": (BlockPage(DIGEST, 0, 300, CHECK),), "blocks": 0},
        {"block_pages": (BlockPage(DIGEST, BLOCKS_MAX + 1, 300, CHECK),), "blocks": BLOCKS_MAX + 1},
        {"block_pages": (BlockPage(DIGEST, 6, (1 << 64) - 1, CHECK),)},
        {"block_pages": (BlockPage(DIGEST, 6, 0, CHECK),), "size": 0, "data": 0},
        {"chunker": "\x1b[2J"},
    ],
)
def test_F7_F8_values_of_a_head_are_checked(changes):
    with pytest.raises(ForbiddenValue):
        head_of(encode_head(replace(HEAD, **changes)))


@pytest.mark.parametrize("flags", [2, 3, 128, 255])
def test_unknown_flags_are_refused(flags):
    data = bytearray(encode_head(HEAD))
    data[8 + 1 + 3] = flags
    with pytest.raises(ForbiddenValue):
        head_of(bytes(data))


def test_F16_a_head_cannot_claim_more_pages_than_it_has():
    """Also not one page many times: each row takes its place in the head, and the places are counted."""
    fixed = struct.pack(">BQQQIQII", 1, 7, 300, 200, 5, 6, PAGES_MAX, PAGES_MAX)
    with pytest.raises(Damaged):
        head_of(b"NCMANIF1\x03cdc" + fixed)
    fixed = struct.pack(">BQQQIQII", 1, 7, 300, 200, 5, 6, (1 << 32) - 1, (1 << 32) - 1)
    with pytest.raises(ForbiddenValue):
        head_of(b"NCMANIF1\x03cdc" + fixed)


# --- entries as a whole


def root(type_=EntryType.DIRECTORY):
    return Entry("", type_, 0o755, 0, DIGEST if type_ is EntryType.FILE else b"")


def directory(path):
    return Entry(path, EntryType.DIRECTORY, 0o755)


def file(path, size=0):
    return Entry(path, EntryType.FILE, 0o644, size, DIGEST)


def tree_head(size=0, *, tree=True):
    return replace(HEAD, tree=tree, size=size)


@pytest.mark.parametrize(
    ("tree", "made"),
    [
        (True, [root()]),
        (True, [root(), directory("a"), directory("a/b"), file("a/b/c"), file("a b"), file("a-b"), file("b")]),
        (False, [root(EntryType.FILE)]),
    ],
)
def test_an_image_s_entries_are_taken(tree, made):
    check_entries(tree_head(tree=tree), made)


@pytest.mark.parametrize(
    ("tree", "made"),
    [
        (True, [root(EntryType.FILE)]),
        (False, [root()]),
        (False, [root(EntryType.FILE), file("a")]),
        (True, [directory("a")]),
        (True, [root(), root()]),
        (True, [root(), file("a"), file("a")]),
        (True, [root(), file("b"), file("a")]),
        (True, [root(), file("a/b")]),
        (True, [root(), file("a"), file("a/b")]),
        (True, [root(), Entry("a", EntryType.LINK, 0o777, target="/etc"), file("a/b")]),
        (True, [root(), directory("a"), file("b"), file("a/c")]),
        (True, [Entry("", EntryType.LINK, 0o777, target="/etc")]),
    ],
)
def test_F1_F15_entries_that_are_no_image_are_refused(tree, made):
    with pytest.raises(ForbiddenValue):
        check_entries(tree_head(tree=tree), made)


def test_F8_sizes_of_files_add_up():
    check_entries(tree_head(5), [root(), file("a", 2), file("b", 3)])
    with pytest.raises(ForbiddenValue):
        check_entries(tree_head(6), [root(), file("a", 2), file("b", 3)])


@given(st.lists(paths, unique=True, max_size=8))
def test_path_keys_put_parents_first_and_keep_directories_together(made):
    ordered = sorted({"/".join(path.split("/")[:depth]) for path in made for depth in range(path.count("/") + 2)}, key=path_key)
    for number, path in enumerate(ordered):
        inside = [later for later in ordered if later.startswith(path + "/") or (not path and later)]
        assert ordered[number + 1 : number + 1 + len(inside)] == inside


# --- pages


def test_a_small_change_leaves_nearly_all_entry_pages_alike():
    before = [directory(f"{number:05d}") for number in range(3000)]
    after = [*before[:1500], directory("01499x"), *before[1500:]]
    old, new = ({encode_entries(page)[0].digest for page in entry_pages(made)} for made in (before, after))
    assert len(new - old) <= 2
    sizes = [len(page) for page in entry_pages(before)]
    assert all(ENTRIES_MIN <= size <= ENTRIES_MAX for size in sizes[:-1])
    assert sum(sizes) == 3000
    assert list(entry_pages([])) == []


def test_block_pages_end_within_bounds():
    assert not ends_page(BLOCKS_MIN - 1, b"\0\0" + b"x" * 14)
    assert ends_page(BLOCKS_MIN, b"\0\0" + b"x" * 14)
    assert ends_page(BLOCKS_MIN, b"\x01\0" + b"x" * 14)
    assert not ends_page(BLOCKS_MIN, b"\0\x01" + b"x" * 14)
    assert not ends_page(BLOCKS_MAX - 1, ZERO_ID)
    assert ends_page(BLOCKS_MAX, ZERO_ID)


def test_pages_lie_one_behind_the_other():
    head = replace(HEAD, entry_pages=HEAD.entry_pages * 2, block_pages=HEAD.block_pages * 2)
    assert page_offsets(head, 100) == ([100, 110], [120, 240])
