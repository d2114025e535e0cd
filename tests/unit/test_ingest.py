"""What publishing puts into a store, read back by the words of the formats alone."""

import gc
import hashlib
import random
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netclnt import filling
from netclnt import ingest as ingesting
from netclnt.dedup import StoreIndex
from netclnt.errors import NoSpace, SourceChanged
from netclnt.ingest import Settings, ingest
from netclnt.master import split_records
from netclnt.memory.content import MemoryContent
from netclnt.memory.store import MemoryStore
from netclnt.model import EntryType
from netclnt.pack import HEADER, MAGIC
from netclnt.protocols import Item
from netclnt.store import DirectoryStore
from tests.support.storereader import read_version

SEED = 0x0123456789ABCDEF
MIB = 1 << 20


def noise(seed, size):
    return random.Random(seed).randbytes(size)


class Shop:
    """A store with its index, and nothing else of a master."""

    def __init__(self, directory, store=None):
        self.store = store or MemoryStore()
        self.index = StoreIndex(directory / "index", identity="a" * 32)
        self.directory = directory

    def ingest(self, content, *, level=1, threads=2):
        if not isinstance(content, MemoryContent):
            content = MemoryContent({"": content} if isinstance(content, bytes) else content)
        with (self.directory / "records").open("w+b") as records:
            done = ingest(
                content,
                store=self.store,
                index=self.index,
                hash_seed=SEED,
                settings=Settings(level, threads, self.directory),
                records=records,
                on_read=lambda _: None,
            )
            records.seek(0)
            self.index.add(split_records(records), generation=self.index.generation + 1)
        return done

    def read(self, done):
        return read_version(self.store.files, done.digest, done.head_bytes)

    @property
    def pack_bytes(self):
        return sum(len(data) for path, data in self.store.files.items() if path.startswith("packs/"))


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    yield made
    made.index.close()


CONTENTS = {
    "empty": {"": b""},
    "one byte": {"": b"x"},
    "zeros": {"": bytes(5 * MIB)},
    "noise": {"": noise(1, 3 * MIB + 17)},
    "text": {"": b"all work and no play " * 100_000},
    "zeros within": {"": noise(1, 100_001) + bytes(2 * MIB) + noise(2, 300_000) + bytes(77_777)},
    "repeats": {"": noise(1, 300_000) * 7},
    "repeats and zeros": {"": (noise(1, 200_000) + bytes(100_000)) * 5},
    "a period shorter than a block": {"": noise(1, 3000) * 500},
    "tree": {"a": noise(1, 70_000), "b/c": b"", "b/d": noise(1, 70_000), "b/e/f": bytes(40_000), "z": noise(2, 5)},
    "tree of repeats": {f"{number:03d}": noise(number % 7, 30_000) for number in range(60)},
    "many small": {f"d{number % 10}/{number}": noise(number, number % 50) for number in range(1200)},
    "empty tree": {"a/b": b""},
}


@pytest.mark.parametrize("name", CONTENTS)
def test_locations_lead_to_the_content(shop, name):
    done = shop.ingest(CONTENTS[name])
    entries, files = shop.read(done)
    assert files == CONTENTS[name]
    assert entries == done.entries
    for entry in entries:
        if entry.type is EntryType.FILE:
            assert entry.sha256 == hashlib.sha256(CONTENTS[name][entry.path]).digest()


@pytest.mark.parametrize("name", CONTENTS)
def test_the_same_content_takes_no_byte_the_second_time(shop, name):
    first = shop.ingest(CONTENTS[name])
    before = dict(shop.store.files)
    again = shop.ingest(CONTENTS[name])
    assert (again.digest, again.entries, again.bytes_new, again.bytes_stored) == (first.digest, first.entries, 0, 0)
    assert shop.store.files == before


@settings(max_examples=25)
@given(data=st.data())
def test_any_history_of_contents_can_be_read(tmp_path_factory, data):
    shop = Shop(tmp_path_factory.mktemp("shop"))
    pieces = st.sampled_from([b"", b"x", noise(1, 20_000), noise(2, 90_000), bytes(32768), bytes(100_000), b"text " * 9000])
    contents = st.lists(pieces, max_size=6).map(b"".join)
    trees = st.dictionaries(st.sampled_from(["a", "b/a", "b/b", "c/d/e", "f"]), contents, min_size=1)
    history = [data.draw(st.builds(lambda content: {"": content}, contents) | trees) for _ in range(data.draw(st.integers(1, 4)))]
    done = [shop.ingest(files) for files in history]
    for files, each in zip(history, done, strict=True):
        assert shop.read(each)[1] == files
    shop.index.close()


