"""A catalog and a store that mean harm: nothing outside of root and state changes, nothing reaches a terminal raw, the exit code
says why, and what is sound is brought all the same."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import random
import shutil
import sqlite3
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netclnt import offer
from netclnt.catalog import open_catalog
from netclnt.catalog.schema import TOC_TABLES
from netclnt.catalog.toc import open_toc, update_toc
from netclnt.errors import BrakeApplied, ExitCode, NetclntError, TrustError
from netclnt.events import Event, Failed
from netclnt.files.root import open_root
from netclnt.ledger import Ledger
from netclnt.localmanifests import Manifests
from netclnt.manifest import BlockPage, EntryPage, Head, encode_head, manifest_path
from netclnt.memory.source import MemorySource
from netclnt.pack import compress
from netclnt.result import Result
from netclnt.rows import IMAGE, VERSION
from netclnt.selection import Selection
from netclnt.sync import sync
from tests.support.amount import amount
from tests.support.images import content
from tests.support.oracle import Oracle
from tests.support.site import NETCLNT, Site, snapshot
from tests.support.world import World

MakeSite = Callable[..., Site]

NAMES = {
    "F1": ["/etc/passwd", "..", ".", "", "../outside/evil", "a/../../outside/evil", "a//b", "a/./b", "/", "a/"],
    "F2": ["a\0b", "a\nb", "\x1b[2J\x1b]0;evil\x07", "\u202egnp.exe", "a\u2028b", "a\x9bb", "a\u200bb", "e\u0301", b"\xff\x80"],
    "F3": ["-rf", "a/--help", "a@b", "a:b", "a*b", "[/b]", "[red]x", "!a", "a\\b", "a?"],
    "F4": ["x" * 256, "y/" * 65 + "y", "z" * 100_000, "\U0001d11e" * 64],
    "F5": ["GOOD", "good", "good/inside", "OS/TREE", "os"],
    "F6": [".netclnt", ".netclnt/ledger", ".NetClnt/staging/x", "lost+found", "Lost+Found/x"],
}
"""Names that no image may have; the ones of F5 because of their neighbours."""

HARMLESS = ["~", "~/evil", "$(id)", "%s", "{0}", "`id`;|&<>", "<b>", "a b", "%n%n%n", "'\"", "\U0001f4be"]
"""Names that may be: odd, but of no power."""

NUMBERS = [
    -1,
    0,
    1,
    1 << 31,
    1 << 50,
    (1 << 50) + 1,
    1 << 60,
    (1 << 63) - 1,
    -(1 << 63),
    1.5,
    1e300,
    "",
    "many",
    "9" * 40,
    b"\xff",
    None,
]
PLAIN = ["0" * 63, "0" * 64, "G" * 64, "F" * 64, "fastcdc2020/1k-2k-4k", "rabin"]
"""Wrong as a hash or a chunker, but good names."""

TEXTS = [
    None,
    "",
    7,
    b"\xff",
    b"",
    "\x1b[2J",
    "\u202e",
    "x" * 5000,
    "sha512:" + "0" * 128,
    "../" * 20 + "etc/passwd",
    *PLAIN,
]


@dataclass(frozen=True)
class Rewriting:
    """``value`` in a column of one table's rows; those of the image ``bad`` alone, or ``all``."""

    table: str
    column: str
    value: object
    all: bool = False

    def __call__(self, raw: sqlite3.Connection) -> None:
        key = {"nc_image": "image", "nc_version": "image", "nc_event": "image", "nc_requirement": "image"}.get(self.table)
        where = f" WHERE {key} = 2" if key and not self.all else ""
        value = "CAST(? AS TEXT)" if isinstance(self.value, bytes) and self.column == "name" else "?"
        raw.execute(f"UPDATE {self.table} SET {self.column} = {value}{where}", (self.value,))


def rewritings() -> list[Rewriting]:
    """Every hostile value in every column."""
    made = []
    for table in TOC_TABLES:
        for column, kind in table.columns:
            names = [name for group in NAMES.values() for name in group] + HARMLESS if column == "name" else []
            values = NUMBERS if kind == "BIGINT" else [*names, *TEXTS]
            made += [Rewriting(table.name, column, value, all_) for value in values for all_ in (False, True)]
    return made


