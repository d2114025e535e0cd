"""Putting a staged image at its place: a file by rename, anything else by exchanging two names in one step.

A live name never vanishes meanwhile, with one exception: on a file system that knows no exchange (NFS, some FUSE), a tree is
replaced by two renames, and between them its name is gone for a moment. And taking an image away from its place, or over to that
in another root: by one rename, too.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from netclnt.errors import ForeignFile
from netclnt.files.confine import describe, kind_at, open_beneath, split
from netclnt.files.failures import reported
from netclnt.files.preparing import ready_name
from netclnt.files.removal import remove
from netclnt.files.sealing import set_label
from netclnt.files.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2
from netclnt.files.workarea import IMAGE, KEPT, STAGING, WorkArea, make_directory

_OLD = "old"
_UNKNOWN_RENAME = (errno.EINVAL, errno.ENOSYS)
_CANNOT_MOVE = (errno.EXDEV, errno.EROFS, errno.EACCES, errno.EPERM)
"""Among them: another mount of the same file system."""
_NO_LINK = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def show(area: WorkArea, token: str, name: str, *, keep: str | None) -> None:
    """What ``Root.show`` promises; the staging area is gone afterwards."""
    with reported("show", area.describe(name)), _opened(area.need_work(), STAGING) as staging:
        with _opened(staging, token) as stage, _place(area, name) as (parent, last):
            with _movable(stage, IMAGE), _movable(parent, last):
                _put(area, stage, parent, last, name, keep)
            os.fsync(stage)
        remove(staging, token)
        os.fsync(staging)


def take(area: WorkArea, name: str, origin: WorkArea) -> bool:
    """What ``Root.take`` promises."""
    if area.device != origin.device:
        return False
    with reported("move", area.describe(name)), _place(area, name) as (parent, last):
        directory, old = split(name)
        with _opened(origin.root, directory) as source, _movable(source, old):
            try:
                _rename_new(source, old, parent, last)
            except FileExistsError:
                raise _foreign(area, parent, last, name) from None
            except OSError as error:
                if error.errno in _CANNOT_MOVE:
                    return False
                raise
            os.fsync(parent)
            os.fsync(source)
    return True


def put_away(area: WorkArea, name: str, *, keep: str | None) -> None:
    """What ``Root.put_away`` promises. What goes is out of sight at once, whatever it is, and then removed."""
    directory, last = split(name)
    with reported("remove", area.describe(name)):
        try:
            with _opened(area.root, directory) as parent:
                if kind_at(parent, last) != "absent":
                    _put_away(area, parent, last, keep)
        except FileNotFoundError:
            return


def _put_away(area: WorkArea, parent: int, last: str, keep: str | None) -> None:
    if keep is not None:
        with _kept(area, keep) as kept, _movable(parent, last):
            os.rename(last, IMAGE, src_dir_fd=parent, dst_dir_fd=kept)
        os.fsync(parent)
        return
    token = secrets.token_hex(16)
    with _opened(area.need_work(), STAGING) as staging:
        make_directory(staging, token)
        with _opened(staging, token) as stage, _movable(parent, last):
            os.rename(last, _OLD, src_dir_fd=parent, dst_dir_fd=stage)
        os.fsync(parent)
        remove(staging, token)
        os.fsync(staging)


def _put(area: WorkArea, stage: int, parent: int, last: str, name: str, keep: str | None) -> None:
    lies = kind_at(parent, last)
    if lies == "absent":
        _put_new(area, stage, parent, last, name)
    elif lies == "other":
        raise _foreign(area, parent, last, name)
    elif lies == "file" == kind_at(stage, IMAGE) and (keep is None or _keep_file(area, parent, last, keep)):
        os.rename(IMAGE, last, src_dir_fd=stage, dst_dir_fd=parent)
    else:
        ready = ready_name(stage)
        os.rename(IMAGE, ready, src_dir_fd=stage, dst_dir_fd=stage)
        old = _exchange(stage, ready, parent, last)
        os.fsync(parent)
        if keep is not None:
            with _kept(area, keep) as kept:
                os.rename(old, IMAGE, src_dir_fd=stage, dst_dir_fd=kept)
        return
    os.fsync(parent)


def _put_new(area: WorkArea, stage: int, parent: int, last: str, name: str) -> None:
    try:
        _rename_new(stage, IMAGE, parent, last)
    except FileExistsError:
        raise _foreign(area, parent, last, name) from None


def _rename_new(source: int, name: str, target: int, last: str) -> None:
    """Raises FileExistsError where something lies there, as far as the file system can tell that in the same step."""
    try:
        renameat2(source, name, target, last, RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in _UNKNOWN_RENAME:
            raise
        if kind_at(target, last) != "absent":
            raise FileExistsError from None
        os.rename(name, last, src_dir_fd=source, dst_dir_fd=target)


def _exchange(stage: int, ready: str, parent: int, last: str) -> str:
    """Exchange the two; returns the name in ``stage`` under which the old one lies then."""
    try:
        renameat2(stage, ready, parent, last, RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in _UNKNOWN_RENAME:
            raise
    else:
        return ready
    os.rename(last, _OLD, src_dir_fd=parent, dst_dir_fd=stage)
    try:
        os.rename(ready, last, src_dir_fd=stage, dst_dir_fd=parent)
    except OSError:
        os.rename(_OLD, last, src_dir_fd=stage, dst_dir_fd=parent)
        raise
    return _OLD


def _keep_file(area: WorkArea, parent: int, last: str, keep: str) -> bool:
    """Keep a live file by a second name for it; False where the file system, or a rule of the kernel, forbids links."""
    try:
        with _kept(area, keep) as kept:
            os.link(last, IMAGE, src_dir_fd=parent, dst_dir_fd=kept, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


@contextmanager
def _kept(area: WorkArea, keep: str) -> Iterator[int]:
    """An empty directory for what is to be kept. It lies in staging, and becomes the kept version's at the end, durable: so one
    that was interrupted is never taken for a kept version."""
    token = secrets.token_hex(16)
    with _opened(area.need_work(), STAGING) as staging, _opened(area.need_work(), KEPT) as all_kept:
        remove(all_kept, keep)
        make_directory(staging, token)
        try:
            with _opened(staging, token) as kept:
                yield kept
                os.fsync(kept)
            os.rename(token, keep, src_dir_fd=staging, dst_dir_fd=all_kept)
        except BaseException:
            with suppress(OSError):  # unless something lies in it: then the next run takes it away, as any of staging
                os.rmdir(token, dir_fd=staging)
            raise
        os.fsync(all_kept)


@contextmanager
def _movable(directory: int, name: str) -> Iterator[None]:
    """A directory that moves gets another ``..``, so an ordinary user must be able to write to it: meanwhile its owner may."""
    if os.geteuid() == 0 or kind_at(directory, name) != "directory":
        yield
        return
    with _opened(directory, name) as moved:
        mode = stat.S_IMODE(os.fstat(moved).st_mode)
        if mode & stat.S_IWUSR:
            yield
            return
        os.fchmod(moved, mode | stat.S_IWUSR)
        try:
            yield
        finally:
            os.fchmod(moved, mode)
            os.fsync(moved)


@contextmanager
def _opened(directory: int, name: str) -> Iterator[int]:
    opened = open_beneath(directory, name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield opened
    finally:
        os.close(opened)


@contextmanager
def _place(area: WorkArea, name: str) -> Iterator[tuple[int, str]]:
    """The directory that an image belongs in, made with its parents if missing, and the image's name in it."""
    path, last = split(name)
    current = open_beneath(area.root, "", os.O_RDONLY | os.O_DIRECTORY)
    try:
        done: list[str] = []
        for part in path.split("/") if path else []:
            done.append(part)
            below = _step(area, current, part, "/".join(done), name)
            os.close(current)
            current = below
        yield current, last
    finally:
        os.close(current)


def _step(area: WorkArea, directory: int, part: str, path: str, name: str) -> int:
    lies = kind_at(directory, part)
    if lies not in ("absent", "directory"):
        raise _foreign(area, directory, part, name, path)
    made = make_directory(directory, part, 0o755)
    opened = open_beneath(directory, part, os.O_RDONLY | os.O_DIRECTORY)
    owner, group = area.ownership.owner, area.ownership.group
    if made and (owner, group) != (None, None):
        os.fchown(opened, -1 if owner is None else owner, -1 if group is None else group)
    if made and area.ownership.label:
        set_label(opened, area.ownership.label)
    return opened


def _foreign(area: WorkArea, directory: int, last: str, name: str, path: str = "") -> ForeignFile:
    mode = os.stat(last, dir_fd=directory, follow_symlinks=False).st_mode
    return ForeignFile(image=name, path=area.describe(path or name), found=describe(mode))
