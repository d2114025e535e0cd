"""The in-memory twin of a slave's root: flat dictionaries of paths, with knobs for faults."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from netclnt.errors import (
    ContentMismatch,
    ForbiddenValue,
    ForeignFile,
    Locked,
    NetclntError,
    NoSpace,
    Unpublishable,
)
from netclnt.memory.digester import MemoryDigester
from netclnt.memory.nodes import (
    HOLE,
    MemoryReader,
    Node,
    Tree,
    below,
    facts_of,
    holes,
    in_order,
    join,
    missing,
    reader_of,
)
from netclnt.model import Bytes, Entry, EntryType
from netclnt.naming import check_name, check_path, check_token
from netclnt.protocols import Facts, Reader, Root

_PERMISSIONS = 0o777
_ROOMY = 1 << 40


class MemoryRoot:
    """:class:`netclnt.protocols.Root` without a disk.

    ``live`` holds the admin's and the images' nodes by their path in the root. ``capacity`` bounds the bytes of everything
    together, ``inodes`` the files that may still be made; None is no bound. ``faults`` maps a method's name (of the root or of a
    stage) to an error that its next call raises. Digesters are lost after ``digester_pages`` questions. Roots of different
    ``device`` are on different file systems.
    """

    def __init__(self, *, capacity: int | None = None, device: int = 0) -> None:
        self.live: Tree = {}
        self.capacity = capacity
        self.inodes: int | None = None
        self.faults: dict[str, NetclntError] = {}
        self.digester_pages = 1 << 62
        self.device = device
        self._staged: dict[str, Tree] = {}
        self._kept: dict[str, Tree] = {}
        self._holder: str | None = None
        self._ticks = count(1)

    # --- for tests

    def put_file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._put(path, EntryType.FILE, mode).data[:] = data

    def put_directory(self, path: str, mode: int = 0o755) -> None:
        self._put(path, EntryType.DIRECTORY, mode)

    def put_link(self, path: str, target: str) -> None:
        self._put(path, EntryType.LINK, 0o777).target = target

    def put_other(self, path: str) -> None:
        self._put(path, None, 0o600)

    def fail(self, call: str) -> None:
        """Raise the error that ``faults`` has for this call, once."""
        error = self.faults.pop(call, None)
        if error is not None:
            raise error

    # --- Root

    @contextmanager
    def lock(self, holder: str) -> Iterator[None]:
        if self._holder is not None:
            raise Locked(path="memory", holder=self._holder)
        self._holder = holder
        try:
            yield
        finally:
            self._holder = None

    def facts(self, name: str, paths: Sequence[str]) -> Sequence[Facts | None]:
        self.fail("facts")
        nodes = [self.live.get(join(check_name(name), path)) for path in paths]
        return [None if node is None else facts_of(node) for node in nodes]

    def type(self, name: str) -> str:
        if self._in_the_way(check_name(name)) is not None:
            return "other"
        node = self.live.get(name)
        if node is None:
            return "absent"
        return node.type.value if node.type in (EntryType.FILE, EntryType.DIRECTORY) else "other"

    def open(self, name: str, path: str) -> Reader:
        self.fail("open")
        return reader_of(self.live, join(check_name(name), path))

    def secure(self, name: str) -> None:
        check_name(name)
        self.fail("secure")

    def tree(self, name: str) -> Iterator[Entry]:
        for path, node in in_order(below(self.live, check_name(name))):
            if node.type is None or (not path and node.type is EntryType.LINK):
                raise Unpublishable(path=join(name, path), problem="neither a file, a directory nor a link")
            if path:
                check_path(path)
            if node.type is EntryType.FILE:
                digest = hashlib.sha256(node.data).digest()
                yield Entry(path, node.type, node.mode & _PERMISSIONS, len(node.data), digest)
            else:
                yield Entry(path, node.type, node.mode & _PERMISSIONS, target=node.target)

    def files(self) -> Iterator[tuple[str, Facts]]:
        for path, node in sorted(self.live.items()):
            if node.type is EntryType.FILE:
                yield path, facts_of(node)

    def stage(self, token: str) -> MemoryStage:
        self.fail("stage")
        return MemoryStage(self, self._staged.setdefault(check_token(token), {}))

    def staged(self) -> Sequence[str]:
        return sorted(self._staged)

    def discard(self, token: str) -> None:
        self._staged.pop(check_token(token), None)

    def staged_path(self, token: str) -> str:
        return f"/memory/staging/{check_token(token)}"

    def show(self, token: str, name: str, *, keep: str | None) -> None:
        self.fail("show")
        check_name(name)
        tree = self._staged.get(check_token(token), {})
        if not tree:
            raise missing("show", name)
        self._refuse_foreign(name)
        old = below(self.live, name)
        if keep is not None and old:
            self._kept[check_token(keep)] = old
        for path in old:
            del self.live[join(name, path)]
        self._make_parents(name)
        self.live.update({join(name, path): node for path, node in tree.items()})
        del self._staged[token]

    def take(self, name: str, other: Root) -> bool:
        self.fail("take")
        if not isinstance(other, MemoryRoot) or other.device != self.device:
            return False
        moved = below(other.live, check_name(name))
        if not moved:
            raise missing("move", name)
        self._refuse_foreign(name)
        if name in self.live:
            raise ForeignFile(image=name, path=name, found=self.type(name))
        self._make_parents(name)
        self.live.update({join(name, path): node for path, node in moved.items()})
        for path in moved:
            del other.live[join(name, path)]
        return True

    def put_away(self, name: str, *, keep: str | None) -> None:
        self.fail("put_away")
        old = below(self.live, check_name(name))
        if keep is not None and old:
            self._kept[check_token(keep)] = old
        for path in old:
            del self.live[join(name, path)]

    def kept(self) -> Sequence[str]:
        return sorted(self._kept)

    def keeps(self, token: str) -> bool:
        return check_token(token) in self._kept

    def staged_bytes(self, token: str) -> int:
        return self._weigh(self._staged.get(check_token(token), {}))

    def kept_bytes(self, token: str) -> int:
        return self._weigh(self._kept.get(check_token(token), {}))

    def _weigh(self, tree: Tree) -> int:
        nodes = [node for each in (self.live, *self._staged.values(), *self._kept.values()) for node in each.values()]
        once = [node for node in tree.values() if sum(other is node for other in nodes) == 1]
        return sum(len(node.data) - holes(node.data) for node in once)

    def open_kept(self, token: str, path: str) -> Reader:
        return reader_of(self._kept.get(check_token(token), {}), check_path(path) if path else path)

    def drop(self, token: str) -> None:
        self._kept.pop(check_token(token), None)

    def free(self) -> int:
        if self.capacity is None:
            return _ROOMY
        trees = [self.live, *self._staged.values(), *self._kept.values()]
        used = {node.inode: len(node.data) - holes(node.data) for tree in trees for node in tree.values()}
        return max(0, self.capacity - sum(used.values()))

    def free_files(self) -> int | None:
        return self.inodes

    # --- inside

    def make(self, kind: EntryType | None, mode: int) -> Node:
        """A new node that lies nowhere yet."""
        tick = next(self._ticks)
        return Node(kind, mode, inode=tick, mtime=tick)

    def touch(self, node: Node) -> None:
        node.mtime = next(self._ticks)

    def _put(self, path: str, kind: EntryType | None, mode: int) -> Node:
        parts = path.split("/")
        for length in range(1, len(parts)):
            parent = "/".join(parts[:length])
            if parent not in self.live:
                self.live[parent] = self.make(EntryType.DIRECTORY, 0o755)
        self.live[path] = self.make(kind, mode)
        return self.live[path]

    def _make_parents(self, name: str) -> None:
        parts = name.split("/")[:-1]
        for length in range(1, len(parts) + 1):
            parent = "/".join(parts[:length])
            if parent not in self.live:
                self.put_directory(parent)

    def _in_the_way(self, name: str) -> str | None:
        parts = name.split("/")
        parents = ("/".join(parts[:length]) for length in range(1, len(parts)))
        return next((path for path in parents if path in self.live and self.live[path].type is not EntryType.DIRECTORY), None)

    def _refuse_foreign(self, name: str) -> None:
        way = self._in_the_way(name)
        if way is not None or self.type(name) == "other":
            node = self.live[way or name]
            raise ForeignFile(image=name, path=way or name, found="symbolic link" if node.type else "FIFO")


class MemoryStage:
    """:class:`netclnt.protocols.Stage` without a disk; made by :meth:`MemoryRoot.stage`. ``syncs`` counts calls of sync."""

    def __init__(self, root: MemoryRoot, tree: Tree) -> None:
        self._root = root
        self._tree = tree
        self._entries: tuple[Entry, ...] = ()
        self._linked: dict[int, int] = {}
        self._own: set[int] = set()
        self.syncs = 0

    def prepare(self, entries: Sequence[Entry]) -> Sequence[bool]:
        self._root.fail("prepare")
        self._entries = tuple(entries)
        before = dict(self._tree)
        self._tree.clear()
        there = [self._make(entry, before.get(entry.path)) for entry in entries]
        live = {id(node) for node in self._root.live.values()}
        nodes = (self._tree[entry.path] for entry in entries)
        self._linked = {number: node.mtime for number, node in enumerate(nodes) if id(node) in live}
        self._own = {number for number, was_there in enumerate(there) if was_there and number not in self._linked}
        return there

    def _make(self, entry: Entry, before: Node | None) -> bool:
        if before is not None and before.type is entry.type is EntryType.FILE and len(before.data) == entry.size:
            self._tree[entry.path] = before
            return True
        node = self._tree[entry.path] = self._root.make(entry.type, 0o700)
        node.target = entry.target
        node.data[:] = bytes(entry.size)
        return False

    def clone(self, file: int, reader: Reader) -> bool:
        self._root.fail("clone")
        if not isinstance(reader, MemoryReader):
            return False
        size = self._entries[file].size
        self._node(file).data[:] = reader.node.data[:size].ljust(size, b"\0")
        return True

    def write(self, file: int, offset: int, data: Sequence[Bytes]) -> None:
        self._root.fail("write")
        content = b"".join(data)
        node = self._inside(file, offset, len(content))
        free = self._root.free()
        if len(content) > free:
            raise NoSpace(path="memory", needed=len(content), free=free)
        node.data[offset : offset + len(content)] = content
        self._root.touch(node)

    def copy(self, file: int, offset: int, reader: Reader, reader_offset: int, length: int) -> int:
        self._root.fail("copy")
        self._inside(file, offset, length)
        buffer = bytearray(length)
        got = reader.read_into(reader_offset, buffer)
        self.write(file, offset, [buffer[:got]])
        return got

    def link(self, name: str, files: Iterable[tuple[int, Facts]]) -> Sequence[int]:
        self._root.fail("link")
        linked = []
        for file, facts in files:
            entry = self._entries[file]
            node = self._root.live.get(join(check_name(name), entry.path))
            if (
                file not in self._own
                and node is not None
                and (facts_of(node), node.type, node.mode) == (facts, entry.type, entry.mode)
            ):
                self._tree[entry.path] = node
                self._linked[file] = node.mtime
                linked.append(file)
        return linked

    def zero(self, file: int, offset: int, length: int) -> None:
        node = self._inside(file, offset, length)
        node.data[offset : offset + length] = bytes(length)

    def read_into(self, file: int, offset: int, buffer: bytearray | memoryview) -> int:
        return MemoryReader(self._node(file)).read_into(offset, buffer)

    def data_ranges(self, file: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
        data, end = self._node(file).data, offset + length
        for start in range(offset - offset % HOLE, end, HOLE):
            if any(data[start : start + HOLE]):
                begin = max(start, offset)
                yield begin, min(start + HOLE, end) - begin

    def digester(self, file: int, *, hash_seed: int) -> MemoryDigester:
        return MemoryDigester(self._node(file).data, hash_seed=hash_seed, pages=self._root.digester_pages)

    def sync(self) -> None:
        self._root.fail("sync")
        self.syncs += 1

    def seal(self, name: str) -> Sequence[Facts]:
        self._root.fail("seal")
        replaced = self._root.live.get(check_name(name))
        for file, mtime in list(self._linked.items()):
            entry = self._entries[file]
            node = self._node(file)
            if self._root.live.get(join(name, entry.path)) is not node or (node.mtime, node.mode) != (mtime, entry.mode):
                self._check_content(name, entry, self._unshared(file))
        for entry in self._entries:
            self._tree[entry.path].mode = entry.mode & _PERMISSIONS
        if replaced is not None and replaced.type is self._entries[0].type:
            self._tree[""].mode = replaced.mode
        return [facts_of(self._tree[entry.path]) for entry in self._entries]

    def close(self) -> None:
        """Nothing to close."""

    def _node(self, file: int) -> Node:
        node = self._tree.get(self._entries[file].path)
        if node is None:
            raise missing("use", self._entries[file].path)
        return node

    def _unshared(self, file: int) -> Node:
        """The node of a file, a copy of its own if it was linked."""
        node = self._node(file)
        self._own.add(file)
        if self._linked.pop(file, None) is None:
            return node
        own = self._tree[self._entries[file].path] = self._root.make(node.type, node.mode)
        own.data[:] = node.data
        return own

    def _check_content(self, name: str, entry: Entry, node: Node) -> None:
        digest = hashlib.sha256(node.data).digest()
        if digest != entry.sha256:
            raise ContentMismatch(name, entry.path, entry.sha256.hex(), digest.hex())

    def _inside(self, file: int, offset: int, length: int) -> Node:
        size = self._entries[file].size
        if offset < 0 or length < 0 or offset + length > size:
            raise ForbiddenValue(what="range", value=f"{offset}+{length}", rule=f"inside the file's {size} bytes")
        return self._unshared(file)
