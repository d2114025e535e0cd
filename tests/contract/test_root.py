"""What every Root, Stage and Reader does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import xxhash

from netclnt.errors import ForbiddenName, ForbiddenValue, ForeignFile, Locked, StorageFailed, Unpublishable
from netclnt.memory.root import MemoryRoot
from netclnt.model import Entry, EntryType
from netclnt.protocols import Facts, Reader, Root, Stage
from tests.support.roots import Bench, directory_bench, memory_bench

FILE, DIRECTORY, LINK = EntryType.FILE, EntryType.DIRECTORY, EntryType.LINK


@pytest.fixture(params=["directory", "memory"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "memory":
        yield memory_bench()
        return
    bench = directory_bench(tmp_path / "root")
    yield bench
    bench.root.close()


@pytest.fixture
def root(bench: Bench) -> Root:
    return bench.root


def file(data: bytes, path: str = "", mode: int = 0o644) -> Entry:
    return Entry(path, FILE, mode, len(data), hashlib.sha256(data).digest())


def put(
    root: Root, name: str, content: bytes | dict[str, bytes | str | None], token: str = "a1", keep: str | None = None
) -> None:
    """Stage, seal and show: bytes are a file; a dictionary is a tree of files, links (str) and directories (None)."""
    entries, data = shape(content)
    stage = root.stage(token)
    stage.prepare(entries)
    for number, content in enumerate(data):
        if content:
            stage.write(number, 0, [content])
    stage.sync()
    stage.seal(name)
    stage.close()
    root.show(token, name, keep=keep)


def shape(content: bytes | dict[str, bytes | str | None]) -> tuple[list[Entry], list[bytes]]:
    if isinstance(content, bytes):
        return [file(content)], [content]
    entries = [Entry("", DIRECTORY, 0o755)]
    for path, inner in sorted(content.items(), key=lambda pair: pair[0].split("/")):
        if isinstance(inner, bytes):
            entries.append(file(inner, path))
        elif isinstance(inner, str):
            entries.append(Entry(path, LINK, 0o777, target=inner))
        else:
            entries.append(Entry(path, DIRECTORY, 0o755))
    found = {path: inner for path, inner in content.items() if isinstance(inner, bytes)}
    return entries, [found.get(entry.path, b"") for entry in entries]


def everything(reader: Reader) -> bytes:
    buffer = bytearray(reader.size + 10)
    got = reader.read_into(0, buffer)
    reader.close()
    return bytes(buffer[:got])


def content(root: Root, name: str, path: str = "") -> bytes:
    return everything(root.open(name, path))


OLD = {"a": b"old a", "d": None, "d/x": b"x" * 9000, "gone": b"g"}
NEW = {"a": b"new a", "d": None, "d/x": b"x" * 9000, "link": "../../etc/passwd", "é": b""}


# --- showing


def test_where_a_version_is_staged_can_be_told_to_other_programs(root: Root) -> None:
    root.stage("a1").close()
    path = Path(root.staged_path("a1"))
    assert path.is_absolute()
    assert "a1" in path.parts


@pytest.mark.parametrize("size", [0, 1, 4096, 70_001])
def test_C25_a_new_file_with_its_parents(root: Root, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    put(root, "os/debian/a.img", data[:size])
    assert root.type("os/debian/a.img") == "file"
    assert root.type("os") == "directory"
    assert content(root, "os/debian/a.img") == data[:size]
    assert root.staged() == []


def test_a_new_tree(root: Root) -> None:
    put(root, "drivers", NEW)
    assert root.type("drivers") == "directory"
    entries, _ = shape(NEW)
    assert list(root.tree("drivers")) == entries


def test_a_file_is_replaced_and_the_old_one_kept(root: Root) -> None:
    put(root, "a", b"one")
    put(root, "a", b"two", keep="0f")
    assert content(root, "a") == b"two"
    assert root.kept() == ["0f"]
    assert (root.keeps("0f"), root.keeps("0e")) == (True, False)
    assert everything(root.open_kept("0f", "")) == b"one"
    root.drop("0f")
    root.drop("0f")
    assert root.kept() == []


def test_what_goes_is_weighed(root: Root) -> None:
    assert (root.kept_bytes("0f"), root.staged_bytes("0f")) == (0, 0)
    put(root, "a", b"x" * 100_000)
    put(root, "a", b"two", keep="0f")
    assert 100_000 <= root.kept_bytes("0f") < 130_000
    assert root.staged_bytes("0f") == 0
    with closing(root.stage("0e")) as stage:
        stage.prepare([Entry("", EntryType.FILE, 0o644, 50_000, bytes(32))])
        stage.write(0, 0, [b"y" * 50_000])
    assert 50_000 <= root.staged_bytes("0e") < 80_000


def test_a_tree_is_replaced_and_the_old_one_kept(root: Root) -> None:
    put(root, "t", OLD)
    put(root, "t", NEW, keep="0f")
    assert [entry.path for entry in root.tree("t")] == ["", "a", "d", "d/x", "link", "é"]
    assert everything(root.open_kept("0f", "gone")) == b"g"
    assert everything(root.open_kept("0f", "d/x")) == b"x" * 9000


def test_without_keep_nothing_stays(root: Root) -> None:
    put(root, "t", OLD)
    put(root, "t", NEW)
    assert root.kept() == []
    assert root.staged() == []
    assert content(root, "t", "a") == b"new a"


@pytest.mark.parametrize("keep", [None, "0f"])
def test_F15_a_file_becomes_a_directory_and_back(root: Root, keep: str | None) -> None:
    put(root, "x", b"file")
    put(root, "x", OLD, keep=keep)
    assert content(root, "x", "a") == b"old a"
    put(root, "x", b"again", keep=keep)
    assert content(root, "x") == b"again"
    assert root.kept() == ([keep] if keep else [])


@pytest.mark.parametrize("held", [b"one", NEW], ids=["file", "tree"])
def test_an_image_is_put_away_and_kept_or_not(root: Root, held: bytes | dict[str, bytes | str | None]) -> None:
    put(root, "os/a", held)
    put(root, "os/b", b"beside")
    entries = list(root.tree("os/a"))
    path = "d/x" if isinstance(held, dict) else ""
    found = content(root, "os/a", path)
    root.put_away("os/a", keep="0f")
    root.put_away("os/a", keep="0f")
    assert (root.type("os/a"), root.kept(), root.staged()) == ("absent", ["0f"], [])
    assert everything(root.open_kept("0f", path)) == found
    put(root, "os/a", held)
    assert list(root.tree("os/a")) == entries
    root.put_away("os/a", keep=None)
    assert (root.type("os/a"), root.kept(), root.staged()) == ("absent", ["0f"], [])
    assert content(root, "os/b") == b"beside"
    root.put_away("no/such", keep=None)


@pytest.mark.parametrize("held", [b"one", NEW], ids=["file", "tree"])
def test_an_image_is_taken_over_from_another_root_as_it_is(bench: Bench, held: bytes | dict[str, bytes | str | None]) -> None:
    """The other root lies beside it, on the same file system."""
    beside = bench.root
    other = memory_bench() if isinstance(beside, MemoryRoot) else directory_bench(Path(f"{beside.path}-other"))
    put(other.root, "os/a", held)
    paths = [entry.path for entry in other.root.tree("os/a")]
    before = other.root.facts("os/a", paths)
    assert bench.root.take("os/a", other.root)
    assert (bench.root.facts("os/a", paths), other.root.type("os/a")) == (before, "absent")
    put(other.root, "os/a", b"another")
    with pytest.raises(ForeignFile):
        bench.root.take("os/a", other.root)
    assert content(other.root, "os/a") == b"another"
    assert bench.root.facts("os/a", paths) == before
    other.put_file("b", b"b")
    assert not bench.root.take("b", MemoryRoot(device=1))
    if not isinstance(other.root, MemoryRoot):
        other.root.close()


def test_a_kept_token_used_again_holds_the_newer_one(root: Root) -> None:
    put(root, "a", b"one")
    put(root, "a", b"two", keep="0f")
    put(root, "a", b"three", keep="0f")
    assert everything(root.open_kept("0f", "")) == b"two"


def test_P1_an_open_reader_keeps_its_version(root: Root) -> None:
    put(root, "a", b"one")
    put(root, "t", OLD)
    opened = root.open("a", ""), root.open("t", "a")
    put(root, "a", b"two")
    put(root, "t", NEW, keep="0f")
    root.drop("0f")
    assert [everything(reader) for reader in opened] == [b"one", b"old a"]


def test_what_somebody_else_put_there_can_be_made_durable(bench: Bench) -> None:
    bench.put_file("by/hand", b"content")
    before = bench.root.facts("by/hand", [""])
    bench.root.secure("by/hand")
    assert bench.root.facts("by/hand", [""]) == before
    with pytest.raises(ForbiddenName):
        bench.root.secure("../by/hand")


def test_G7_what_lies_beside_is_left_alone(bench: Bench) -> None:
    bench.put_file("notes.txt", b"mine")
    bench.put_file("os/notes.txt", b"mine too")
    put(bench.root, "os/a", b"one")
    put(bench.root, "os/a", b"two")
    assert content(bench.root, "notes.txt") == b"mine"
    assert content(bench.root, "os/notes.txt") == b"mine too"


# --- what lies in the way


def test_G2_something_else_at_the_target(bench: Bench) -> None:
    bench.put_file("real", b"mine")
    bench.put_link("link", "real")
    bench.put_link("dangling", "nowhere")
    bench.put_other("fifo")
    for name in ("link", "dangling", "fifo"):
        assert bench.root.type(name) == "other"
        with pytest.raises(ForeignFile) as caught:
            put(bench.root, name, b"new")
        assert caught.value.image == name
        assert bench.root.type(name) == "other"
        with pytest.raises(StorageFailed):
            bench.root.open(name, "")
    assert content(bench.root, "real") == b"mine"


def test_G1_a_link_or_a_file_on_the_way(bench: Bench) -> None:
    bench.put_file("elsewhere/a", b"mine")
    bench.put_link("os", "elsewhere")
    bench.put_file("flat", b"mine")
    for name in ("os/a", "os/deep/a", "flat/a"):
        assert bench.root.type(name) == "other"
        assert bench.root.facts(name, [""]) == [None]
        with pytest.raises(ForeignFile):
            put(bench.root, name, b"new")
        with pytest.raises(StorageFailed):
            bench.root.open(name, "")
    assert content(bench.root, "elsewhere/a") == b"mine"


def test_F1_names_that_lead_out_are_refused(root: Root) -> None:
    for name in ("../a", "/a", "a/../../b", "", ".netclnt/marker"):
        for call in (root.type, lambda name: root.open(name, ""), lambda name: root.show("a1", name, keep=None)):
            with pytest.raises(ForbiddenName):
                call(name)
    put(root, "t", OLD)
    for path in ("../x", "/etc/passwd", "d/../../x", "."):
        with pytest.raises(ForbiddenName):
            root.open("t", path)
        with pytest.raises(ForbiddenName):
            root.facts("t", [path])
    for token in ("", "..", "a/b", "XY", "0" * 65):
        for call in (root.stage, root.discard, root.drop, root.keeps, lambda token: root.open_kept(token, "")):
            with pytest.raises(ForbiddenName):
                call(token)


# --- looking


def test_facts_tell_a_change(bench: Bench) -> None:
    root = bench.root
    put(root, "t", OLD)
    before = root.facts("t", ["", "a", "d", "d/x", "nothing", "a/below"])
    assert [fact and fact.size for fact in (before[1], before[3])] == [5, 9000]
    assert before[4:] == [None, None]
    assert root.facts("t", ["", "a", "d", "d/x", "nothing", "a/below"]) == before
    put(root, "t", OLD)
    after = root.facts("t", ["a", "d/x"])
    assert after[0] != before[1]
    assert after[1] != before[3]
    assert root.facts("absent", ["", "x"]) == [None, None]


def test_a_tree_is_told_in_the_order_of_its_paths(bench: Bench) -> None:
    bench.put_file("t/a.b", b"1")
    bench.put_file("t/a/b", b"2", 0o755)
    bench.put_file("t/a-b", b"3")
    bench.put_file("t/\U0001f600", b"4")
    bench.put_file("t/｡", b"5")
    bench.put_link("t/z", "a/b")
    entries = list(bench.root.tree("t"))
    assert [entry.path for entry in entries] == ["", "a", "a/b", "a-b", "a.b", "z", "｡", "\U0001f600"]
    assert entries[2] == file(b"2", "a/b", 0o755)
    assert entries[5] == Entry("z", LINK, 0o777, target="a/b")


def test_a_tree_of_one_file(bench: Bench) -> None:
    bench.put_file("a", b"x" * 3_000_000, 0o600)
    assert list(bench.root.tree("a")) == [file(b"x" * 3_000_000, mode=0o600)]


def test_what_no_version_can_contain(bench: Bench) -> None:
    bench.put_other("t/fifo")
    with pytest.raises(Unpublishable):
        list(bench.root.tree("t"))
    bench.put_file("u/e\u0301", b"not in normal form C")
    with pytest.raises(ForbiddenName):
        list(bench.root.tree("u"))


def test_files_are_those_of_the_root_but_not_of_its_work_area(bench: Bench) -> None:
    put(bench.root, "os/a", b"one")
    put(bench.root, "os/a", b"two", keep="0f")
    bench.root.stage("a1").prepare([file(b"12345")])
    bench.put_file("mine/deep/er", b"123")
    bench.put_file("z.netclnt/x", b"1")
    bench.put_link("link", "mine")
    bench.put_other("fifo")
    found = dict(bench.root.files())
    assert sorted(found) == ["mine/deep/er", "os/a", "z.netclnt/x"]
    assert found["os/a"] == bench.root.facts("os/a", [""])[0]
    assert found["mine/deep/er"].size == 3


def test_free_is_told(root: Root) -> None:
    assert root.free() > 0
    files = root.free_files()
    assert files is None or files > 0


# --- staging


def test_P4_staging_survives_and_is_found_again(root: Root) -> None:
    entries, _ = shape(NEW)
    stage = root.stage("a1")
    assert list(stage.prepare(entries)) == [False] * len(entries)
    stage.write(1, 0, [b"new", b" ", b"a"])
    stage.sync()
    stage.close()
    stage.close()
    assert root.staged() == ["a1"]
    stage = root.stage("a1")
    there = stage.prepare(entries)  # those that nothing was written to may be there, or not
    assert there[1]
    assert not any(found for found, entry in zip(there, entries, strict=True) if entry.type is not FILE)
    buffer = bytearray(9)
    assert stage.read_into(1, 0, buffer) == 5
    assert buffer == b"new a\0\0\0\0"
    stage.close()
    root.discard("a1")
    root.discard("a1")
    assert root.staged() == []


def test_staging_of_another_shape_is_made_to_fit(root: Root) -> None:
    stage = root.stage("a1")
    stage.prepare(shape({"a": b"12345", "b": None, "b/c": b"1", "extra": None, "extra/x": b"1", "l": "x"})[0])
    stage.write(1, 0, [b"12345"])
    stage.close()
    wanted = {"a": None, "a/x": b"1", "b": b"123", "l": "y"}
    entries, data = shape(wanted)
    stage = root.stage("a1")
    assert list(stage.prepare(entries)) == [False] * len(entries)
    for number, part in enumerate(data):
        if part:
            stage.write(number, 0, [part])
    stage.seal("t")
    stage.close()
    root.show("a1", "t", keep=None)
    assert list(root.tree("t")) == entries


def test_a_staged_file_is_sparse_and_of_full_size(root: Root) -> None:
    size = 10_000_000
    stage = root.stage("a1")
    stage.prepare([Entry("", FILE, 0o644, size, bytes(32))])
    assert list(stage.data_ranges(0, 0, size)) == []
    stage.write(0, 4_000_000, [b"x" * 100_000, b"", b"y"])
    stage.zero(0, 4_040_000, 20_000)
    ranges = list(stage.data_ranges(0, 0, size))
    assert sum(length for _, length in ranges) <= 2 * 65536 + 100_001
    assert all(start + length <= size for start, length in ranges)
    covered = [range(start, start + length) for start, length in ranges]
    assert all(any(offset in part for part in covered) for offset in (4_000_000, 4_039_999, 4_060_000, 4_100_000))
    assert list(stage.data_ranges(0, 4_000_100, 10)) == [(4_000_100, 10)]
    assert list(stage.data_ranges(0, 9_000_000, 1_000)) == []
    buffer = bytearray(120_000)
    assert stage.read_into(0, 3_990_000, buffer) == 120_000
    assert buffer == bytes(10_000) + b"x" * 40_000 + bytes(20_000) + b"x" * 40_000 + b"y" + bytes(9_999)
    stage.close()


def test_copy_takes_what_the_reader_has(root: Root) -> None:
    put(root, "seed", bytes(range(256)) * 20_000)
    seed = root.open("seed", "")
    stage = root.stage("a1")
    stage.prepare([Entry("", FILE, 0o644, 6_000_000, bytes(32))])
    assert stage.copy(0, 3, seed, 256, 2_000_000) == 2_000_000
    assert stage.copy(0, 5_000_000, seed, 5_120_000 - 512, 1000) == 512
    assert stage.copy(0, 0, seed, 6_000_000, 3) == 0
    assert stage.copy(0, 0, seed, 0, 0) == 0
    seed.close()
    buffer = bytearray(6_000_000)
    stage.read_into(0, 0, buffer)
    stage.close()
    data = bytes(range(256)) * 20_000
    assert buffer[:3] == bytes(3)
    assert buffer[3:2_000_003] == data[256:2_000_256]
    assert buffer[5_000_000:5_001_000] == data[-512:] + bytes(488)


@pytest.mark.parametrize("size", [100_000, 8192, 3])
def test_clone_is_whole_or_not_at_all(root: Root, size: int) -> None:
    put(root, "seed", b"s" * 50_000)
    seed = root.open("seed", "")
    stage = root.stage("a1")
    stage.prepare([Entry("", FILE, 0o644, size, bytes(32))])
    done = stage.clone(0, seed)
    seed.close()
    buffer = bytearray(size + 1)
    assert stage.read_into(0, 0, buffer) == size
    assert buffer[:size] == ((b"s" * 50_000)[:size].ljust(size, b"\0") if done else bytes(size))
    stage.close()


def test_several_threads_write_at_once(root: Root) -> None:
    contents = {f"f{number:03}": bytes([number]) * 5000 for number in range(200)}
    entries, data = shape(contents)
    stage = root.stage("a1")
    stage.prepare(entries)

    def work(first: int) -> None:
        for number in range(first, len(entries), 4):
            if entries[number].type is FILE:
                stage.write(number, 2500, [data[number][2500:]])
                stage.write(number, 0, [data[number][:2500]])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    stage.sync()
    stage.seal("t")
    stage.close()
    root.show("a1", "t", keep=None)
    assert list(root.tree("t")) == entries


def test_nothing_is_written_outside_a_file(root: Root) -> None:
    stage = root.stage("a1")
    stage.prepare([Entry("", FILE, 0o644, 10, bytes(32))])
    with pytest.raises(ForbiddenValue):
        stage.write(0, 6, [b"12345"])
    with pytest.raises(ForbiddenValue):
        stage.write(0, -1, [b"1"])
    with pytest.raises(ForbiddenValue):
        stage.zero(0, 0, 11)
    stage.close()


def test_C26_the_mode_of_what_is_replaced_is_kept(bench: Bench) -> None:
    bench.put_file("a", b"old", 0o640)
    put(bench.root, "a", b"new")
    (entry,) = bench.root.tree("a")
    assert entry.mode == 0o640
    put(bench.root, "b", b"new")
    (entry,) = bench.root.tree("b")
    assert entry.mode == 0o644


def test_showing_what_was_never_staged_fails(root: Root) -> None:
    with pytest.raises(StorageFailed):
        root.show("a1", "x", keep=None)
    assert root.type("x") == "absent"


# --- lock


def test_H1_the_lock_names_its_holder(root: Root) -> None:
    with root.lock("pid 4711, netclnt sync"):
        with pytest.raises(Locked) as caught, root.lock("pid 4712"):
            pass
        assert caught.value.holder == "pid 4711, netclnt sync"
    with root.lock("pid 4712"):
        pass


# --- files taken as they lie

LINKED = {"a": b"content a", "d": None, "d/b": b"content b", "d/c": b"content c"}


def linking(root: Root, token: str = "a2") -> tuple[Stage, list[tuple[int, Facts]]]:
    """A stage of the same version as the live one, and how the files of that look, by the numbers of their entries."""
    entries, _ = shape(LINKED)
    stage = root.stage(token)
    stage.prepare(entries)
    looks = root.facts("t", [entry.path for entry in entries])
    files = [(number, facts) for number, facts in enumerate(looks) if facts and entries[number].type is FILE]
    return stage, files


def staged(stage: Stage, number: int) -> bytes:
    buffer = bytearray(9)
    return bytes(buffer[: stage.read_into(number, 0, buffer)])


def test_linked_files_are_those_that_look_as_they_should(root: Root) -> None:
    put(root, "t", LINKED)
    stage, files = linking(root)
    assert [number for number, _ in files] == [1, 3, 4]
    (a, facts_a), (b, facts_b), c = files
    wrong = [(a, replace(facts_a, mtime=facts_a.mtime + 1)), (b, replace(facts_b, inode=facts_b.inode + 1)), c]
    assert list(stage.link("t", wrong)) == [4]
    assert staged(stage, 1) == bytes(9)
    assert list(stage.link("t", [(a, replace(facts_a, size=8)), files[1]])) == [3]
    assert list(stage.link("t", files)) == [1, 3, 4]
    assert staged(stage, 1) == b"content a"
    assert [stage.seal("t")[number] for number, _ in files] == [facts for _, facts in files]
    stage.close()
    root.show("a2", "t", keep=None)
    assert list(root.facts("t", ["a", "d/b", "d/c"])) == [facts for _, facts in files]


def test_what_is_linked_is_not_written_to(root: Root) -> None:
    put(root, "t", LINKED)
    stage, files = linking(root)
    stage.link("t", files)
    stage.write(1, 0, [b"C"])
    stage.close()
    stage, _ = linking(root)
    stage.write(3, 0, [b"C"])
    assert (staged(stage, 1), staged(stage, 3), staged(stage, 4)) == (b"Content a", b"Content b", b"content c")
    assert [content(root, "t", path) for path in ("a", "d/b", "d/c")] == [b"content a", b"content b", b"content c"]
    assert list(stage.link("t", files)) == [4]
    stage.close()


def test_nothing_to_link_to(root: Root) -> None:
    put(root, "t", LINKED)
    put(root, "single", b"content a")
    stage, files = linking(root)
    assert list(stage.link("absent", files)) == []
    assert list(stage.link("single", files)) == []
    stage.close()


def test_a_linked_file_of_another_mode_is_read(bench: Bench) -> None:
    put(bench.root, "t", LINKED)
    bench.put_file("t/a", b"content a", 0o600)
    stage, files = linking(bench.root)
    assert list(stage.link("t", files)) == [3, 4]
    stage.close()


def test_a_digester_follows_the_pages_of_a_file(root: Root) -> None:
    data = bytes(range(256)) * 1000
    entries, contents = shape({"a": b"123", "b": data + bytes(100_000)})
    stage = root.stage("a1")
    stage.prepare(entries)
    stage.write(1, 0, [contents[1]])
    digester = stage.digester(2, hash_seed=7)
    if digester is None:
        pytest.skip("one processor")
    stage.write(2, 0, [data])
    half = len(data) // 2
    pages: list[tuple[int, list[tuple[bool, int]], bytes]] = [
        (0, [(False, half)], data[:half]),
        (half, [(False, half), (True, 100_000)], data[half:]),
    ]
    for offset, segments, content in pages:
        assert digester.page(offset, segments, bytes(16)) is None
        end = offset + sum(length for _, length in segments)
        found = digester.page(offset, segments, xxhash.xxh3_128(content, seed=7).digest())
        assert found == hashlib.sha256((data + bytes(100_000))[:end]).digest()
    stage.close()
