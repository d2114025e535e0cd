"""How little is done where little is to do, and how much memory and time size takes.

Nothing changed and a single byte changed, in 50 GB; start-up; the rates of ``verify`` and ``publish`` beside the plain programs
that do a part of it; and, in :mod:`tests.bench.scale_memory`, what 100 GB, 1 TB and 200,000 versions take. Everything is a run
of the real program. Where a size would take hours or more disk than there is, the image is mostly holes, or a miniature
(:mod:`tests.bench.miniature`); its case says so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from netclnt.config.tables import MasterConfig, keys
from tests.bench import images, miniature, scale_catalog, scale_memory
from tests.bench.measure import Bench, Cost, Fact, Row
from tests.bench.report import Goal
from tests.bench.scale_pair import Pair, flip, fresh, totals, warm
from tests.support.databases import Missing, PostgreSQL, running

SECTION = "scale"
WAY = "netclnt"
TIMES, QUICK_TIMES = 10, 1
IDLE = "nothing changed, 50 GB in 5 images (mostly holes)"
BYTE = "one byte changed, {} image"
HELP, VERSION = "start-up, --help", "start-up, --version"
VERIFY, REHASH = "verify, page cache warm", "hash what was touched (sync), page cache warm"
EACH = "sha256sum for each image"
ALL_NEW, NOTHING_NEW = "publish, all new", "publish, nothing new"
LEVEL = keys(MasterConfig)["level"].default
"""netclnt's own, of the frames of a publish."""

HEAVY = ("paramiko", "pyodbc", "rich", "cryptography")
MINIATURE = "50 GB (miniature)"
MINIATURE_BLOCKS, QUICK_BLOCKS = 3_000_000, 10_000
IDLE_IMAGES, QUICK_IMAGES = 5, 2
GB = 1_000_000_000

IMAGES = ("raw",)
GOALS = (
    *(Goal(IDLE, f"{WAY}, {engine}", "seconds", 0.3) for engine in ("postgresql", "sqlite")),
    *(Goal(IDLE, f"{WAY}, {engine}", "queries", 2) for engine in ("postgresql", "sqlite")),
    Goal(IDLE, f"{WAY}, postgresql", "selects", 1),
    Goal(IDLE, f"{WAY}, postgresql", "connections", 0),
    Goal(IDLE, f"{WAY}, postgresql", "image_reads", 0),
    Goal(BYTE.format(MINIATURE), WAY, "wire", 1_000_000),
    Goal(BYTE.format("raw"), WAY, "wire", 1_000_000),
    Goal(HELP, WAY, "seconds", 0.15),
    *(Goal(case, WAY, "heavy", 0) for case in (HELP, VERSION)),
    Goal(VERIFY, WAY, "gbs", 3, at_least=True),
    Goal(REHASH, WAY, "gbs", 0.95, against=EACH, at_least=True),
    Goal(NOTHING_NEW, WAY, "gbs", 1, at_least=True),
    Goal(ALL_NEW, WAY, "gbs", 0.95, against=f"zstd -T0 -{LEVEL}", at_least=True),
    *scale_memory.GOALS,
    *scale_catalog.GOALS,
)


def rows(bench: Bench) -> Iterator[Row]:
    yield from start_up(bench)
    yield from idle(bench)
    yield from rates(bench)
    yield from one_byte(bench)
    yield from one_byte_of_50_gb(bench)
    yield from scale_catalog.large_catalog(bench)
    yield from scale_memory.large_store(bench)
    yield from scale_memory.large_image(bench)


# --- start-up


def start_up(bench: Bench) -> Iterator[Row]:
    """``heavy`` counts the heavy modules that are imported, ``modules`` all."""
    program = str(Path(sys.executable).with_name("netclnt"))
    for case, flag in ((HELP, "--help"), (VERSION, "--version")):
        facts = imported([sys.executable, "-X", "importtime", "-m", "netclnt", flag])
        for _ in range(times(bench)):
            with bench.alone():
                yield bench.run([program, flag]).row(SECTION, case, WAY, **facts)


def imported(command: Sequence[str]) -> dict[str, Fact]:
    """What ``-X importtime`` says of a run."""
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    modules = set(re.findall(r"^import time:.*\| +([\w.]+)$", said, re.MULTILINE))
    return {"heavy": sum(name in modules for name in HEAVY), "modules": len(modules)}


def times(bench: Bench) -> int:
    return QUICK_TIMES if bench.quick else TIMES


# --- nothing changed


def idle(bench: Bench) -> Iterator[Row]:
    """``sync`` on a slave that is up to date, with both kinds of catalog; how it asks is told by the server's log and strace."""
    try:
        with running(PostgreSQL) as server:
            database = server.create_database()
            with fresh(Pair(bench, bench.scratch / "idle", database.conn, database.password)) as pair:
                fill(pair)
                before = len(server.statements())
                pair.sync()
                asked = [line for line in server.statements()[before:] if " nc_" in line]
                selects = sum("SELECT" in line for line in asked)
                facts: dict[str, Fact] = {"selects": selects, "updates": len(asked) - selects, **image_reads(pair)}
                yield from repeat(pair, "postgresql", facts)
    except Missing as missing:
        bench.note(f"{IDLE}, through ODBC: {missing}")
    with fresh(Pair(bench, bench.scratch / "idle")) as pair:
        fill(pair)
        yield from repeat(pair, "sqlite", {})