class Jail:
    """One slave on a real disk whose catalog is a copy of a sound one, rewritten; what lies around it is under watch."""

    def __init__(self, template: Template, directory: Path) -> None:
        self.template = template
        self.directory = directory
        self.catalog = directory / "outside" / "catalog.sqlite"
        for name in ("outside", "state", "root"):
            (directory / name).mkdir()
        (directory / "outside" / "precious").write_bytes(b"precious")
        (directory / "root" / "admin.txt").write_bytes(b"the admin's own")
        (directory / "root" / "admin").mkdir()
        shutil.copy(template.catalog, self.catalog)
        self.source = MemorySource(template.files)
        self.events: list[Event] = []

    def rewrite(self, *changes: Callable[[sqlite3.Connection], object]) -> None:
        with closing(sqlite3.connect(self.catalog)) as raw:
            for change in changes:
                try:
                    change(raw)
                except (sqlite3.IntegrityError, OverflowError):
                    continue  # a key of the table that even a hostile file has
            raw.commit()

    def sync(self, selection: Selection | None = None, *, toc: bool = False) -> Result:
        """One run, which must leave what lies around it as it was, whatever becomes of it."""
        before = self._around()
        try:
            return self._sync(selection, toc=toc)
        finally:
            assert self._around() == before
            assert {path.name for path in self.directory.iterdir()} == {"outside", "state", "root"}
            self._check_live()

    def _sync(self, selection: Selection | None, *, toc: bool) -> Result:
        self.events.clear()
        with ExitStack() as stack:
            ledger = stack.enter_context(Ledger(self.directory / "state" / "ledger.sqlite"))
            root = stack.enter_context(open_root(self.directory / "root", marker=None))
            opened = open_toc(self.catalog) if toc else open_catalog(f"sqlite:{self.catalog}")
            stack.callback(opened.close)
            slave = self.template.world.slave(
                root=root,
                root_path=root.path,
                ledger=ledger,
                manifests=Manifests(self.directory / "state" / "manifests"),
                scratch=self.directory / "state" / "scratch",
                open_catalog=lambda: opened,
                source=self.source,
                report=False,
            )
            return sync(slave, selection, observer=self.events.append)

    def _around(self) -> dict[str, object]:
        own = [snapshot(self.directory / "root" / name) for name in ("admin.txt", "admin")]
        return {"outside": snapshot(self.directory / "outside"), "own": own}

    def _check_live(self) -> None:
        """Each file in the root is the admin's, or byte for byte a published one."""
        for path in (self.directory / "root").rglob("*"):
            if path.is_file() and ".netclnt" not in path.parts and path.name != "admin.txt":
                assert hashlib.sha256(path.read_bytes()).digest() in self.template.published, path

    def live(self, name: str) -> bytes | None:
        path = self.directory / "root" / name
        return path.read_bytes() if path.is_file() else None

    @property
    def refused(self) -> dict[str, Exception]:
        return {event.image: event.error for event in self.events if isinstance(event, Failed)}


