"""Verifying what a slave holds against its manifests: every page by its check, and on a mismatch every block by its id; or every
file by its SHA-256. Nothing is locked: a sync may exchange an image while it is read, which is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import local
from typing import cast

from netclnt.checking import BUFFER_SIZE, good_blocks, is_zero, page_matches, read_parts, segments
from netclnt.errors import Locked, StorageError
from netclnt.events import Expected, ImageDone, Observer, Progressed
from netclnt.ledger import Held
from netclnt.localmanifests import LocalManifest
from netclnt.look import facts_if_whole, is_as_recorded
from netclnt.model import Entry, EntryType
from netclnt.protocols import Facts
from netclnt.seeds import Local
from netclnt.selection import Selection
from netclnt.slave import Slave
from netclnt.subset import WHOLE, Subset
from netclnt.workers import ordered_map

_ATTEMPTS = 3
"""How often an image is read that changes meanwhile."""


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
    """One image, and all that is wrong with it; or that it ``changed`` whenever it was read, so that nothing can be said;
    or the error of a root that cannot be used."""

    name: str
    version: int
    damage: tuple[Damage, ...]
    changed: bool = False
    missing: StorageError | None = None


def verify(
    slave: Slave, selection: Selection, *, observer: Observer, sha256: bool = False, subset: Subset = WHOLE
) -> Iterator[Verdict]:
    """Read every held image inside the selection; the ledger then knows which are damaged.

    With ``sha256`` whole files are digested, several at once, whichever images they belong to; else pages are checked, which is
    quicker. Of both only those in the ``subset``; what is missing or of another size is noticed in any case. An image that was
    only touched is recorded anew by a check of the whole. The next sync mends what is damaged, block by block.
    """
    chosen = []
    for held in slave.ledger.held():
        if held in selection and (missing := slave.missing(held)) is not None:
            yield Verdict(held.name, held.number, (), missing=missing)
        elif held in selection:
            chosen.append(held)
    for held in chosen:
        observer(Expected(held.name, held.size))
    with _Check.begun(slave, chosen, observer, sha256=sha256, subset=subset) as check:
        for held in chosen:
            began = slave.monotonic()
            verdict = check.verdict(held)
            result = "changed" if verdict.changed else "damaged" if verdict.damage else "verified"
            observer(ImageDone(held.name, verdict.version, result, 0, 0, slave.monotonic() - began))
            yield verdict


class _Check:
    """The check of some images, one after the other, in their order."""

    def __init__(self, slave: Slave, observer: Observer, digests: _Digests | None, subset: Subset) -> None:
        self._slave = slave
        self._observer = observer
        self._digests = digests
        self._subset = subset

    @classmethod
    @contextmanager
    def begun(cls, slave: Slave, images: Sequence[Held], observer: Observer, *, sha256: bool, subset: Subset) -> Iterator[_Check]:
        digests = _Digests(slave, images, subset) if sha256 else None
        try:
            yield cls(slave, observer, digests, subset)
        finally:
            if digests is not None:
                digests.close()

    def verdict(self, held: Held) -> Verdict:
        """What is found wrong counts only if the image was the same all the time; else it is read again, as it is now."""
        before = _place(self._slave, held.name)
        damage = self._damage(held)
        for _ in range(_ATTEMPTS - 1):
            now = self._slave.ledger.get(held.name) if damage else held
            if now is None or not damage or not _changed_meanwhile(self._slave, held, before):
                break
            before = _place(self._slave, now.name)
            sha256 = self._digests is not None
            with _Check.begun(self._slave, [now], self._observer, sha256=sha256, subset=self._subset) as again:
                held, damage = now, again._damage(now)
        if damage and _changed_meanwhile(self._slave, held, before):
            return Verdict(held.name, held.number, (), changed=True)
        if damage and not held.damaged:
            self._slave.ledger.correct(held, None)
        return Verdict(held.name, held.number, tuple(damage))

    def _damage(self, held: Held) -> list[Damage]:
        manifest = self._slave.manifests.open(held.manifest)
        if manifest is None:
            return [Damage("", 0, 0, "its manifest is not in the state directory; the next sync fetches it")]
        with closing(manifest):
            digests, subset = self._digests, self._subset
            in_files = list(digests.wrong(held, manifest, self._observer)) if digests else []
            damage = list(_wrong_entries(self._slave, held, manifest))
            if not damage and (in_files or digests is None):
                pages = WHOLE if in_files else subset
                damage = list(_wrong_blocks(self._slave, held, manifest, self._observer, pages)) or in_files
            if not damage and subset.whole:
                damage = list(_wrong_facts(self._slave, held, manifest))
            return damage


def _place(slave: Slave, name: str) -> Facts | None:
    try:
        return slave.root.facts(name, [""])[0]
    except StorageError:
        return None


def _changed_meanwhile(slave: Slave, held: Held, before: Facts | None) -> bool:
    """Whether what was read may have been another version than ``held``: a sync shows a version first and records it then."""
    if not _is_held(slave, held):
        return True
    now = _place(slave, held.name)
    if now != before:
        return True
    if now is None or now == slave.ledger.facts(held.name, "").get(""):
        return False
    try:
        with slave.root.lock(slave.holder):
            return not _is_held(slave, held)
    except Locked:
        return True


def _is_held(slave: Slave, held: Held) -> bool:
    now = slave.ledger.get(held.name)
    return now is not None and (now.manifest, now.shown_at) == (held.manifest, held.shown_at)


def _wrong_facts(slave: Slave, held: Held, manifest: LocalManifest) -> Iterator[Damage]:
    """An image that looks otherwise than it was recorded may have links, modes or files that blocks know nothing of."""
    if is_as_recorded(slave.root, slave.ledger, slave.manifests, replace(held, damaged=False)):
        if held.damaged:
            slave.ledger.correct(held, slave.ledger.facts(held.name))
        return
    facts = facts_if_whole(slave.root, held.name, manifest.entries)
    if facts is None:
        yield Damage("", 0, 0, "other files, links or modes than its version has")
    else:
        slave.root.secure(held.name)
        slave.ledger.correct(held, facts)


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

    def __init__(self, slave: Slave, images: Sequence[Held], subset: Subset) -> None:
        self._slave = slave
        self._subset = subset
        self._buffers = local()
        files = ((held.name, entry) for held in images for entry in self._files_of(held))
        self._problems = ordered_map(self._problem, files, threads=slave.threads, ahead=slave.threads * 2)
        self._next = next(self._problems, None)

    def _files_of(self, held: Held) -> list[Entry]:
        manifest = self._slave.manifests.open(held.manifest)
        if manifest is None:
            return []
        with closing(manifest):
            return [entry for entry in _files(manifest) if self._subset.chooses(entry.sha256)]

    def wrong(self, held: Held, manifest: LocalManifest, observer: Observer) -> Iterator[Damage]:
        """The files of the next image that are not what their SHA-256 says."""
        done = 0
        # by their names: a manifest may have come or gone since the files to digest were listed
        while self._next is not None and self._next[0] <= held.name:
            name, entry, problem = self._next
            self._next = next(self._problems, None)
            if name != held.name:
                continue
            done += entry.size
            observer(Progressed("verify", held.name, done, manifest.head.size, 0, 0))
            if problem:
                yield Damage(entry.path, 0, entry.size, problem)

    def close(self) -> None:
        self._problems.close()

    def _problem(self, file: tuple[str, Entry]) -> tuple[str, Entry, str]:
        name, entry = file
        try:
            with closing(self._slave.root.open(name, entry.path)) as reader:
                digest = hashlib.sha256()
                for part in read_parts(reader.read_into, 0, reader.size, _buffer(self._buffers)):
                    digest.update(part)
        except StorageError as error:
            return name, entry, str(error)
        return name, entry, "" if digest.digest() == entry.sha256 else "not what its SHA-256 says"


def _files(manifest: LocalManifest) -> list[Entry]:
    return [entry for entry in manifest.entries if entry.type is EntryType.FILE and entry.size]


def _buffer(buffers: local) -> bytearray:
    """The buffer of this thread."""
    if not hasattr(buffers, "buffer"):
        buffers.buffer = bytearray(BUFFER_SIZE)
    return cast(bytearray, buffers.buffer)


def _wrong_blocks(slave: Slave, held: Held, manifest: LocalManifest, observer: Observer, subset: Subset) -> Iterator[Damage]:
    with closing(Local(lambda: manifest.entries, partial(slave.root.open, held.name))) as content:
        check = _PageCheck(manifest, content)
        pages = [number for number, row in enumerate(manifest.head.block_pages) if subset.chooses(row.digest)]
        checks = ordered_map(check, pages, threads=slave.threads, ahead=slave.threads * 2)
        for number, damage in zip(pages, checks, strict=True):
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
