"""Verifying what a slave holds against its manifests: every page by its check, and on a mismatch every block by its id; or every
file by its SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from threading import local
from typing import cast

from netclnt.checking import BUFFER_SIZE, good_blocks, is_zero, page_matches, read_parts, segments
from netclnt.errors import StorageError
from netclnt.events import ImageDone, Observer, Progressed
from netclnt.ledger import Held
from netclnt.localmanifests import LocalManifest
from netclnt.look import facts_if_whole, is_as_recorded
from netclnt.model import Entry, EntryType
from netclnt.seeds import Local
from netclnt.selection import Selection
from netclnt.slave import Slave
from netclnt.workers import ordered_map


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not what the version says: ``length`` bytes at ``offset`` of the file ``path`` inside the image (``""``:
    the image itself); or, with length 0, the path as a whole, as ``problem`` says."""

    path: str
    offset: int
    length: int
    problem: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One image, and all that is wrong with it."""

    name: str
    version: int
    damage: tuple[Damage, ...]


def verify(slave: Slave, selection: Selection, *, observer: Observer, sha256: bool = False) -> Iterator[Verdict]:
    """Read every held image inside the selection, with the root locked; the ledger then knows which are damaged.

    With ``sha256`` whole files are digested, several at once, whichever images they belong to; else pages are checked, which is
    quicker. An image that was only touched is recorded anew. The next sync mends what is damaged, block by block.
    """
    with slave.root.lock(slave.holder), ExitStack() as stack:
        chosen = [held for held in slave.ledger.held() if held in selection]
        digests = stack.enter_context(closing(_Digests(slave, chosen))) if sha256 else None
        for held in chosen:
            began = slave.monotonic()
            verdict = _verify(slave, held, observer, digests)
            if held.damaged != bool(verdict.damage):
                slave.ledger.mark_damaged(held.name, bool(verdict.damage))
            result = "damaged" if verdict.damage else "verified"
            observer(ImageDone(held.name, held.number, result, 0, 0, slave.monotonic() - began))
            yield verdict


def _verify(slave: Slave, held: Held, observer: Observer, digests: _Digests | None) -> Verdict:
    manifest = slave.manifests.open(held.manifest)
    if manifest is None:
        problem = "its manifest is not in the state directory; the next sync fetches it"
        return Verdict(held.name, held.number, (Damage("", 0, 0, problem),))
    with closing(manifest):
        in_files = list(digests.wrong(held, manifest, observer)) if digests else []
        damage = list(_wrong_entries(slave, held, manifest))
        if not damage and (in_files or digests is None):
            damage = list(_wrong_blocks(slave, held, manifest, observer)) or in_files
        if not damage:
            damage = list(_wrong_facts(slave, held, manifest))
        return Verdict(held.name, held.number, tuple(damage))


def _wrong_facts(slave: Slave, held: Held, manifest: LocalManifest) -> Iterator[Damage]:
    """An image that looks otherwise than it was recorded may have links, modes or files that blocks know nothing of."""
    if is_as_recorded(slave.root, slave.ledger, slave.manifests, replace(held, damaged=False)):
        return
    facts = facts_if_whole(slave.root, held.name, manifest.entries)
    if facts is None:
        yield Damage("", 0, 0, "other files, links or modes than its version has")
    else:
        slave.root.secure(held.name)
        slave.ledger.record(held, facts)


def _wrong_entries(slave: Slave, held: Held, manifest: LocalManifest) -> Iterator[Damage]:
    """What is missing, or a file of another size; content is not read."""
    paths = [entry.path for entry in manifest.entries]
    for entry, facts in zip(manifest.entries, slave.root.facts(held.name, paths), strict=True):
        if facts is None:
            yield Damage(entry.path, 0, 0, "missing")
        elif entry.type is EntryType.FILE and facts.size != entry.size:
            yield Damage(entry.path, 0, 0, f"{facts.size} bytes instead of {entry.size}")


class _Digests:
    """The SHA-256 of all files of some images, asked for image by image, in their order. The owner closes it."""

    def __init__(self, slave: Slave, images: Sequence[Held]) -> None:
        self._slave = slave
        self._buffers = local()
        files = ((held.name, entry) for held in images for entry in self._files_of(held))
        self._problems = ordered_map(self._problem, files, threads=slave.threads, ahead=slave.threads * 2)

    def _files_of(self, held: Held) -> list[Entry]:
        manifest = self._slave.manifests.open(held.manifest)
        if manifest is None:
            return []
        with closing(manifest):
            return _files(manifest)

    def wrong(self, held: Held, manifest: LocalManifest, observer: Observer) -> Iterator[Damage]:
        """The files of the next image that are not what their SHA-256 says."""
        done = 0
        for entry in _files(manifest):
            problem = next(self._problems)
            done += entry.size
            observer(Progressed("verify", held.name, done, manifest.head.size, 0, 0))
            if problem:
                yield Damage(entry.path, 0, entry.size, problem)

    def close(self) -> None:
        self._problems.close()

    def _problem(self, file: tuple[str, Entry]) -> str:
        name, entry = file
        try:
            with closing(self._slave.root.open(name, entry.path)) as reader:
                digest = hashlib.sha256()
                for part in read_parts(reader.read_into, 0, reader.size, _buffer(self._buffers)):
                    digest.update(part)
        except StorageError as error:
            return str(error)
        return "" if digest.digest() == entry.sha256 else "not what its SHA-256 says"


def _files(manifest: LocalManifest) -> list[Entry]:
    return [entry for entry in manifest.entries if entry.type is EntryType.FILE and entry.size]


def _buffer(buffers: local) -> bytearray:
    """The buffer of this thread."""
    if not hasattr(buffers, "buffer"):
        buffers.buffer = bytearray(BUFFER_SIZE)
    return cast(bytearray, buffers.buffer)


def _wrong_blocks(slave: Slave, held: Held, manifest: LocalManifest, observer: Observer) -> Iterator[Damage]:
    with closing(Local(lambda: manifest.entries, partial(slave.root.open, held.name))) as content:
        check = _PageCheck(manifest, content)
        pages = range(len(manifest.starts))
        for number, damage in enumerate(ordered_map(check, pages, threads=slave.threads, ahead=slave.threads * 2)):
            done = manifest.starts[number] + manifest.head.block_pages[number].plain
            observer(Progressed("verify", held.name, done, manifest.head.size, 0, 0))
            yield from damage


class _PageCheck:
    """Checks one page of a content; called from several threads."""

    def __init__(self, manifest: LocalManifest, content: Local) -> None:
        self._manifest = manifest
        self._content = content
        self._buffers = local()

    def __call__(self, number: int) -> list[Damage]:
        manifest, read = self._manifest, self._content.read_into
        start, blocks, head = manifest.starts[number], manifest.blocks(number), manifest.head
        buffer = _buffer(self._buffers)
        try:
            check = head.block_pages[number].check
            if page_matches(read, blocks, start=start, check=check, hash_seed=head.hash_seed, buffer=buffer) and all(
                is_zero(read, start + offset, length, buffer) for zeros, offset, length in segments(blocks) if zeros
            ):
                return []
            good = good_blocks(read, blocks, start=start, hash_seed=head.hash_seed)
        except StorageError as error:
            return [Damage("", 0, 0, str(error))]
        damage: list[Damage] = []
        for length, is_good in zip(blocks.lengths, good, strict=True):
            if not is_good:
                damage += [Damage(*part, "not what its block id says") for part in self._content.parts(start, length)]
            start += length
        return damage