class Template:
    """A master in memory that offers ``good``, ``bad`` (the second image) and the tree ``os/tree``, and its catalog as a TOC."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        self.data = {"good": noise(1, 60_000), "bad": noise(2, 90_000)}
        tree = {"etc/hostname": b"golden\n", "bin/shell": noise(3, 40_000)}
        for name in ("good", "bad"):
            self.world.publish(name, self.data[name])
        self.world.publish("os/tree", tree)
        self.published = {hashlib.sha256(data).digest() for data in (*self.data.values(), *tree.values())}
        self.catalog = directory / "catalog.sqlite"
        update_toc(self.catalog, self.world.catalog, 3)
        self.files = self.world.store.files


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    made = Template(tmp_path_factory.mktemp("hostile"))
    yield made
    made.world.ledger.close()


@contextmanager
def jail(template: Template) -> Iterator[Jail]:
    memory = Path("/dev/shm")  # hundreds of short lives: a disk would only be slow
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Jail(template, Path(directory))


# --- values


@pytest.mark.timeout(1800)
@settings(max_examples=settings.default.max_examples // 3)
@given(changes=st.lists(st.sampled_from(rewritings()), min_size=1, max_size=3), toc=st.booleans())
def test_F1_F10_P8_whatever_stands_in_the_catalog_nothing_gets_out(
    template: Template, changes: list[Rewriting], toc: bool
) -> None:
    with jail(template) as inside:
        inside.rewrite(*changes)
        for _ in range(2):
            try:
                result = inside.sync(toc=toc)
            except NetclntError as error:
                assert error.exit_code not in (ExitCode.BUG, ExitCode.OK), error
            else:
                assert result.exit_code is not ExitCode.BUG


ALONE = [each for each in rewritings() if each.table in ("nc_image", "nc_version") and not each.all]
STRUCTURE = ("image", "name_key", "name_hash", "twin_hash")
"""Columns that are no value of an image but hold the tables together."""


@pytest.mark.timeout(1800)
@settings(max_examples=settings.default.max_examples // 3)
@given(change=st.sampled_from([each for each in ALONE if each.column not in STRUCTURE]))
def test_F1_F10_P9_one_hostile_row_costs_the_others_nothing(template: Template, change: Rewriting) -> None:
    with jail(template) as inside:
        inside.rewrite(change)
        result = inside.sync()
        assert result.exit_code in (ExitCode.OK, ExitCode.TRUST, ExitCode.PARTIAL, ExitCode.INTEGRITY)
        if not (change.column == "name" and str(change.value).lower().startswith("good")):
            assert inside.live("good") == template.data["good"]
        if inside.live("bad") is None:
            assert result.failed or change.value in HARMLESS or (change.column == "name" and change.value in (7, *PLAIN))


@pytest.mark.parametrize("group", NAMES)
def test_F_TRUST_names_that_no_image_may_have(template: Template, group: str) -> None:
    for name in NAMES[group]:
        with jail(template) as inside:
            inside.rewrite(Rewriting("nc_image", "name", name))
            result = inside.sync()
            assert result.exit_code is ExitCode.TRUST, name
            told = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
            assert told in inside.refused
            bystander = "os/tree/etc/hostname" if told.lower().startswith("good") else "good"
            assert inside.live(bystander) is not None, name
            assert inside.live("bad") is None
            inside.rewrite(Rewriting("nc_image", "name", "bad"))
            assert inside.sync().exit_code is ExitCode.OK  # nothing was poisoned for good
            assert {name: inside.live(name) for name in template.data} == template.data


TEXT_COLUMNS = [(table.name, name) for table in (IMAGE, VERSION) for name, kind in table.columns if kind.startswith("VARCHAR")]


@pytest.mark.parametrize(("table", "column"), [each for each in TEXT_COLUMNS if each[1] not in STRUCTURE])
@pytest.mark.parametrize("toc", [False, True])
def test_F2_text_that_is_no_UTF_8_costs_one_image(template: Template, table: str, column: str, toc: bool) -> None:
    """As one flipped bit in a SQLite file makes it."""
    with jail(template) as inside:
        inside.rewrite(lambda raw: raw.execute(f"UPDATE {table} SET {column} = CAST(x'62e164' AS TEXT) WHERE image = 2"))
        assert inside.sync(toc=toc).exit_code is ExitCode.TRUST
        assert list(inside.refused) == ["b\\xe1d" if column == "name" else "bad"]
        assert inside.live("bad") is None
        assert inside.live("good") == template.data["good"]


def test_P11_a_row_that_is_gone_makes_no_smaller_offer(template: Template) -> None:
    """The promotion stands: without the version's row it is refused by its name; without the image's nobody knows what it was of,
    and the whole offer is refused."""
    with jail(template) as inside:
        inside.rewrite(lambda raw: raw.execute("DELETE FROM nc_version WHERE image = 2"))
        assert inside.sync().exit_code is ExitCode.TRUST
        assert list(inside.refused) == ["bad"]
        inside.rewrite(lambda raw: raw.execute("DELETE FROM nc_image WHERE image = 2"))
        with pytest.raises(TrustError):
            inside.sync()


@pytest.mark.parametrize("name", HARMLESS)
def test_F3_names_that_may_be_are_just_names(template: Template, name: str) -> None:
    with jail(template) as inside:
        inside.rewrite(Rewriting("nc_image", "name", name))
        assert inside.sync().exit_code is ExitCode.OK
        assert inside.live(name) == template.data["bad"]


def test_F5_held_images_survive_that_a_twin_appears(template: Template) -> None:
    with jail(template) as inside:
        inside.sync()
        inside.rewrite(Rewriting("nc_image", "name", "GOOD"), lambda raw: raw.execute("UPDATE nc_state SET generation = 4"))
        assert inside.sync().exit_code is ExitCode.TRUST
        assert set(inside.refused) == {"good", "GOOD"}
        assert {name: inside.live(name) for name in template.data} == template.data


def test_F_what_is_refused_outside_of_the_selection_is_nobodys_business(template: Template) -> None:
    with jail(template) as inside:
        inside.rewrite(Rewriting("nc_version", "bytes", -1))
        assert inside.sync(Selection(("good",))).exit_code is ExitCode.OK
        assert inside.sync(Selection(("bad",))).exit_code is ExitCode.TRUST
        assert inside.sync(Selection(("kind:image",))).exit_code is ExitCode.TRUST


def test_F_what_is_refused_is_not_taken_for_gone(template: Template) -> None:
    """The brake against a shrunken catalog, and later a removal, must not count what is there and cannot be read."""
    with jail(template) as inside:
        inside.sync()
        inside.rewrite(
            Rewriting("nc_version", "sha256", "", all=True), lambda raw: raw.execute("UPDATE nc_state SET generation = 4")
        )
        result = inside.sync()
        assert result.exit_code is ExitCode.TRUST
        assert result.differences == 0


@pytest.mark.parametrize("generation", [(1 << 63) - 1, 1 << 62, -1])
def test_F14_a_generation_out_of_range_is_TRUST_and_not_remembered(template: Template, generation: int) -> None:
    with jail(template) as inside:
        inside.rewrite(Rewriting("nc_state", "generation", generation))
        with pytest.raises(TrustError):
            inside.sync()
        inside.rewrite(Rewriting("nc_state", "generation", 3))
        assert inside.sync().exit_code is ExitCode.OK


def test_F15_a_name_becomes_a_directory_of_another_name(template: Template) -> None:
    """``bad`` is held, and then ``bad/x`` is offered in its place: the file stays, and the others go on."""
    with jail(template) as inside:
        inside.sync()
        inside.rewrite(
            Rewriting("nc_image", "name", "bad/x"),
            Rewriting("nc_image", "name_hash", hashlib.sha256(b"bad/x").hexdigest()),
            lambda raw: raw.execute("UPDATE nc_state SET generation = 4"),
        )
        result = inside.sync()
        assert [name for name, _ in result.failed] == ["bad/x"]
        assert inside.live("bad") == template.data["bad"]
        inside.rewrite(Rewriting("nc_image", "name", "bad"), lambda raw: raw.execute("UPDATE nc_state SET generation = 5"))
        assert inside.sync().exit_code is ExitCode.OK


def test_F11_too_many_images_are_LIMIT(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer, "IMAGES_MAX", 2)
    with jail(template) as inside:
        with pytest.raises(BrakeApplied):
            inside.sync()
        inside.rewrite(lambda raw: raw.execute("UPDATE nc_image SET name = '../' || image"))  # refused ones count, too
        with pytest.raises(BrakeApplied):
            inside.sync()
        assert inside.live("good") is None
    monkeypatch.setattr(offer, "IMAGES_MAX", 3)
    with jail(template) as inside:
        assert inside.sync().exit_code is ExitCode.OK


# --- manifests of an attacker who can name any digest


def raw_entry(letter: bytes, path: str, *, mode: int = 0o644, size: int = 0, sha256: bytes = b"", target: str = "") -> bytes:
    fields = struct.pack(">cHQ", letter, mode, size) + (sha256 or hashlib.sha256(b"").digest() if letter == b"f" else b"")
    fields += struct.pack(">H", len(path.encode())) + path.encode()
    return fields + (struct.pack(">H", len(target.encode())) + target.encode() if letter == b"l" else b"")


ROOT = raw_entry(b"d", "", mode=0o755)
EVIL = [
    pytest.param([ROOT, raw_entry(b"f", "../../outside/evil")], id="F1-dots"),
    pytest.param([ROOT, raw_entry(b"f", "/tmp/evil")], id="F1-absolute"),
    pytest.param([ROOT, raw_entry(b"l", "a", target="../../outside"), raw_entry(b"f", "a/evil")], id="F1-through-a-link"),
    pytest.param([ROOT, raw_entry(b"d", "a"), raw_entry(b"l", "a", target="../../outside")], id="F5-twice"),
    pytest.param([ROOT, raw_entry(b"f", "a\nb\x1b[2J")], id="F2-control"),
    pytest.param([ROOT, raw_entry(b"f", "a", mode=0o4755)], id="F10-set-user-id"),
    pytest.param([ROOT, raw_entry(b"f", "a", mode=0xFFFF)], id="F10-mode"),
    pytest.param([ROOT, raw_entry(b"f", "a", size=1 << 60)], id="F7-1-EiB"),
    pytest.param([ROOT, raw_entry(b"f", "a", size=1 << 40)], id="F7-1-TiB-without-blocks"),
    pytest.param([ROOT, raw_entry(b"f", "x/" * 100 + "y")], id="F4-deep"),
    pytest.param([raw_entry(b"l", "", target="/etc")], id="F15-the-image-is-a-link"),
    pytest.param([ROOT, raw_entry(b"b", "a")], id="F15-a-device"),
]


@pytest.mark.parametrize("entries", EVIL)
def test_F_P8_no_tree_leads_out_of_its_image(template: Template, entries: list[bytes]) -> None:
    stored = compress(b"".join(entries), 1)
    page = EntryPage(hashlib.sha256(stored).digest(), len(stored), len(b"".join(entries)), len(entries))
    head = Head("fastcdc2020/4k-16k-64k", True, template.world.catalog.state().hash_seed, 0, 0, len(entries), 0, (page,), ())
    with jail(template) as inside:
        offer_manifest(inside, head, stored)
        result = inside.sync()
        assert result.exit_code in (ExitCode.TRUST, ExitCode.INTEGRITY)
        assert [name for name, _ in result.failed] == ["bad"]
        assert inside.live("good") == template.data["good"]
        assert not (inside.directory / "root" / "bad").exists()


def offer_manifest(inside: Jail, head: Head, pages: bytes) -> None:
    """Let the catalog offer a manifest of an attacker's making as ``bad``, all digests right."""
    encoded = encode_head(head)
    digest = hashlib.sha256(encoded).hexdigest()
    inside.source = MemorySource({**inside.template.files, manifest_path(digest): encoded + pages})
    values = {"manifest": digest, "head_bytes": len(encoded), "tree": int(head.tree), "bytes": head.size, "blocks": head.blocks}
    values |= {"entries": head.entries, "sha256": "" if head.tree else "0" * 64}
    inside.rewrite(*(Rewriting("nc_version", column, value) for column, value in values.items()))


