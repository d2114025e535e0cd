"""Formats frozen by stored values: what an older program wrote is what this one reads, and blocks end where they always did.

A value here that no longer fits is not mended by a new value: every store and every ledger in the field was made with the old.
"""

import hashlib
import json
from array import array
from io import BytesIO
from pathlib import Path

import pytest

from netclnt.chunking import CHUNKER, WINDOW, block_id, cut
from netclnt.head import StoreHead, decode_store_head, encode_store_head
from netclnt.locations import EARLIER, Frame, Locations, Run, decode_record, decode_table, encode_table, table_bytes
from netclnt.manifest import (
    BlockPage,
    EntryPage,
    Head,
    check_entries,
    decode_blocks,
    decode_entries,
    decode_head,
    encode_blocks,
    encode_head,
    ends_page,
    entry_pages,
    locations_path,
    manifest_path,
    page_offsets,
)
from netclnt.model import ZERO_ID, Blocks, CatalogState, Entry, EntryType
from netclnt.pack import PREFIX, RAW, ZSTD, decode_frame, decompress, encode_header, pack_path

GOLDEN = Path(__file__).parent / "golden"
SEED = 0x0123456789ABCDEF


def noise(name, size):
    return hashlib.shake_128(name.encode()).digest(size)


def words(name, size):
    """Text-like content: 256 words in random order."""
    vocabulary = [noise(f"word {index}", 3 + index % 9).hex().encode() + b" " for index in range(256)]
    return b"".join(vocabulary[byte] for byte in noise(name, size // 8))[:size]


def with_zeros(name, size, runs):
    content = bytearray(noise(name, size))
    for start, length in runs:
        content[start : start + length] = bytes(length)
    return bytes(content)


def inputs():
    """Contents by name, the same on every machine and in every version of Python."""
    yield "empty", b""
    for size in (1, 63, 64, 4095, 4096, 4097, 16383, 16384, 16385, 32767, 32768, 65535, 65536, 65537, 131072, 253952):
        yield f"noise {size}", noise(f"noise {size}", size)
    yield "noise 1 MiB and 5", noise("noise", (1 << 20) + 5)
    yield "words", words("words", 600_001)
    yield "one byte over and over", b"\x01" * 200_000
    yield "period of 5000", noise("period", 5000) * 60
    for size in (1, 4096, 32767, 32768, 32769, 65536, 65537, 163845):
        yield f"zeros {size}", bytes(size)
    aligned = [(0, WINDOW), (3 * WINDOW, 2 * WINDOW), (9 * WINDOW, WINDOW)]
    yield "zeros at windows", with_zeros("aligned", 12 * WINDOW + 77, aligned)
    slanted = [(1, WINDOW), (3 * WINDOW - 1, 2 * WINDOW), (6 * WINDOW + 1, 2 * WINDOW), (10 * WINDOW + 4096, 3 * WINDOW)]
    yield "zeros beside windows", with_zeros("slanted", 15 * WINDOW + 1, slanted)
    yield "zeros too short for a run", with_zeros("short", 8 * WINDOW, [(n * WINDOW + n, WINDOW - 1) for n in range(0, 8, 2)])
    yield "zeros at the end", with_zeros("end", 5 * WINDOW, [(3 * WINDOW, 2 * WINDOW)])
    yield "zeros at the end, and a bit", with_zeros("end bit", 5 * WINDOW + 100, [(3 * WINDOW, 2 * WINDOW + 100)])
    yield (
        "zeros with one byte in each window",
        b"".join(bytes(n * 999) + b"\x01" + bytes(WINDOW - 1 - n * 999) for n in range(16)),
    )


def described(content, **options):
    """Every block as [length, id], a run of zeros as [length, ""]."""
    blocks = []
    for stretch in cut(BytesIO(content).read, **options):
        if stretch.zeros:
            blocks.append([stretch.zeros, ""])
        position = 0
        for length in stretch.lengths:
            blocks.append([length, block_id(stretch.data[position : position + length], SEED).hex()])
            position += length
    return blocks


BLOCKS = json.loads((GOLDEN / "blocks.json").read_text())
BYTES = {name: bytes.fromhex("".join(lines)) for name, lines in json.loads((GOLDEN / "bytes.json").read_text()).items()}


def test_every_golden_input_has_its_blocks():
    assert BLOCKS.keys() == dict(inputs()).keys()


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_end_where_they_always_did(name):
    assert described(dict(inputs())[name]) == BLOCKS[name]


@pytest.mark.parametrize("read_size", [WINDOW, 3 * WINDOW, 32 * WINDOW])
def test_blocks_do_not_depend_on_how_much_is_read_at_once(read_size):
    for name, content in inputs():
        assert described(content, read_size=read_size) == BLOCKS[name], name


def test_the_chunker_has_its_name():
    assert CHUNKER == "fastcdc2020/4k-16k-64k"


def test_the_id_of_a_block_is_its_xxh3_128_under_the_seed():
    assert block_id(b"", 0).hex() == "99aa06d3014798d86001c324468d497f"  # as xxhsum -H2 prints it
    assert block_id(b"netclnt", SEED).hex() == "dc62f05b39c4389c9fd2092a70f7fead"


# --- values as they are stored

HEAD = Head(
    chunker=CHUNKER,
    tree=True,
    hash_seed=SEED,
    size=0x30005,
    data=0x10005,
    entries=3,
    blocks=2,
    entry_pages=(EntryPage(b"\xe0" * 32, 0x111, 0x222, 3),),
    block_pages=(BlockPage(b"\xb0" * 32, 1, 0x10005, b"\xc0" * 16), BlockPage(b"\xb1" * 32, 1, 0x20000, b"\xc1" * 16)),
)
ENTRIES = [
    Entry("", EntryType.DIRECTORY, 0o755),
    Entry("boot", EntryType.DIRECTORY, 0o700),
    Entry("boot/vmlinuz-ä", EntryType.FILE, 0o644, 0x123456789A, bytes(range(32))),
    Entry("vmlinuz", EntryType.LINK, 0o777, target="boot/vmlinuz-ä"),
]
PAGE_BLOCKS = Blocks(array("I", [4096, 65536, 1 << 30, 17]), noise("id 1", 16) + noise("id 2", 16) + ZERO_ID + noise("id 3", 16))
LOCATIONS = Locations(
    (Frame(0x1122334455667788, 16, 5000, 69632, ZSTD), Frame(1, 1 << 30, 200_000, 200_000, RAW)),
    (Run(0, 2, 0, 0), Run(3, 1, 1, 199_983), Run(3, 1, EARLIER, 0x1FF)),
)
LOCATIONS_WITH_DELTA = Locations(
    (*LOCATIONS.frames, Frame(0x99AABBCCDDEEFF00, 0x1234, 77, 69632, PREFIX)),
    (Run(0, 2, 2, 0), *LOCATIONS.runs),
    ((1, 2),),
    Blocks(array("I", [4096, 65536, 17]), noise("base 1", 16) + noise("base 2", 16) + noise("base 3", 16)),
)
STATE = CatalogState("0123456789abcdef" * 2, SEED, CHUNKER, 2, 1, 4711, 12, 9)
STORE_HEAD = StoreHead(STATE, "ab" * 32, 12345)
FRAME_PLAIN = words("frame", 3000)
BASE = noise("base", 5000)
DELTA_PLAIN = BASE[100:2000] + b"between" + BASE[3000:]


def test_a_pack_begins_with_its_header():
    assert encode_header(0x0123456789ABCDEF) == b"NCPACK1\n" + bytes.fromhex("0123456789abcdef")
    assert pack_path(0x0123456789ABCDEF) == "packs/01/0123456789abcdef.pack"
    assert pack_path(7) == "packs/00/0000000000000007.pack"


def test_a_stored_frame_is_read():
    assert decode_frame(ZSTD, BYTES["frame"], plain=3000, where="golden") == FRAME_PLAIN
    assert decode_frame(RAW, FRAME_PLAIN, plain=3000, where="golden") == FRAME_PLAIN


def test_a_stored_delta_frame_is_read_with_its_base():
    assert len(BYTES["delta frame"]) < 100
    assert decode_frame(PREFIX, BYTES["delta frame"], plain=len(DELTA_PLAIN), where="golden", base=BASE) == DELTA_PLAIN


def test_a_manifest_lies_under_its_digest():
    assert manifest_path("ab" * 32) == f"manifests/ab/{'ab' * 32}.manifest"
    assert locations_path("ab" * 32) == f"manifests/ab/{'ab' * 32}.locations"


def test_a_head_is_stored_byte_by_byte_as_ever():
    assert encode_head(HEAD) == BYTES["head"]
    assert decode_head(BYTES["head"], hashlib.sha256(BYTES["head"]).hexdigest()) == HEAD


def test_each_field_of_a_head_lies_where_the_docstring_says():
    """Written from the words of the module's docstring alone."""
    data = BYTES["head"]
    taken = BytesIO(data)

    def number(size):
        return int.from_bytes(taken.read(size), "big")

    assert taken.read(8) == b"NCMANIF1"
    assert taken.read(number(1)) == CHUNKER.encode("ascii")
    assert number(1) == 1  # a tree
    assert number(8) == SEED
    assert number(8) == HEAD.size
    assert number(8) == HEAD.data
    assert number(4) == HEAD.entries
    assert number(8) == HEAD.blocks
    assert number(4) == len(HEAD.entry_pages)
    assert number(4) == len(HEAD.block_pages)
    for page in HEAD.entry_pages:
        assert (taken.read(32), number(4), number(4), number(4)) == (page.digest, page.stored, page.plain, page.count)
    for page in HEAD.block_pages:
        assert (taken.read(32), number(4), number(8), taken.read(16)) == (page.digest, page.count, page.plain, page.check)
    assert taken.tell() == len(data)


def test_pages_follow_the_head_without_gaps():
    length = len(BYTES["head"])
    assert page_offsets(HEAD, length) == ([length], [length + 0x111, length + 0x111 + 20])


def test_a_stored_entry_page_is_read():
    stored = BYTES["entry page"]
    page = EntryPage(hashlib.sha256(stored).digest(), len(stored), 127, 4)
    assert decode_entries(page, stored, where="golden") == ENTRIES
    check_entries(Head(CHUNKER, True, SEED, 0x123456789A, 0, 4, 0, (page,), ()), ENTRIES)


def test_a_block_page_is_stored_byte_by_byte_as_ever():
    row, stored = encode_blocks(PAGE_BLOCKS, b"\xcc" * 16)
    assert stored == BYTES["block page"]
    assert stored[:16] == bytes.fromhex("00001000 00010000 40000000 00000011")
    assert stored[16:] == PAGE_BLOCKS.ids
    assert row == BlockPage(hashlib.sha256(stored).digest(), 4, 4096 + 65536 + (1 << 30) + 17, b"\xcc" * 16)
    assert decode_blocks(row, BYTES["block page"], where="golden") == PAGE_BLOCKS


def test_a_table_of_locations_is_stored_byte_by_byte_as_ever():
    assert encode_table([17, 300, 1]) == BYTES["table"] == b"NCLOCAT1" + bytes.fromhex("00000003 00000011 0000012c 00000001")
    assert table_bytes(3) == 24
    assert decode_table(BYTES["table"], 3, where="golden") == [(24, 17), (41, 300), (341, 1)]


def test_a_stored_record_of_locations_is_read():
    assert decode_record(BYTES["record"], PAGE_BLOCKS, page_start=512, where="golden") == LOCATIONS
    assert decode_record(BYTES["record with delta"], PAGE_BLOCKS, page_start=512, where="golden") == LOCATIONS_WITH_DELTA


def test_each_field_of_a_record_lies_where_the_docstring_says():
    """Written from the words of the module's docstring alone."""
    data = decompress(BYTES["record with delta"], limit=1000, what="record", where="golden")
    taken = BytesIO(data)

    def number(size):
        return int.from_bytes(taken.read(size), "big")

    found, base = LOCATIONS_WITH_DELTA, LOCATIONS_WITH_DELTA.base_blocks
    assert (number(2), number(2), number(2)) == (3, 4, 3)
    for frame in found.frames:
        assert (number(8), number(4), number(4), number(4), number(1)) == frame
    assert (number(2), number(2)) == (1, 2)
    for run in found.runs:
        assert (number(2), number(2), number(2), number(8)) == (run.first, run.count, run.frame, run.start)
    assert [number(4), number(4), number(4)] == [4096, 65536, 17]
    assert taken.read() == base.ids


def test_a_store_s_HEAD_is_stored_byte_by_byte_as_ever():
    assert encode_store_head(STORE_HEAD) == BYTES["HEAD"]
    assert decode_store_head(BYTES["HEAD"]) == STORE_HEAD
    *lines, last, nothing = BYTES["HEAD"].decode("ascii").split("\n")
    assert lines == [
        "netclnt-head 1",
        "identity 0123456789abcdef0123456789abcdef",
        "hash-seed 0123456789abcdef",
        "schema 2 1",
        "generation 4711",
        "assignment 12",
        "statement 9",
        "chunker fastcdc2020/4k-16k-64k",
        f"toc {'ab' * 32} 12345",
    ]
    assert last == "sha256 " + hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    assert nothing == ""


# --- where pages end


def test_entry_pages_end_where_they_always_did():
    entries = [Entry(f"{number:05d}/file", EntryType.DIRECTORY, 0o755) for number in range(3000)]
    assert [len(page) for page in entry_pages(entries)] == [
        *(51, 108, 16, 105, 45, 27, 136, 27, 38, 30, 123, 64, 56, 33, 38, 62, 40, 80, 68, 256, 28, 114),
        *(25, 62, 69, 115, 55, 135, 32, 17, 60, 68, 157, 18, 66, 16, 84, 35, 86, 20, 24, 20, 246, 45),
    ]


def test_block_pages_end_where_they_always_did():
    ends = []
    count = 0
    for number in range(6000):
        count += 1
        if ends_page(count, noise(f"block {number}", 16)):
            ends.append(number)
            count = 0
    assert ends == [
        *(198, 564, 631, 955, 1074, 1586, 1973, 2385, 2897, 3033),
        *(3512, 3597, 3683, 3881, 4259, 4531, 4605, 4872, 5384, 5668, 5808),
    ]
