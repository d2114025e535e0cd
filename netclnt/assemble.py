"""Assembling one version in staging: from seeds, from what lies there already, and from the frames that must be fetched.

Three kinds of threads share the work. The **line** takes ranges from the planner as the connection wants them, and hands on what
arrives. **Workers** copy, decompress, check block ids and write in place, in any order. The **caller's thread** follows in
order: it digests each page behind the write front and reports. A page counts when its content has the xxh3-128 that the
manifest says. A page that has not is looked at block by block when all else is done, and what is wrong in it fetched once more,
from the store alone; then it is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from queue import SimpleQueue
from threading import BoundedSemaphore, Lock, Thread, local

from netclnt.checking import BUFFER_SIZE, good_blocks, page_matches
from netclnt.chunking import block_id
from netclnt.errors import Damaged, ForbiddenValue, NetclntError, Stopped
from netclnt.frames import FrameRange, HeldBack, Piece, WantedFrame, joined, locate
from netclnt.front import Done, Front
from netclnt.localmanifests import LocalManifest
from netclnt.locations import Frame, decode_record
from netclnt.model import Blocks
from netclnt.pack import decode_frame
from netclnt.plainstage import PlainStage
from netclnt.plan import ZEROS, PagePlan, PageRun, repair_page
from netclnt.protocols import Source
from netclnt.seeds import Seeds

_TASKS_AHEAD = 8
"""Tasks waiting or running, for each worker: bounds the data in hand."""


@dataclass(frozen=True, slots=True)
class Work:
    """One version to assemble. ``plans`` is by page number: pages without a plan are complete in staging. ``locations`` are the
    encoded ones of the pages with missing blocks. ``cloned`` is the number of the seed that staging shares all blocks with at
    equal offsets, or None; ``holes`` says that what nobody wrote reads as zeros."""

    image: str
    manifest: LocalManifest
    plans: Mapping[int, PagePlan]
    locations: Mapping[int, bytes]
    seeds: Seeds
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

    ``locate`` gives the encoded locations of pages; ``on_page`` is called in the caller's thread after each page, in order.
    Raises Damaged, ContentMismatch, and what the edges raise; then staging keeps what is complete.
    """
    front = Front(work.image, work.manifest, work.plans, stage, on_page)
    mended: set[int] = set()
    bad = _Pass(work, stage, front, work.plans, work.locations).run(source)
    while bad:
        if not bad.isdisjoint(mended):
            raise Damaged(what="page", where=f"{work.image}, page {min(bad & mended)}", problem="not what its check says, twice")
        mended |= bad
        plans = {number: _repair(work, stage, number) for number in sorted(bad | front.give_back())}
        front.reused.update((number, plan.reused) for number, plan in plans.items())
        lacking = [number for number, plan in plans.items() if plan.blocks_missing]
        bad = _Pass(work, stage, front, plans, locate(lacking)).run(source)
    front.finish()


def _repair(work: Work, stage: PlainStage, number: int) -> PagePlan:
    blocks, start = work.manifest.blocks(number), work.manifest.starts[number]
    good = good_blocks(stage.read_into, blocks, start=start, hash_seed=work.hash_seed)
    return repair_page(blocks, good, work.plans[number])