def test_F16_a_page_that_names_itself_or_a_million_times_another_is_refused(template: Template) -> None:
    """No digest can hold itself; a head may only repeat one page without end."""
    entry = raw_entry(b"d", "", mode=0o755)
    stored = compress(entry, 1)
    page = EntryPage(hashlib.sha256(stored).digest(), len(stored), len(entry), 1)
    seed = template.world.catalog.state().hash_seed
    with jail(template) as inside:
        offer_manifest(inside, Head("fastcdc2020/4k-16k-64k", True, seed, 0, 0, 1000, 0, (page,) * 1000, ()), stored * 1000)
        assert inside.sync().exit_code is ExitCode.TRUST
    blocks = BlockPage(hashlib.sha256(b"x").digest(), 1, 100, bytes(16))
    with jail(template) as inside:
        head = Head("fastcdc2020/4k-16k-64k", False, seed, 100_000, 0, 1, 1000, (page,), (blocks,) * 1000)
        offer_manifest(inside, head, stored)
        assert inside.sync().exit_code in (ExitCode.TRUST, ExitCode.INTEGRITY, ExitCode.PARTIAL)
        assert inside.live("good") == template.data["good"]


# --- the whole program


BAD = "bad-image"


@pytest.fixture
def hostile_site(make_site: MakeSite) -> tuple[Site, Oracle]:
    site = make_site(flags=("--no-report",))
    for number, name in enumerate(("good", BAD)):
        site.publish(site.put(name, content(f"F/{number}", 50_000)))
    site.sync()
    site.publish(site.put("good", content("F/new", 60_000)))
    watch = Oracle(site)
    watch.begin()
    return site, watch


