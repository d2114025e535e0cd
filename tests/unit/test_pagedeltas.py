"""Page deltas: what comes of them is what the digests say, or comes as it is."""

import hashlib
import random
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt import pagedeltas
from netclnt.errors import Damaged, ExitCode, ForbiddenValue
from netclnt.gc import gc
from netclnt.manifest import decode_head, manifest_path, page_offsets
from netclnt.memory.source import Corruption, MemorySource
from netclnt.pack import ZSTD_VERSION
from netclnt.pagedeltas import decode_group, decode_header, encode_page_deltas, header_bytes, page_deltas_path, pages_of
from netclnt.survey import Policy
from tests.support.mutations import decoded, mutated
from tests.support.world import World

FILES = {f"{number // 100:02}/{number:04}": b"%d" % number for number in range(3000)}
EDITED = {path: data + b"x" if number % 20 == 0 else data for number, (path, data) in enumerate(FILES.items())}


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


def path_of(version):
    return page_deltas_path(version.manifest)


def manifest_bytes(world, version):
    return len(world.store.files[manifest_path(version.manifest)])


def synced(world):
    assert world.sync().exit_code is ExitCode.OK
    return world.done[0].bytes_fetched


@pytest.fixture
def updated(world):
    """A slave that has the old version, and the new version."""
    world.publish("os", FILES)
    synced(world)
    world.version = world.publish("os", EDITED).version
    assert path_of(world.version) in world.store.files
    return world


def right(world):
    return all(world.live(f"os/{path}") == data for path, data in EDITED.items())


def test_new_pages_come_as_deltas(updated):
    whole = manifest_bytes(updated, updated.version)
    assert len(updated.store.files[path_of(updated.version)]) < whole / 8
    assert synced(updated) < whole / 2
    assert right(updated)


def test_without_them_pages_come_as_they_are(updated):
    del updated.store.files[path_of(updated.version)]
    assert synced(updated) > manifest_bytes(updated, updated.version) * 0.9
    assert right(updated)


def test_files_that_vanish_in_between_are_as_good_as_none(updated):
    class Vanishing(MemorySource):
        def fetch(self, ranges):
            for wanted in (found := list(ranges)):
                if wanted.path.endswith(".pages") and wanted.offset:
                    self.missing.add(wanted.path)
            return super().fetch(found)

    updated.source = Vanishing(updated.store.files)
    synced(updated)
    assert right(updated)


@pytest.mark.parametrize("share", [0, 0.001, 0.05, 0.5, 0.999])
def test_D14_a_damaged_file_costs_what_it_saved_and_no_more(updated, share):
    path = path_of(updated.version)
    offset = int(len(updated.store.files[path]) * share)
    updated.source.corruptions.append(Corruption(path, offset, 8, times=99))
    synced(updated)
    assert right(updated)


def test_a_slave_with_another_manifest_asks_for_no_group(updated):
    """It skipped the version that they are made of."""
    newest = {path: data + b"y" if number % 20 == 7 else data for number, (path, data) in enumerate(EDITED.items())}
    version = updated.publish("os", newest).version
    asked = []
    real = updated.source.fetch
    updated.source.fetch = lambda ranges: real([asked.append(wanted) or wanted for wanted in ranges])
    synced(updated)
    assert [wanted.offset for wanted in asked if wanted.path == path_of(version)] == [0]


def test_another_zstd_is_not_tried(updated, monkeypatch):
    monkeypatch.setattr(pagedeltas, "ZSTD_VERSION", b"\0\1\5\0")
    assert synced(updated) > manifest_bytes(updated, updated.version) * 0.9
    assert right(updated)


def test_another_compression_of_entries_costs_the_entry_pages_alone(updated, monkeypatch):
    monkeypatch.setattr(pagedeltas, "compress_entries", lambda plain: b"otherwise" + plain)
    synced(updated)
    assert right(updated)


def test_a_small_change_has_no_page_deltas(world):
    world.publish("os", FILES)
    version = world.publish("os", {**FILES, "00/0000": b"changed"}).version
    assert path_of(version) not in world.store.files


def test_the_same_content_again_writes_none(updated):
    before = dict(updated.store.files)
    assert not updated.publish("os", EDITED).new
    assert updated.store.files == before


def test_they_go_with_their_version(updated):
    newest = {path: data + b"y" if number % 20 == 7 else data for number, (path, data) in enumerate(EDITED.items())}
    version = updated.publish("os", newest).version
    for day in (0, 100):
        keep = Policy(keep=1, grace=86400.0, now=day * 86400.0, at="2026-11-23T00:00:00Z")
        gc(updated.master(), keep, observer=updated.events.append)
    assert path_of(updated.version) not in updated.store.files
    assert path_of(version) in updated.store.files
    assert synced(updated)
    assert all(updated.live(f"os/{path}") == data for path, data in newest.items())


def test_delta_frames_outlive_gc_and_are_still_read(updated):
    for day in (0, 100):
        keep = Policy(keep=2, grace=86400.0, now=day * 86400.0, at="2026-11-23T00:00:00Z")
        gc(updated.master(), keep, observer=updated.events.append)
    synced(updated)
    assert right(updated)