@dataclass(eq=False, slots=True)
class _Page:
    """A page under work. ``waiting`` counts its parts that are not in place, the planning itself being one; ``late`` says that
    blocks are to be copied from staging once all that comes before is complete, ``bad`` that some cannot come in this pass."""

    number: int
    start: int
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
    ) -> None:
        self._work = work
        self._stage = stage
        self._front = front
        self._plans = plans
        self._locations = locations
        self._bad: set[int] = set()
        self._complete: SimpleQueue[tuple[int, bool] | None] = SimpleQueue()
        self._lock = Lock()
        self._stopped = False
        self._abandoned = False
        self._error: BaseException | None = None
        self._free = BoundedSemaphore(work.threads * _TASKS_AHEAD)
        self._buffers = local()

    def run(self, source: Source) -> set[int]:
        """The numbers of the bad pages. Raises the first error of any thread."""
        with ThreadPoolExecutor(self._work.threads, thread_name_prefix="worker") as self._pool:
            line = Thread(target=self._line, args=(source,), name="line")
            line.start()
            try:
                self._follow()
            except BaseException as error:
                self._stopped = self._abandoned = True
                if not isinstance(error, NetclntError) or isinstance(error, Stopped):
                    source.close()
                raise
            finally:
                line.join()
        if self._error is not None:
            raise self._error
        return self._bad

    def _follow(self) -> None:
        while (complete := self._complete.get()) is not None:
            if not self._abandoned:
                for number in self._front.take(*complete):
                    blocks = self._work.manifest.blocks(number)
                    self._copy_earlier(number, blocks)
                    if not self._matches(number, blocks):
                        self._note_bad(number)
                        self._front.refuse(number)

    # --- the line's thread

    def _line(self, source: Source) -> None:
        try:
            for wanted, data in source.fetch(joined(self._frames())):
                self._submit(self._take, wanted, data)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self._fail(error)
        finally:
            for _ in range(self._work.threads * _TASKS_AHEAD):
                self._free.acquire()
            self._complete.put(None)

    def _frames(self) -> Iterator[WantedFrame[_Page]]:
        """All frames to fetch. An error ends them early, so that the line can take in what it has asked for."""
        try:
            yield from self._planned_frames()
        except NetclntError as error:
            self._fail(error)

    def _planned_frames(self) -> Iterator[WantedFrame[_Page]]:
        held = HeldBack[_Page]()
        manifest = self._work.manifest
        for number in sorted(self._plans):
            if self._stopped:
                return
            start, blocks = manifest.starts[number], manifest.blocks(number)
            page = _Page(number, start, blocks, list(accumulate(blocks.lengths, initial=start)))
            self._begin(page, held)
            if self._part_done(page):
                self._submit(self._finish, page)
            yield from held.due()
        yield from held.rest()

    def _begin(self, page: _Page, held: HeldBack[_Page]) -> None:
        """Set all parts of a page going."""
        copies: list[tuple[int, PageRun, int]] = []
        plan = self._plans[page.number]
        for run in plan.runs:
            begin = page.offsets[run.first]
            length = page.offsets[run.first + run.count] - begin
            if run.seed == ZEROS:
                if not self._work.holes:
                    copies.append((begin, run, length))
            elif run.seed >= 0 and (run.seed, run.offset) != (self._work.cloned, begin):
                copies.append((begin, run, length))
        if plan.blocks_missing:
            self._want(page, held)
        if copies:
            self._add_part(page)
            self._submit(self._copy, page, copies)

    def _want(self, page: _Page, held: HeldBack[_Page]) -> None:
        asked: set[Frame] = set()
        located = 0
        for index, length, frame, start in self._located(page.number, page.blocks):
            located += 1
            if frame is None:
                page.late = True
                continue
            if frame not in asked:
                asked.add(frame)
                self._add_part(page)
            held.add(frame, Piece(start, length, page, index))
        page.bad = located < self._plans[page.number].blocks_missing

    def _located(self, number: int, blocks: Blocks) -> Iterator[tuple[int, int, Frame | None, int]]:
        """Where the missing blocks of a page lie, as :func:`netclnt.frames.locate` tells it; nothing if the record is damaged."""
        record = self._locations.get(number)
        if record is None:
            return
        try:
            locations = decode_record(record, blocks, page_start=self._work.manifest.starts[number], where=self._work.image)
        except (Damaged, ForbiddenValue):
            return  # nothing vouches for locations: one that is out of range is as good as damaged
        yield from locate(locations, blocks, self._plans[number].missing_blocks())

    # --- the workers

    def _take(self, wanted: FrameRange[_Page], data: bytes) -> None:
        for frame, stored in wanted.split(data):
            try:
                plain = decode_frame(frame.frame.codec, stored, plain=frame.frame.plain, where=wanted.path)
            except Damaged:
                self._mark_bad(frame.pieces)
            else:
                self._place(frame.pieces, memoryview(plain))
            for page in {piece.page for piece in frame.pieces}:
                if self._part_done(page):
                    self._finish(page)

    def _place(self, pieces: Sequence[Piece[_Page]], plain: memoryview) -> None:
        """Write the blocks that are what their ids say; neighbours in one go."""
        start = end = target = 0
        for piece in pieces:
            block = plain[piece.start : piece.start + piece.length]
            if block_id(block, self._work.hash_seed) != piece.page.blocks.id(piece.block):
                self._mark_bad([piece])
                continue
            offset = piece.page.offsets[piece.block]
            if (piece.start, offset) != (end, target + end - start):
                if end > start:
                    self._stage.write(target, plain[start:end])
                start, target = piece.start, offset
            end = piece.start + piece.length
        if end > start:
            self._stage.write(target, plain[start:end])

    def _copy(self, page: _Page, copies: Sequence[tuple[int, PageRun, int]]) -> None:
        for begin, run, length in copies:
            if run.seed == ZEROS:
                self._stage.zero(begin, length)
            else:
                self._stage.copy(begin, self._work.seeds[run.seed], run.offset, length)
        if self._part_done(page):
            self._finish(page)

    def _finish(self, page: _Page) -> None:
        """All parts of a page are in place: check it, unless blocks of it are bad or to be copied later."""
        if page.bad or not (page.late or self._matches(page.number, page.blocks)):
            self._note_bad(page.number)
        else:
            self._complete.put((page.number, page.late))

    # --- any thread

    def _matches(self, number: int, blocks: Blocks) -> bool:
        manifest = self._work.manifest
        return page_matches(
            self._stage.read_into,
            blocks,
            start=manifest.starts[number],
            check=manifest.head.block_pages[number].check,
            hash_seed=self._work.hash_seed,
            buffer=self._buffer(),
        )

    def _copy_earlier(self, number: int, blocks: Blocks) -> None:
        offsets = list(accumulate(blocks.lengths, initial=self._work.manifest.starts[number]))
        for index, length, frame, start in sorted(self._located(number, blocks), key=_block_number):
            if frame is None:
                self._stage.copy_within(offsets[index], start, length, self._buffer())

    def _note_bad(self, number: int) -> None:
        with self._lock:
            self._bad.add(number)

    def _buffer(self) -> bytearray:
        buffer: bytearray | None = getattr(self._buffers, "buffer", None)
        if buffer is None:
            buffer = self._buffers.buffer = bytearray(BUFFER_SIZE)
        return buffer

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

    def _submit(self, task: Callable[..., None], *arguments: object) -> None:
        self._free.acquire()
        try:
            self._pool.submit(self._guarded, task, arguments)
        except BaseException:  # no thread can be started, or the run has ended: nobody else gives this one back
            self._free.release()
            raise

    def _guarded(self, task: Callable[..., None], arguments: tuple[object, ...]) -> None:
        try:
            if not self._abandoned:
                task(*arguments)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self._abandoned = True
            self._fail(error)
        finally:
            self._free.release()

    def _fail(self, error: BaseException) -> None:
        """Note the first error, and plan nothing more. What has come over the line is still put in its place."""
        with self._lock:
            if self._error is None:
                self._error = error
        self._stopped = True


def _block_number(located: tuple[int, int, Frame | None, int]) -> int:
    return located[0]