def rewrite(site: Site, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(site.place.master.removeprefix("sqlite:"))) as raw:
        raw.execute(statement, values)
        raw.commit()


SOME = {
    "F1": "../../outside/evil",
    "F2": "bad\x1b[2J\x1b]0;evil\x07\u202e",
    "F3": "[/b][red]{0}%s$(id)-*",
    "F4": "x" * 300,
    "F5": "GOOD2/../good",
    "F6": ".netclnt/staging",
}


@pytest.mark.parametrize("id_", SOME)
def test_F1_F6_L2_a_hostile_name_is_TRUST_and_told_without_harm(hostile_site: tuple[Site, Oracle], id_: str) -> None:
    site, watch = hostile_site
    rewrite(site, "UPDATE nc_image SET name = ? WHERE name = ?", SOME[id_], BAD)
    run = watch.sync()
    assert run.code == ExitCode.TRUST, run.out + run.err
    assert [event["image"] for event in run.of("error")] == [SOME[id_]]
    watch.look()
    assert watch.live()["good"] == site.published["good"][2]
    for words in (("sync",), ("-v", "diff"), ("--color", "always", "--progress", "always", "sync", "--dry-run"), ("status",)):
        shown = on_a_terminal(site, *words)
        assert not any(char in shown for char in "\x07\u202e"), words
        assert "\x1b[2J" not in shown, words
        assert "\x1b]" not in shown, words
    rewrite(site, "UPDATE nc_image SET name = ? WHERE name = ?", BAD, SOME[id_])
    watch.settle()