def test_content_that_appears_twice_is_stored_once(shop):
    assert shop.ingest(noise(1, MIB) * 3).bytes_new < 1.2 * MIB
    assert shop.ingest({"other": noise(1, MIB), "again": noise(1, MIB)}).bytes_new < 70_000


def test_a_small_change_takes_little(shop):
    shop.ingest(noise(1, 4 * MIB))
    changed = bytearray(noise(1, 4 * MIB))
    changed[2 * MIB : 2 * MIB] = b"inserted"
    done = shop.ingest(bytes(changed))
    assert 0 < done.bytes_new < 140_000
    assert shop.read(done)[1] == {"": changed}


def test_links_and_modes_are_in_the_entries(shop):
    done = shop.ingest(MemoryContent({"boot/vmlinuz": b"k"}, {"vmlinuz": "boot/vmlinuz", "up": "../.."}))
    assert [(entry.path, entry.type.value, entry.mode, entry.target) for entry in shop.read(done)[0]] == [
        ("", "directory", 0o755, ""),
        ("boot", "directory", 0o755, ""),
        ("boot/vmlinuz", "file", 0o644, ""),
        ("up", "link", 0o777, "../.."),
        ("vmlinuz", "link", 0o777, "boot/vmlinuz"),
    ]


@pytest.mark.parametrize(("level", "threads"), [(1, 1), (9, 4)])
def test_the_manifest_does_not_depend_on_level_or_threads(tmp_path, level, threads):
    digests = set()
    for number, options in enumerate([{"level": 1, "threads": 2}, {"level": level, "threads": threads}]):
        (tmp_path / str(number)).mkdir()
        shop = Shop(tmp_path / str(number))
        digests.add(shop.ingest(CONTENTS["tree of repeats"], **options).digest)
        shop.index.close()
    assert len(digests) == 1


def test_packs_are_parted_and_have_their_headers(shop, monkeypatch):
    monkeypatch.setattr(filling, "PACK_BYTES_MAX", 600_000)
    done = shop.ingest(noise(1, 2 * MIB))
    packs = [data for path, data in shop.store.files.items() if path.startswith("packs/")]
    assert len(packs) >= 4
    assert all(len(data) <= 600_000 and data[:8] == MAGIC for data in packs)
    assert shop.read(done)[1] == {"": noise(1, 2 * MIB)}
    assert done.bytes_stored == shop.pack_bytes - len(packs) * HEADER.size


def test_packs_and_their_names_are_durable_before_a_manifest_speaks_of_them(tmp_path):
    class Watched(MemoryStore):
        def __init__(self):
            super().__init__()
            self.steps = []

        def sync(self):
            self.steps.append("sync")

        def put(self, path, data):
            super().put(path, data)
            self.steps.append(path.rpartition(".")[2])

        def new_pack(self):
            writer = super().new_pack()
            close, steps = writer.close, self.steps

            def closing():
                close()
                steps.append("pack")

            writer.close = closing
            return writer

    shop = Shop(tmp_path, Watched())
    shop.ingest(noise(1, MIB))
    assert shop.store.steps == ["pack", "sync", "locations", "manifest", "sync"]
    shop.index.close()


# --- what goes wrong


def test_A18_a_source_that_changes_is_refused(shop):
    with pytest.raises(SourceChanged):
        shop.ingest(MemoryContent({"": noise(1, MIB)}, changed=True))
    assert not [path for path in shop.store.files if path.startswith("manifests/")]


@pytest.mark.parametrize("said", [0, 99, 101, 1 << 40])
def test_A18_a_file_that_is_longer_or_shorter_than_it_was_is_refused(shop, said):
    class Content(MemoryContent):
        def items(self):
            yield Item("", EntryType.FILE, 0o644, said)

    with pytest.raises(SourceChanged):
        shop.ingest(Content({"": noise(1, 100)}))


def test_a_size_that_only_reading_tells(shop):
    class Content(MemoryContent):
        def items(self):
            yield Item("", EntryType.FILE, 0o644, None)

    assert shop.ingest(Content({"": noise(1, 100)})).entries[0].size == 100


def test_an_interrupted_ingest_leaves_no_file_open_and_no_thread(tmp_path, monkeypatch):
    """A file left open is a warning, and so an error."""
    monkeypatch.setattr(ingesting, "_FRAMES_AHEAD", 1)
    store = DirectoryStore.create(tmp_path / "store")
    shop = Shop(tmp_path, store)
    with pytest.raises(SourceChanged):
        shop.ingest(MemoryContent({"": noise(1, MIB)}, changed=True))

    class Broken(MemoryContent):
        def open(self, path):
            if path == "b":
                raise SourceChanged(path="b")
            return super().open(path)

    before = threading.active_count()
    with pytest.raises(SourceChanged) as caught:
        shop.ingest(Broken({"a": noise(2, 4 * MIB), "b": b""}))
    assert threading.active_count() == before
    assert not any(link.endswith(".pack") for link in open_files())
    del caught
    gc.collect()
    shop.index.close()


