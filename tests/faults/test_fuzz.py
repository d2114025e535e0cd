"""M2: whatever bytes a decoder gets, it gives a value in range or an error that netclnt foresees; in bounded time and memory.

Random bytes, and valid ones made wrong. What was once found is kept as an example beside its test.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netclnt.catalog import connstr
from netclnt.catalog.toc import open_toc, update_toc
from netclnt.cli.text import safe
from netclnt.config import (
    ConfigFile,
    ConfigFiles,
    MasterConfig,
    SlaveConfig,
    from_environment,
    from_flags,
    from_table,
    resolve,
)
from netclnt.config.examine import all_problems
from netclnt.errors import BadArgument, ConfigInvalid, NetclntError
from netclnt.head import decode_store_head
from netclnt.ledger import Ledger
from netclnt.locations import decode_record, decode_table
from netclnt.manifest import Head, block_pages_of, check_entries, decode_blocks, decode_entries, decode_head, manifest_path
from netclnt.model import DEFAULT_CHANNEL, HEAD_BYTES_MAX
from netclnt.naming import check_channel, check_name, check_path, check_token, twin_key
from netclnt.pack import FRAME_MAX, RAW, ZSTD, compress, decode_frame, encode_frame
from netclnt.sftp import wire
from netclnt.sftp.address import parse_parent
from netclnt.sftp.hostkeys import check_fingerprint, judge, known_types, parse
from tests.support.mutations import mutated
from tests.support.world import World

pytestmark = pytest.mark.timeout(1800)

MEMORY = 8 << 20
"""Bytes that decoding anything here may take; the inputs are kilobytes."""

BYTES = st.binary(max_size=400)
TEXT = st.text(max_size=200)


def tried(share: int = 2) -> settings:
    """The profile's number of examples, or a part of it for what is tested elsewhere, too."""
    return settings(max_examples=max(15, settings.default.max_examples // share))


@contextmanager
def foreseen(*, memory: int = MEMORY) -> Iterator[None]:
    """Within, only NetclntError may be raised, and not much memory be taken."""
    tracemalloc.start()
    try:
        with suppress(NetclntError):
            yield
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()


# --- the store's formats


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("fuzz"))
    data = random.Random(1).randbytes(150_000)
    made.publish("image", data + bytes(300_000) + data[:50_000])
    made.publish("tree", {"a/b": data[:20_000], "c": b""}, links={"l": "a/b"})
    update_toc(made.directory / "fuzzed-toc", made.catalog, 2)
    yield made
    made.ledger.close()


def manifests(world: World) -> list[tuple[Head, bytes, str, int]]:
    """Each manifest of the store: its head, its bytes, its digest, the length of its head."""
    found = []
    for version in world.catalog.published(after=0, until=9):
        data = world.store.files[manifest_path(version.manifest)]
        head = decode_head(data[: version.head_bytes], version.manifest)
        found.append((head, data, version.manifest, version.head_bytes))
    return found


def test_M2_HEAD(world: World) -> None:
    @tried(1)
    @given(st.one_of(BYTES, mutated(world.store.files["HEAD"])))
    @example(b"netclnt-head 1\nsha256 \n")
    @example(b"netclnt-head 1\n" + b"generation " + b"9" * 5000 + b"\nsha256 x\n")
    def decode(data: bytes) -> None:
        with foreseen():
            decode_store_head(data)

    decode()


@pytest.mark.parametrize("which", [0, 1], ids=["file", "tree"])
def test_M2_heads_of_manifests(world: World, which: int) -> None:
    _, data, _, head_bytes = manifests(world)[which]

    @tried(1)
    @given(st.one_of(BYTES, mutated(data[:head_bytes])))
    def decode(raw: bytes) -> None:
        with foreseen():  # all that a catalog of an attacker can vouch for
            decode_head(raw, hashlib.sha256(raw).hexdigest())

    decode()


@pytest.mark.parametrize("which", [0, 1], ids=["file", "tree"])
def test_M2_pages_of_manifests(world: World, which: int) -> None:
    """A page whose digest is right, as its author is the attacker."""
    head, data, _, head_bytes = manifests(world)[which]
    entries, blocks = head.entry_pages[0], head.block_pages[0]
    stored = data[head_bytes : head_bytes + entries.stored]
    rows = data[head_bytes + entries.stored :][: blocks.stored]
    plain = decode_plain(stored, entries.plain)

    @tried(1)
    @given(st.one_of(BYTES, mutated(plain)), st.booleans(), st.integers(-1, 1))
    def decode_entry_page(raw: bytes, compressed: bool, wrong: int) -> None:
        inner = compress(raw, 1) if compressed else raw
        page = type(entries)(hashlib.sha256(inner).digest(), len(inner), max(1, len(raw) + wrong), entries.count)
        with foreseen():
            check_entries(head, decode_entries(page, inner, where="here"))

    @tried(1)
    @given(st.one_of(BYTES, mutated(rows)), st.integers(1, 600), st.integers(1, 1 << 50))
    def decode_block_page(raw: bytes, count: int, plain: int) -> None:
        with foreseen():
            decode_blocks(type(blocks)(hashlib.sha256(raw).digest(), count, plain, bytes(16)), raw, where="here")

    decode_entry_page()
    decode_block_page()


def decode_plain(stored: bytes, plain: int) -> bytes:
    return bytes(decode_frame(ZSTD, stored, plain=plain, where="here"))


def test_M2_locations(world: World) -> None:
    head, data, digest, head_bytes = manifests(world)[0]
    raw = world.store.files[manifest_path(digest).replace(".manifest", ".locations")]
    pages = len(head.block_pages)
    (offset, length), *_ = decode_table(raw[: 12 + 4 * pages], pages, where="here")
    row = head.block_pages[0]
    start = head_bytes + sum(page.stored for page in head.entry_pages)
    blocks = decode_blocks(row, data[start : start + row.stored], where="here")
    inside = unpacked(raw[offset : offset + length])

    @tried(1)
    @given(st.one_of(BYTES, mutated(inside)), st.booleans())
    def decode(plain: bytes, compressed: bool) -> None:
        with foreseen():
            found = decode_record(compress(plain, 1) if compressed else plain, blocks, page_start=0, where="here")
            assert all(run.first + run.count <= len(blocks) for run in found.runs)

    @tried(2)
    @given(st.one_of(BYTES, mutated(raw[: 12 + 4 * pages])), st.integers(0, 9))
    def decode_the_table(table: bytes, count: int) -> None:
        with foreseen():
            decode_table(table, count, where="here")

    decode()
    decode_the_table()


def unpacked(stored: bytes) -> bytes:
    for plain in range(1 << 16):
        with suppress(NetclntError):
            return decode_plain(stored, plain)
    raise AssertionError("no frame")


@tried(1)
@given(st.data(), st.sampled_from([RAW, ZSTD]), st.integers(0, FRAME_MAX))
def test_M2_frames(data: st.DataObject, codec: int, plain: int) -> None:
    honest = encode_frame(random.Random(plain).randbytes(200) * 5, 3)[1]
    stored = data.draw(st.one_of(BYTES, mutated(bytes(honest))))
    with foreseen():
        assert len(decode_frame(codec, stored, plain=plain, where="here")) == plain


def test_M2_tables_of_contents(world: World) -> None:
    whole = (world.directory / "fuzzed-toc").read_bytes()

    @tried(2)
    @given(st.one_of(st.binary(max_size=2000), mutated(whole), rotted(whole)))
    def read(raw: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=world.directory) as directory:
            path = Path(directory) / "toc"
            path.write_bytes(raw)
            with foreseen(memory=32 << 20), closing(open_toc(path)) as toc:
                state = toc.state()
                for version in toc.current(generation=state.generation, channel=DEFAULT_CHANNEL):
                    toc.history(version.name, generation=state.generation, channel=DEFAULT_CHANNEL)

    read()


@st.composite
def rotted(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file whose pages were put in each other's place, or filled with noise: what no flipped bit makes."""
    pages = [whole[at : at + 4096] for at in range(0, len(whole), 4096)]
    for _ in range(draw(st.integers(1, 4))):
        to, of = draw(st.tuples(*[st.integers(1, len(pages) - 1)] * 2))
        pages[to] = draw(st.sampled_from([pages[of], bytes(4096), draw(st.binary(min_size=64, max_size=64)) * 64]))
    return b"".join(pages)


def test_M2_ledgers(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("ledgers")
    with Ledger(directory / "whole") as ledger:
        ledger.set_identity("a" * 32)
        ledger.start_run("r", "netclnt sync", "2026-11-23T00:00:00Z")
    whole = (directory / "whole").read_bytes()

    @tried(3)
    @given(st.one_of(mutated(whole), rotted(whole)))
    def read(raw: bytes) -> None:
        (directory / "ledger").write_bytes(raw)
        with foreseen(memory=32 << 20), Ledger(directory / "ledger") as ledger:
            for ask in (ledger.identity, ledger.applied, ledger.held, ledger.kept, ledger.runs, ledger.check):
                ask()
        for left in directory.glob("ledger*"):
            left.unlink()

    read()


@tried(2)
@given(st.integers(-(1 << 40), 1 << 40), st.text(max_size=70))
def test_M2_the_number_of_pages_that_a_head_has_room_for(head_bytes: int, chunker: str) -> None:
    pages = block_pages_of(min(head_bytes, HEAD_BYTES_MAX), chunker)
    assert pages is None or 1 <= pages < HEAD_BYTES_MAX


# --- the line

PACKETS = [
    bytes.fromhex("00000005 02 00000003"),
    bytes.fromhex("00000011 65 00000001 00000002 00000000 00000000"),
    bytes.fromhex("0000000a 66 00000001 00000001 68"),
    bytes.fromhex("0000000d 67 00000001 00000004 64617461"),
    bytes.fromhex("00000015 69 00000001 0000000d 0000000000000007 000081a4"),
    bytes.fromhex("00000025 c9 00000001") + bytes(32),
]


@tried(1)
@given(st.data(), st.integers(1, 40))
def test_M2_answers_of_a_server(data: st.DataObject, step: int) -> None:
    packets = b"".join(data.draw(st.lists(st.sampled_from(PACKETS), max_size=6)))
    stream = data.draw(st.one_of(BYTES, mutated(packets)))
    inbox = wire.Inbox()
    with foreseen(), suppress(wire.Nonsense):
        for start in range(0, len(stream), step):
            inbox.feed(stream[start : start + step])
            while (answer := inbox.next()) is not None:
                if isinstance(answer, wire.ExtendedReply):
                    wire.parse_limits(answer.payload)
                if isinstance(answer, wire.Data):
                    assert sum(map(len, answer.parts)) == answer.size


@tried(3)
@given(TEXT)
def test_M2_addresses(text: str) -> None:
    for url in (text, f"sftp://{text}", f"sftp://u@h{text}", f"sftp://h/{text}"):
        with foreseen():
            parent = parse_parent(url)
            assert parse_parent(str(parent)) == parent


KNOWN_HOSTS = "h,*.example ssh-ed25519 AAAA\n@revoked [h]:2222 ssh-rsa AAAA\n|1|AAAA|AAAA= ssh-rsa AAAA c\n"


@tried(3)
@given(st.one_of(TEXT, mutated(KNOWN_HOSTS.encode()).map(lambda raw: raw.decode(errors="surrogateescape"))))
def test_M2_known_hosts(text: str) -> None:
    with foreseen():
        known = list(parse(text))
        judge(known, "h", 2222, b"\0")
        known_types(known, "h", 22)
    with suppress(BadArgument):
        check_fingerprint(text)


# --- what an admin writes

CONFIG = """
[slave]
name = "store-1"
catalog = "odbc:DRIVER={x};UID=me"
parent = "sftp://u@h/d"
root = "/r"
state = "/s"
select = ["a", "!b"]
bwlimit = "10M"
timeout = 3.5
keep = 2
adopt = true
mode = "0644"
[master]
store = "/store"
level = 9
"""

KEYS = [*SlaveConfig.__dataclass_fields__, *MasterConfig.__dataclass_fields__]
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.dates(), st.binary(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)


@tried(1)
@given(st.one_of(TEXT, mutated(CONFIG.encode()).map(lambda raw: raw.decode(errors="replace"))))
@example("keep = 1" + "0" * 5000)
@example("a = " + "[" * 5000)
@example("a" + ".a" * 2000 + " = 1")
@example("a = " + "{a=" * 5000)
@example("profile" + ".a" * 2000 + " = 1")
@example("[slave]\nkeep" + ".a" * 900 + " = 1")
def test_M2_configs(text: str) -> None:
    with foreseen(memory=64 << 20):
        for name, values in ConfigFile.of(text, path=Path("/c")).tables.items():
            table = SlaveConfig if name == "slave" else MasterConfig
            resolve(table, from_table(table, values), path=Path("/c"))
    with foreseen(memory=64 << 20):
        file = ConfigFile.of(text, path=Path("/c"), name="c")
        for problem in all_problems(ConfigFiles(file), {}, state=Path("/s")):
            assert problem.line is None or 1 <= problem.line <= text.count("\n") + 1


@tried(1)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=9))
def test_M2_L6_values_of_a_config(values: dict[str, object]) -> None:
    """Each bad one is told, all at once, wherever it was given."""
    words = {f"NETCLNT_{name.upper()}": str(value) for name, value in values.items()}
    for table in (SlaveConfig, MasterConfig):
        own = {name: value for name, value in values.items() if name in table.__dataclass_fields__}
        for layer in (from_table(table, own), from_environment(table, words), from_flags(table, own, directory=Path("/"))):
            try:
                resolve(table, layer, path=Path("/c"))
            except ConfigInvalid as error:
                assert len(error.problems) == len(set(error.problems))


@tried(2)
@given(TEXT, TEXT)
@example("A={", "")
@example("{", "}")
def test_M2_connection_strings(text: str, password: str) -> None:
    for string in (text, f"DSN={text}", f"DRIVER={{{text}}};UID={text}"):
        with foreseen():
            connstr.parse(string)
            shown = connstr.public(string)
            assert connstr.public(shown) == shown
            assert not connstr.has_password(shown)
            connstr.parse(connstr.with_password(string, password))


@tried(2)
@given(st.one_of(TEXT, st.text("./ab~-@\\\u0301\u202e\x00\n\ud800", max_size=300)))
def test_M2_names(text: str) -> None:
    for check in (check_name, check_path, check_channel, check_token):
        checked: Callable[[object], str] = check
        with foreseen():
            assert checked(text) == text
            assert ".." not in text.split("/")
            assert not text.startswith("/")
            assert safe(text).isprintable()
            assert twin_key(text) == twin_key(twin_key(text))
    with closing(sqlite3.connect(":memory:")) as raw, foreseen():
        raw.execute("SELECT ?", (check_name(text),))