def on_a_terminal(site: Site, *words: str) -> str:
    """What a command writes to a terminal that is its standard output and error."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                shown.append(data)
        except OSError:
            return  # how a terminal says that nobody writes any more

    reader = threading.Thread(target=read)
    with subprocess.Popen(
        [*NETCLNT, *words], env={**site.environment_of("slave"), "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        reader.start()
        assert process.wait(60) in (0, 4, 8)
        reader.join()
    os.close(ours)
    return b"".join(shown).decode()


def test_F12_a_bomb_and_a_wrong_size_in_a_pack_are_INTEGRITY_within_the_memory_bound(hostile_site: tuple[Site, Oracle]) -> None:
    site, watch = hostile_site
    packs = {path: path.read_bytes() for path in (site.store / "packs").rglob("*.pack")}
    bomb = compress(bytes(1 << 30), 1)  # as much of it as fits: some kilobytes that unpack to a gigabyte
    for harm in (lambda room: bomb[:room].ljust(room, b"\0"), bytes, lambda room: random.Random(room).randbytes(room)):
        for path, whole in packs.items():
            path.write_bytes(whole[:16] + harm(len(whole) - 16))
        run = watch.sync()
        assert run.code == ExitCode.INTEGRITY, run.out
        assert watch.live()["good"] == site.published["good"][1]
    for path, whole in packs.items():
        path.write_bytes(whole)
    watch.begin()
    watch.settle()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_F11_P9_a_catalog_of_very_many_images_is_LIMIT_within_the_memory_bound(
    hostile_site: tuple[Site, Oracle], request: pytest.FixtureRequest
) -> None:
    site, watch = hostile_site
    watch.deadline = 300
    watch.but = ("home",)  # where SQLite sorts
    count = amount(request, 150_000, 3_000_000)
    columns = ", ".join(f"v.{name}" for name, _ in VERSION.columns[1:])
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < {count + 1000}) INSERT INTO"
    for statement in (
        f"{numbers} nc_image SELECT i, 'i' || i, printf('%08x', i), 'h' || i, 't' || i, 'image', 1 FROM n",
        f"{numbers} nc_version SELECT i, {columns} FROM n, nc_version v WHERE v.image = 1 AND v.number = 1".replace(
            "v.generation", "i"
        ),
        f"{numbers} nc_event SELECT i, 'promote', i, 1, 'stable', '', 1 FROM n",
    ):
        rewrite(site, statement)
    watch.begin()
    run = watch.sync()
    assert run.code == ExitCode.LIMIT, run.out + run.err
    assert json.loads(run.out.splitlines()[-2])["type"] in ("error", "summary")
    watch.look()


def test_F_sound_images_do_not_wait_for_refused_ones_in_a_forecast(hostile_site: tuple[Site, Oracle]) -> None:
    site, _ = hostile_site
    rewrite(site, "UPDATE nc_version SET bytes = -7 WHERE image = 2")
    dry = site.slave("--json", "sync", "--dry-run")
    assert dry.code == ExitCode.TRUST
    assert [event["image"] for event in dry.of("plan")] == ["good"]
    differing = site.slave("--json", "diff")
    assert differing.code == ExitCode.TRUST
    assert [event["image"] for event in differing.of("change")] == ["good"]
    assert [event["image"] for event in differing.of("error")] == [BAD]
