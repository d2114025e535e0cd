"""The in-memory twin of the master's store. Its ``files`` can be handed to the in-memory Source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from netclnt.errors import Damaged, Locked, SourceMissing
from netclnt.model import Bytes
from netclnt.pack import encode_header, pack_path


class MemoryStore:
    """A Store whose files are a dictionary: path to content."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._holder: str | None = None
        self._packs = 0

    @contextmanager
    def lock(self, holder: str) -> Iterator[None]:
        if self._holder is not None:
            raise Locked(path="memory", holder=self._holder)
        self._holder = holder
        try:
            yield
        finally:
            self._holder = None

    def new_pack(self) -> MemoryPackWriter:
        self._packs += 1
        return MemoryPackWriter(self.files, self._packs)

    def put(self, path: str, data: Iterable[Bytes]) -> None:
        self.files[path] = b"".join(data)

    def read(self, path: str, offset: int, length: int) -> bytes:
        if path not in self.files:
            raise SourceMissing(path=path, cause="no such file")
        data = self.files[path][offset : offset + length]
        if len(data) != length:
            raise Damaged(what="file", where=path, problem=f"it ends at byte {offset + len(data)}")
        return data

    def size(self, path: str) -> int | None:
        data = self.files.get(path)
        return None if data is None else len(data)

    def content(self) -> Iterator[tuple[str, int]]:
        for path, data in list(self.files.items()):
            if path.startswith(("packs/", "manifests/")):
                yield path, len(data)

    def remove(self, path: str) -> None:
        self.files.pop(path, None)

    def secure(self, path: str) -> None:
        """Nothing to do, as for :meth:`sync`."""

    def sync(self) -> None:
        """Nothing to do: memory is as durable as it gets."""


class MemoryPackWriter:
    """A PackWriter into the twin's files; there once it is closed."""

    def __init__(self, files: dict[str, bytes], pack: int) -> None:
        self.pack = pack
        self._files = files
        self._content = bytearray()
        self.append(encode_header(pack))

    @property
    def size(self) -> int:
        return len(self._content)

    def append(self, stored: Bytes) -> None:
        self._content += stored

    def close(self) -> None:
        self._files[pack_path(self.pack)] = bytes(self._content)
