# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file-system effect of the engine: old or new, never between.

The order is always unique temp, fsync of the file, rename, fsync of the directory. What is found done already is made
durable as well: the process that did it may have been killed before it could.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import stat
import uuid
from pathlib import Path

CHUNK = 1 << 20
# What services read must be readable for them, however strict the umask is that root logs in with.
UMASK = 0o022


def fsync_dir(path: Path) -> None:
    """Make the names inside *path* durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_dir(path: Path, mode: int = 0o755) -> None:
    """Create *path* and its parents durably; an existing directory keeps its mode."""
    if path.is_dir():
        fsync_dir(path.parent)
        return
    make_dir(path.parent)
    umask = os.umask(0)  # a chmod behind it could be lost: the directory would keep a mode that nobody asked for
    try:
        path.mkdir(mode)
    except FileExistsError:
        pass
    finally:
        os.umask(umask)
    fsync_dir(path.parent)


def temp_beside(path: Path) -> Path:
    """Return an unused name in the directory of *path*, so that a rename stays on one file system."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def remove_temps(path: Path) -> None:
    """Remove what killed writers of *path* left beside it; the caller is its only writer now."""
    for temp in path.parent.glob(f".{path.name}.*.tmp"):
        temp.unlink()


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace *path* by *data*; after a crash the old or the new content stands there."""
    temp = temp_beside(path)
    try:
        write_new(temp, data, mode)
        os.replace(temp, path)
    except BaseException:  # a signal too must leave no litter; it is raised again
        temp.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def write_if_changed(path: Path, data: bytes, mode: int = 0o644) -> bool:
    """Bring *data* to *path* durably; say whether something else stood there."""
    if path.is_file() and path.read_bytes() == data:
        fsync_dir(path.parent)
        return False
    write_atomic(path, data, mode)
    return True


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of *data* at *offset*; the kernel may take it in parts, the last of them an error on a full disk."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Create *path*, which must not exist, with *data* made durable."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), mode)
        stream.flush()
        os.fsync(stream.fileno())


def symlink_atomic(target: str, path: Path) -> None:
    """Point the symlink *path* at *target* in one step."""
    temp = temp_beside(path)
    try:
        os.symlink(target, temp)
        os.replace(temp, path)
    except BaseException:  # a signal too must leave no litter; it is raised again
        temp.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def unlink_durable(path: Path) -> None:
    """Remove the file or link *path* if it is there."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        fsync_dir(path.parent)


def sync_file_system(path: Path) -> None:
    """Flush everything written to the file system of *path*: one call instead of an fsync per file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(path))
    finally:
        os.close(fd)


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(CHUNK)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)


def tree_manifest(root: Path, skip: frozenset[str] = frozenset()) -> dict[str, str]:
    """Describe every file and link below *root*.

    Returns relative path to ``<octal mode> <sha256>`` for a file and ``-> <target>`` for a link.
    Names in *skip* are left out at the top level. The byte code of a virtual environment is left out: it is
    written later, by whoever runs it.
    """
    found: dict[str, str] = {}
    for folder, dirs, files in os.walk(root):
        at_top = Path(folder) == root
        in_venv = Path(folder).relative_to(root).parts[:1] == ("venv",)
        dirs[:] = sorted(d for d in dirs if not (in_venv and d == "__pycache__") and not (at_top and d in skip))
        for name in sorted(files) + [d for d in dirs if os.path.islink(os.path.join(folder, d))]:
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if at_top and name in skip:
                continue
            info = path.lstat()
            if stat.S_ISLNK(info.st_mode):
                found[relative] = f"-> {os.readlink(path)}"
            else:
                found[relative] = f"{stat.S_IMODE(info.st_mode):04o} {sha256_file(path)}"
    return found


def manifest_faults(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Say, a line each, where *found* differs from *expected*."""
    faults = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    faults += [f"{name} is not part of it" for name in sorted(found.keys() - expected.keys())]
    faults += [
        f"{name} was changed" for name in sorted(expected.keys() & found.keys()) if expected[name] != found[name]
    ]
    return faults


def remove_tree(path: Path) -> None:
    """Remove the directory *path* so that a crash leaves either all of it under its name or nothing."""
    doomed = temp_beside(path)
    if path.is_dir():
        os.rename(path, doomed)
    if path.parent.is_dir():
        fsync_dir(path.parent)
    if doomed.is_dir():
        shutil.rmtree(doomed)


def remove_litter(folder: Path) -> None:
    """Remove the hidden entries of *folder*: what was being written, or removed, when its writer was killed."""
    litter = list(folder.glob(".*")) if folder.is_dir() else []
    if litter:
        fsync_dir(folder)  # or a crash could bring back the name that half of it had before
    for path in litter:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def free_bytes(path: Path) -> int:
    """Return the bytes an ordinary process may still write to the file system of *path*."""
    while not path.exists():
        path = path.parent
    info = os.statvfs(path)
    return info.f_bavail * info.f_frsize


def reason(exc: OSError, path: Path) -> str:
    """Say why the system refused a write at *path*, and how full the disk is where that is the reason."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{exc.strerror} ({free_bytes(path)} bytes are free there)"
    return exc.strerror or str(exc)
