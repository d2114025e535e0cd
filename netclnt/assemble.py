"""Assembling one version in staging: from seeds, from what lies there already, and from the frames that must be fetched.

Four kinds of threads share the work. The **line** takes ranges from the planner as the connection wants them, and hands on what
arrives. Beside it, **local** goes through the pages for which nothing must be fetched. **Workers** copy, decompress, check block
ids and write in place, in any order. The **caller's thread** follows in order: it reads each page behind the write front, checks
and digests it, and reports. A page counts when its content has the xxh3-128 that the manifest says. A page that has not is looked
at block by block when all else is done, and what is wrong in it fetched once more, from the store alone, in its plain form; then
it is an error.
Of a tree, settled files are not read again (:mod:`netclnt.settled`); what else their pages hold is checked by block ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from queue import SimpleQueue
from threading import BoundedSemaphore, Lock, Thread

from netclnt.bases import NO_BASES, Bases
from netclnt.checking import BUFFER_SIZE, good_blocks, page_matches, wrong_blocks
from netclnt.errors import Damaged, NetclntError, Paused, Stopped
from netclnt.frames import FrameRange, HeldBack, Piece, WantedFrame, joined, located
from netclnt.front import Done, Front
from netclnt.localmanifests import LocalManifest
from netclnt.locations import Frame
from netclnt.model import Blocks
from netclnt.pack import PREFIX
from netclnt.plainstage import PlainStage, neighbours
from netclnt.plan import ZEROS, PagePlan, PageRun, repair_page
from netclnt.protocols import Source
from netclnt.seeds import Seeds
from netclnt.settled import Settled

_TASKS_AHEAD = 8
"""Tasks waiting or running, for each worker: bounds the data in hand."""


@dataclass(frozen=True, slots=True)
class Work:
    """One version to assemble. ``plans`` is by page number: pages without a plan are complete in staging. ``locations`` are the
    encoded ones of the pages with missing blocks; ``bases`` knows which delta frames can be used. ``settled`` files are as they
    should be, and not looked at. ``cloned`` is the number of the seed that staging shares all blocks with at equal offsets, or
    None; ``holes`` says that what nobody wrote reads as zeros."""

    image: str
    manifest: LocalManifest
    plans: Mapping[int, PagePlan]
    locations: Mapping[int, bytes]
    bases: Bases
    seeds: Seeds
    settled: Settled
    cloned: int | None
    holes: bool
    hash_seed: int
    threads: int


def assemble(
    work: Work,
    *,
    stage: PlainStage,
    source: Source,
    locate: Callable[[Sequence[int]], Mapping[int, bytes]],
    on_page: Callable[[Done], None],
) -> None:
    """Complete the version in ``stage`` and check the SHA-256 of every file.

    ``locate`` gives the encoded locations of pages; ``on_page`` is called in the caller's thread, as :class:`Front` says.
    Raises Damaged, ContentMismatch, and what the edges raise; then staging keeps what is complete.
    """
    front = Front(work.image, work.manifest, work.plans, work.settled, stage, on_page)
    mended: set[int] = set()
    first = _Pass(work, stage, front, work.plans, work.locations, work.bases)
    bad = first.run(source)
    by_delta = first.by_delta  # what comes plain after that comes for the first time
    while bad:
        if not bad.isdisjoint(mended):
            raise Damaged(what="page", where=f"{work.image}, page {min(bad & mended)}", problem="not what its check says, twice")
        mended |= bad - by_delta
        by_delta = set()
        plans = {number: _repair(work, stage, number) for number in sorted(bad | front.give_back())}
        front.reused.update((number, plan.reused) for number, plan in plans.items())
        lacking = [number for number, plan in plans.items() if plan.blocks_missing]
        bad = _Pass(work, stage, front, plans, locate(lacking), NO_BASES).run(source)
    front.finish()


def _repair(work: Work, stage: PlainStage, number: int) -> PagePlan:
    blocks, start = work.manifest.blocks(number), work.manifest.starts[number]
    good = good_blocks(stage.read_into, blocks, start=start, hash_seed=work.hash_seed)
    return repair_page(blocks, good, work.plans.get(number))


@dataclass(eq=False, slots=True)
class _Page:
    """A page under work. ``waiting`` counts its parts that are not in place, the planning itself being one; ``late`` says that
    blocks are to be copied from staging once all that comes before is complete, ``bad`` that some cannot come in this pass."""

    number: int
    blocks: Blocks
    offsets: list[int]
    waiting: int = 1
    late: bool = False
    bad: bool = False


class _Pass:
    """One pass over the pages that have a plan. Collects those that turned out bad."""

    def __init__(
        self,
        work: Work,
        stage: PlainStage,
        front: Front,
        plans: Mapping[int, PagePlan],
        locations: Mapping[int, bytes],
        bases: Bases,
    ) -> None:
        self._work = work
        self._stage = stage
        self._front = front
        self._plans = plans
        self._locations = locations
        self._bases = bases
        self.by_delta: set[int] = set()
        """The numbers of the pages for which delta frames were taken."""
        self._bad: set[int] = set()
        self._complete: SimpleQueue[tuple[int, bool] | None] = SimpleQueue()
        self._lock = Lock()
        self._stopped = False
        self._abandoned = False
        self._error: BaseException | None = None
        self._line_tasks = BoundedSemaphore(work.threads * _TASKS_AHEAD)
        self._local_tasks = BoundedSemaphore(work.threads)

    def run(self, source: Source) -> set[int]:
        """The numbers of the bad pages. Raises the first error of any thread."""
        with ThreadPoolExecutor(self._work.threads, thread_name_prefix="worker") as self._pool:
            feeders = [Thread(target=self._line, args=(source,), name="line"), Thread(target=self._local, name="local")]
            for feeder in feeders:
                feeder.start()
            try:
                self._advance()
                for _ in feeders:
                    self._follow()
            except BaseException as error:
                self._stopped = self._abandoned = True
                if not isinstance(error, NetclntError) or isinstance(error, Stopped):
                    source.close()
                raise
            finally:
                for feeder in feeders:
                    feeder.join()
        if self._error is not None:
            raise self._error
        self._bad |= self._front.awaited
        if self._bad:
            self._note_bad_ahead()
        return self._bad

    def _follow(self) -> None:
        """Follow what becomes complete, until one of the feeding threads has ended."""
        while (complete := self._front.next_of(self._complete)) is not None:
            if not self._abandoned:
                self._front.take(*complete)
                self._advance()

    def _advance(self) -> None:
        for number, late in self._front.ready():
            if late:
                self._copy_earlier(number)
            if not self._front.digest(number):
                self._note_bad(number)

    # --- the threads that feed

    def _line(self, source: Source) -> None:
        """Take in what must be fetched."""
        try:
            for wanted, data in source.fetch(joined(self._frames())):
                self._submit(self._line_tasks, self._take, wanted, data)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self._fail(error)
        finally:
            self._end(self._line_tasks, self._work.threads * _TASKS_AHEAD)

    def _frames(self) -> Iterator[WantedFrame[_Page]]:
        """All frames to fetch. An error ends them early, so that the line can take in what it has asked for."""
        try:
            yield from self._planned_frames()
        except NetclntError as error:
            self._fail(error)

    def _planned_frames(self) -> Iterator[WantedFrame[_Page]]:
        held = HeldBack[_Page]()
        for number in sorted(self._plans):
            if self._stopped:
                return
            plan = self._plans[number]
            if not plan.blocks_missing:
                continue
            page = self._page(number)
            self._want(page, plan, held)
            copies = self._copies(page, plan)
            if copies:
                self._add_part(page)
                self._submit(self._line_tasks, self._copy, page, copies)
            if self._part_done(page):
                self._finish(page)
            yield from held.due()
        yield from held.rest()

    def _local(self) -> None:
        """Copy what is here already, of the pages that lack nothing else."""
        try:
            for number in sorted(self._plans):
                if self._stopped:
                    return
                plan = self._plans[number]
                if not plan.blocks_missing:
                    page = self._page(number)
                    self._submit(self._local_tasks, self._copy, page, self._copies(page, plan))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self._fail(error)
        finally:
            self._end(self._local_tasks, self._work.threads)

    def _end(self, tasks: BoundedSemaphore, count: int) -> None:
        """Wait for the tasks of a thread that feeds, and tell the caller's."""
        for _ in range(count):
            tasks.acquire()
        self._complete.put(None)

    def _page(self, number: int) -> _Page:
        manifest = self._work.manifest
        blocks = manifest.blocks(number)
        return _Page(number, blocks, list(accumulate(blocks.lengths, initial=manifest.starts[number])))

    def _copies(self, page: _Page, plan: PagePlan) -> list[tuple[int, PageRun, int]]:
        """(plain offset, run, length) of what is to be copied from seeds, or made zeros."""
        copies: list[tuple[int, PageRun, int]] = []
        for run in plan.runs:
            begin = page.offsets[run.first]
            if run.seed == ZEROS:
                needed = not self._work.holes
            else:
                needed = run.seed >= 0 and (run.seed, run.offset) != (self._work.cloned, begin)
            if needed:
                copies.append((begin, run, page.offsets[run.first + run.count] - begin))
        return copies

    def _want(self, page: _Page, plan: PagePlan, held: HeldBack[_Page]) -> None:
        asked: set[Frame] = set()
        located = 0
        for first, count, frame, start in self._located(page, plan):
            located += count
            if frame is None:
                page.late = True
                continue
            if frame not in asked:
                asked.add(frame)
                self._add_part(page)
            held.add(frame, Piece(page, first, count, start))
            if frame.codec == PREFIX:
                self.by_delta.add(page.number)
        page.bad = located < plan.blocks_missing

    def _located(self, page: _Page, plan: PagePlan) -> Iterator[tuple[int, int, Frame | None, int]]:
        """Where the missing blocks of a page lie, as :func:`netclnt.frames.located` tells it."""
        record = self._locations.get(page.number)
        if record is None:
            return iter(())
        return located(record, page.blocks, plan, page_start=page.offsets[0], where=self._work.image, deltas=self._bases)

    # --- the workers

    def _take(self, wanted: FrameRange[_Page], data: bytes) -> None:
        """Put the blocks of each frame in their places, neighbours in one go, while the processor's cache still has them."""
        for frame, stored in wanted.split(data):
            try:
                plain = memoryview(self._bases.decode(frame.frame, stored, where=wanted.path))
            except Damaged:
                self._mark_bad(frame.pieces)
            else:
                for offset, views in neighbours(part for piece in frame.pieces for part in self._checked(piece, plain)):
                    for file, content in self._stage.write(offset, views):
                        self._digest(file, content)
            for page in {piece.page for piece in frame.pieces}:
                if self._part_done(page):
                    self._finish(page)

    def _checked(self, piece: Piece[_Page], plain: memoryview) -> Iterator[tuple[int, memoryview]]:
        """(plain offset, bytes) of the blocks that are what their ids say."""
        page, last = piece.page, piece.first + piece.count
        offsets = page.offsets[piece.first : last + 1]
        shift = piece.start - offsets[0]
        wrong = wrong_blocks(plain, [offset + shift for offset in offsets], page.blocks, piece.first, self._work.hash_seed)
        if not wrong:
            yield offsets[0], plain[piece.start : offsets[-1] + shift]
            return
        self._mark_bad([piece])
        for index, (begin, end) in enumerate(pairwise(offsets)):
            if index not in wrong:
                yield begin, plain[begin + shift : end + shift]

    def _digest(self, file: int, content: Sequence[memoryview]) -> None:
        """Of a tree's file that came whole: it need not be opened and read once more. A wrong one is left to the front."""
        if not self._work.manifest.head.tree:
            return
        digest = hashlib.sha256()
        for view in content:
            digest.update(view)
        if digest.digest() == self._work.manifest.entries[file].sha256:
            self._work.settled.add(file)

    def _copy(self, page: _Page, copies: Sequence[tuple[int, PageRun, int]]) -> None:
        for begin, run, length in copies:
            if run.seed == ZEROS:
                self._stage.zero(begin, length)
            else:
                self._stage.copy(begin, self._work.seeds[run.seed], run.offset, length)
        if self._part_done(page):
            self._finish(page)

    def _finish(self, page: _Page) -> None:
        """All parts of a page are in place, but for those that are to be copied later, and those that are bad."""
        if page.bad:
            self._note_bad(page.number)
        else:
            self._complete.put((page.number, page.late))

    # --- the caller's thread

    def _copy_earlier(self, number: int) -> None:
        """Copy the blocks that lie earlier in the version: all that is before them is in place."""
        page = self._page(number)
        runs = [(first, count, start) for first, count, frame, start in self._located(page, self._plans[number]) if frame is None]
        for first, count, start in sorted(runs):
            offset = page.offsets[first]
            self._stage.copy_within(offset, start, page.offsets[first + count] - offset)

    def _note_bad_ahead(self) -> None:
        """The front stopped at a bad page: look at those behind it, too, so that all are mended in one more pass."""
        buffer = bytearray(BUFFER_SIZE)
        manifest = self._work.manifest
        for number in self._front.ahead():
            row, start = manifest.head.block_pages[number], manifest.starts[number]
            read, blocks = self._stage.read_into, manifest.blocks(number)
            if not page_matches(read, blocks, start=start, check=row.check, hash_seed=self._work.hash_seed, buffer=buffer):
                self._bad.add(number)

    # --- any thread

    def _note_bad(self, number: int) -> None:
        with self._lock:
            self._bad.add(number)

    def _add_part(self, page: _Page) -> None:
        with self._lock:
            page.waiting += 1

    def _part_done(self, page: _Page) -> bool:
        """Whether that was the last part of the page."""
        with self._lock:
            page.waiting -= 1
            return page.waiting == 0

    def _mark_bad(self, pieces: Sequence[Piece[_Page]]) -> None:
        with self._lock:
            for piece in pieces:
                piece.page.bad = True

    def _submit(self, tasks: BoundedSemaphore, task: Callable[..., None], *arguments: object) -> None:
        tasks.acquire()
        try:
            self._pool.submit(self._guarded, tasks, task, arguments)
        except BaseException:  # no thread can be started, or the run has ended: nobody else gives this one back
            tasks.release()
            raise

    def _guarded(self, tasks: BoundedSemaphore, task: Callable[..., None], arguments: tuple[object, ...]) -> None:
        try:
            if not self._abandoned:
                task(*arguments)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self._abandoned = True
            self._fail(error)
        finally:
            tasks.release()

    def _fail(self, error: BaseException) -> None:
        """Note the first error, and plan nothing more. What has come over the line is still put in its place."""
        paused = isinstance(error, Paused)  # for the line alone: what is here already is still put in its place
        with self._lock:
            if self._error is None or (isinstance(self._error, Paused) and not paused):
                self._error = error
        self._stopped = self._stopped or not paused