def fill(pair: Pair) -> None:
    """Publish and sync 50 GB, of which 80 MB are no holes."""
    size = (64 << 20) if pair.bench.quick else 10 * GB
    for number in range(QUICK_IMAGES if pair.bench.quick else IDLE_IMAGES):
        image = pair.directory / "image"
        with image.open("wb") as file:
            file.write(os.urandom(1 << 20 if pair.bench.quick else 1 << 24))
            file.truncate(size)
        pair.publish(image, f"image-{number}")
        image.unlink()
    pair.sync()


def repeat(pair: Pair, engine: str, facts: dict[str, Fact]) -> Iterator[Row]:
    for _ in range(times(pair.bench)):
        cost = pair.sync()
        yield cost.row(SECTION, IDLE, f"{WAY}, {engine}", **totals(cost), **facts)


def image_reads(pair: Pair) -> dict[str, Fact]:
    """How often a sync opens or reads an image."""
    if not shutil.which("strace"):
        pair.bench.note(f"{IDLE}: no strace, so nobody looked whether images are read")
        return {}
    trace = pair.directory / "trace"
    calls = "trace=openat,openat2,read,pread64,preadv,readv,mmap,copy_file_range"
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(trace), *pair.words("slave", "sync")]
    subprocess.run(command, check=True, capture_output=True)
    image = re.compile(rf'{re.escape(str(pair.images))}/image-|"image-\d"')
    return {"image_reads": sum(bool(image.search(line)) for line in trace.read_text(errors="replace").splitlines())}


# --- one byte


def one_byte(bench: Bench) -> Iterator[Row]:
    """The real image, on the file system that the benchmark runs on."""
    image = bench.scratch / "image"
    try:
        copy(images.pair(bench.cache, "raw", quick=bench.quick).old, image)
        with fresh(Pair(bench, bench.scratch / "byte")) as pair:
            yield from changed_byte(pair, image, "raw")
    finally:
        image.unlink(missing_ok=True)


def one_byte_of_50_gb(bench: Bench) -> Iterator[Row]:
    """As many blocks as 50 GB have. At full length the one that changed would be up to 64 KiB instead of 1 KiB."""
    image = bench.scratch / "image"
    try:
        miniature.write_image(image, QUICK_BLOCKS if bench.quick else MINIATURE_BLOCKS)
        with fresh(Pair(bench, bench.scratch / "byte", miniature=True)) as pair:
            yield from changed_byte(pair, image, MINIATURE)
    finally:
        image.unlink(missing_ok=True)


def changed_byte(pair: Pair, image: Path, what: str) -> Iterator[Row]:
    pair.publish(image)
    pair.sync()
    flip(image)
    yield pair.publish(image).row(SECTION, BYTE.format(what), f"{WAY} publish")
    cost = pair.sync()
    yield cost.row(SECTION, BYTE.format(what), WAY, **totals(cost))


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", "--reflink=never", str(source), str(target)], check=True)


# --- rates


def rates(bench: Bench) -> Iterator[Row]:
    """``gbs`` are the billions of bytes outside of holes that pass in a second."""
    pair = images.pair(bench.cache, "raw", quick=bench.quick)
    for _ in range(bench.rounds):
        yield from publishing(bench, pair.old)
    yield from hashing(bench, [pair.old, pair.new])


def publishing(bench: Bench, image: Path) -> Iterator[Row]:
    warm(image)
    with fresh(Pair(bench, bench.scratch / "rates")) as pair:
        yield rate(pair.publish(image), [image], ALL_NEW, WAY)
        yield rate(pair.publish(image), [image], NOTHING_NEW, WAY)
    program = f"zstd -T0 -{LEVEL}"
    packed = bench.scratch / "zst"
    yield rate(alone(bench, [*program.split(), "-q", "-f", image, "-o", packed]), [image], ALL_NEW, program)
    packed.unlink()


def hashing(bench: Bench, sources: Sequence[Path]) -> Iterator[Row]:
    """Pages are checked by ``verify``; what was only touched is known by its SHA-256, in ``sync``. No two cores can work on one
    SHA-256, so there are several images."""
    with fresh(Pair(bench, bench.scratch / "rates")) as pair:
        for source in sources:
            pair.publish(source, source.name)
        pair.sync()
        held = [pair.images / source.name for source in sources]
        for _ in range(bench.rounds):
            for path in held:
                warm(path)
                os.utime(path)
            yield rate(pair.sync(), held, REHASH, WAY)
            yield rate(pair.slave("verify"), held, VERIFY, WAY)
            yield rate(alone(bench, ["sh", "-c", at_once("sha256sum"), "sh", *held]), held, REHASH, EACH)
            yield rate(alone(bench, ["sha256sum", *held]), held, REHASH, "sha256sum")
            if shutil.which("xxhsum"):
                yield rate(alone(bench, ["sh", "-c", at_once("xxhsum -H2"), "sh", *held]), held, VERIFY, "xxhsum for each image")


def at_once(program: str) -> str:
    """A shell's words that run a program on each of its arguments, all at the same time."""
    return f'for each; do {program} "$each" & done; wait'


def alone(bench: Bench, command: Sequence[str | Path]) -> Cost:
    with bench.alone():
        return bench.run(command)


def rate(cost: Cost, paths: Sequence[Path], case: str, way: str) -> Row:
    return cost.row(SECTION, case, way, gbs=sum(map(images.data_bytes, paths)) / GB / cost.seconds)