# --- the format


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(header and groups, new and old pages by kind, head, digest before) of a real one."""
    world = World(tmp_path_factory.mktemp("world"))
    old, new = world.publish("os", FILES).version, world.publish("os", EDITED).version

    def opened(version):
        data = world.store.files[manifest_path(version.manifest)]
        head = decode_head(data[: version.head_bytes], version.manifest)
        return head, pages_of(head, page_offsets(head, version.head_bytes), lambda offset, length: data[offset : offset + length])

    (head, new_pages), (_, old_pages) = opened(new), opened(old)
    world.ledger.close()
    return world.store.files[path_of(new)], new_pages, old_pages, head, old.manifest


def test_it_is_stored_as_the_docstring_says(made):
    data, new, old, head, before = made
    assert data[:8] == b"NCPAGED1"
    assert data[8:40].hex() == before
    assert data[40:44] == ZSTD_VERSION
    count = -(-len(head.entry_pages) // 32) + -(-len(head.block_pages) // 32)
    lengths = struct.unpack(f">{count}I", data[44 : 44 + 4 * count])
    assert len(data) == 44 + 4 * count + sum(lengths)
    assert b"".join(encode_page_deltas(new, old, before=before)) == data


def test_every_lacking_page_comes_back(made):
    data, new, old, head, before = made
    found, groups = decode_header(data[: header_bytes(head)], head, where="here")
    assert found == before
    back = {0: {}, 1: {}}
    for group in groups:
        content = data[group.offset : group.offset + group.length]
        back[group.kind].update(decode_group(content, group, new[group.kind], old[group.kind], where="here"))
    for kind in (0, 1):
        lacking = {n for n, row in enumerate(new[kind].rows) if row.digest not in old[kind].numbers}
        assert back[kind].keys() == lacking
        for number, stored in back[kind].items():
            assert hashlib.sha256(stored).digest() == new[kind].rows[number].digest


@given(data=st.data())
def test_M2_a_changed_header_is_refused_or_one(made, data):
    content, _, _, head, _ = made
    changed = data.draw(mutated(content[: header_bytes(head)]))
    found = decoded(lambda: decode_header(changed, head, where="here"))
    if found is not None:
        assert all(0 < group.length <= 1 << 20 for group in found[1])


@given(data=st.data())
def test_M2_a_changed_group_gives_right_pages_or_none(made, data):
    content, new, old, head, _ = made
    group = data.draw(st.sampled_from(decode_header(content[: header_bytes(head)], head, where="here")[1]))
    changed = data.draw(mutated(content[group.offset : group.offset + group.length]))
    if len(changed) <= 8:
        return  # no header tells of such a one
    group = replace(group, length=len(changed))
    pages = decoded(lambda: list(decode_group(changed, group, new[group.kind], old[group.kind], where="here")))
    for number, stored in pages or []:
        assert hashlib.sha256(stored).digest() == new[group.kind].rows[number].digest


@pytest.mark.parametrize("base", [(0, 0), (0, 49), (1 << 31, 1), ((1 << 32) - 1, (1 << 32) - 1)])
def test_F8_base_pages_are_within_bounds(made, base):
    content, new, old, head, _ = made
    group = decode_header(content[: header_bytes(head)], head, where="here")[1][0]
    changed = struct.pack(">II", *base) + content[group.offset + 8 : group.offset + group.length]
    with pytest.raises(ForbiddenValue):
        list(decode_group(changed, group, new[0], old[0], where="here"))


def test_F7_a_group_is_as_long_as_its_header_says(made):
    content, new, old, head, _ = made
    group = decode_header(content[: header_bytes(head)], head, where="here")[1][0]
    with pytest.raises(Damaged):
        list(decode_group(content[group.offset : group.offset + 5], group, new[0], old[0], where="here"))


def test_F12_a_group_never_unpacks_to_more_than_its_pages(made):
    content, new, old, head, _ = made
    group = decode_header(content[: header_bytes(head)], head, where="here")[1][0]
    shorter = replace(new[0], rows=[replace(row, plain=row.plain - 1) for row in new[0].rows])
    with pytest.raises(Damaged):
        list(decode_group(content[group.offset : group.offset + group.length], group, shorter, old[0], where="here"))


def test_pages_that_are_all_new_have_a_base_at_their_place():
    chance = random.Random(1)
    rows = [(chance.randbytes(32), chance.randbytes(32)) for _ in range(300)]
    kinds = [
        pagedeltas.Pages([pagedeltas.BlockPage(pair[side], 100, 1, bytes(16)) for pair in rows], range(300), lambda *_: b"")
        for side in (0, 1)
    ]
    for first in range(0, 300, 32):
        numbers = range(first, min(first + 32, 300))
        base = pagedeltas._base_of(kinds[0], kinds[1], numbers)
        assert len(base) == 48
        assert set(numbers) <= set(base)