def test_pages_of_known_blocks_do_not_wait_for_the_end(shop, monkeypatch):
    """Nor for a page before them whose one new block waits for its frame to fill."""
    shop.ingest(noise(1, 8 * MIB))
    most = 0
    real = filling.Pages.close_page

    def close_page(pages):
        nonlocal most
        real(pages)
        most = max(most, len(pages._unsettled))

    monkeypatch.setattr(filling.Pages, "close_page", close_page)
    content = noise(2, 5000) + noise(1, 8 * MIB)
    done = shop.ingest(content)
    assert len(done.head.block_pages) > 2
    assert most == 1
    assert shop.read(done)[1] == {"": content}


def test_files_opened_ahead_are_closed_when_one_of_them_cannot_be(shop):
    opened = []

    class Broken(MemoryContent):
        def open(self, path):
            if path == "z":
                raise SourceChanged(path=path)
            opened.append(super().open(path))
            return opened[-1]

    with pytest.raises(SourceChanged):
        shop.ingest(Broken({**{f"{number:03}": noise(number, 10) for number in range(100)}, "z": b""}))
    assert len(opened) == 100
    assert all(file.closed for file in opened)


def test_small_files_come_whole_whatever_a_read_gives_and_a_few_are_open_at_once(shop):
    opened = []
    most_open = 0

    class Slow(BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 1000))

    class Content(MemoryContent):
        def open(self, path):
            nonlocal most_open
            opened.append(Slow(self.files[path]))
            most_open = max(most_open, sum(not file.closed for file in opened))
            return opened[-1]

    files = {f"{number:03}": noise(number, number * 50) for number in range(200)}
    assert shop.read(shop.ingest(Content(files)))[1] == files
    assert all(file.closed for file in opened)
    assert most_open <= ingesting._FILES_AHEAD + 2


def open_files():
    return [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]


def test_C2_a_full_store_ends_the_threads_at_once(tmp_path, monkeypatch):
    """Also while the error is still looked at."""
    monkeypatch.setattr(ingesting, "_FRAMES_AHEAD", 1)

    class Full(MemoryStore):
        def new_pack(self):
            raise NoSpace(path="store", needed=1, free=0)

    shop = Shop(tmp_path, Full())
    before = threading.active_count()
    with pytest.raises(NoSpace) as caught:
        shop.ingest(noise(1, 4 * MIB))
    assert threading.active_count() == before
    del caught
    shop.index.close()


PROGRAM = """
import random, sys
from pathlib import Path
from netclnt.model import EntryType
from netclnt.dedup import StoreIndex
from netclnt.ingest import Settings, ingest
from netclnt.memory.content import MemoryContent
from netclnt.protocols import Item
from netclnt.store import DirectoryStore

directory = Path(sys.argv[1])
SIZE = int(sys.argv[2])
PART = 1 << 20

class Stream:
    position = 0
    def readinto(self, buffer):
        data = self.made(len(buffer))
        buffer[: len(data)] = data
        return len(data)
    def made(self, size):
        made = []
        size = min(size, SIZE - self.position)
        while size:
            number, start = divmod(self.position, PART)
            length = min(size, PART - start)
            made.append(self.part(number)[start : start + length])
            self.position += length
            size -= length
        return b"".join(made)
    def part(self, number):
        if number % 4 == 0:
            return bytes(PART)
        return random.Random(number if number % 3 else number % 24).randbytes(PART // 8) * 8
    def __enter__(self): return self
    def __exit__(self, *_): pass

class Content(MemoryContent):
    def items(self):
        yield Item("", EntryType.FILE, 0o644, SIZE)
    def open(self, path):
        return Stream()

store = DirectoryStore.create(directory / "store")
index = StoreIndex(directory / "index", identity="a" * 32)
with (directory / "records").open("w+b") as records:
    done = ingest(Content({"": b""}), store=store, index=index, hash_seed=1, settings=Settings(1, 2, directory),
        records=records, on_read=lambda _: None)
index.close()
# not getrusage's figure, which a process inherits from the one that started it
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(done.head.size, done.head.blocks, int(peak.split()[1]) // 1024)
"""


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_size(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(2 << 30)], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    size, blocks, megabytes = map(int, done.stdout.split())
    assert size == 2 << 30
    assert blocks > 20_000
    assert megabytes < 256
