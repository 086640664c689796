# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a program converts when a newer version of it starts: kept as the older one left them, and put back with it.

A copy is made and put back while the service is stopped. It is there whole or not at all, and belongs to the release that
wrote the files last; that release's own stay is what it has in place, so its copy goes when it leaves again.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Sequence

from . import fs
from .errors import EngineError

INDEX = "index.json"


class State:
    """The copies of one component, in ``<root>/<release>/``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, release: str) -> Path:
        return self.root / release

    def has(self, release: str) -> bool:
        return (self.path(release) / INDEX).is_file()

    def drop(self, release: str) -> None:
        fs.remove_tree(self.path(release))

    def need_room(self, files: Sequence[str]) -> None:
        """Raise EngineError when a copy of *files* has no room."""
        present = _present(files)
        needed = sum(os.path.getsize(name) for name in present)
        if fs.free_bytes(self.root) < needed:
            raise EngineError(
                f"no space to keep {', '.join(present)} for a way back: {needed / 1e6:.0f} MB are needed below {self.root}; "
                "free some space, then run the same command again"
            )

    def keep(self, release: str, files: Sequence[str]) -> None:
        """Copy *files*, those that exist, as *release* leaves them."""
        fs.make_dir(self.root, 0o700)
        fs.remove_litter(self.root)
        present = _present(files)
        temp = fs.temp_beside(self.path(release))
        temp.mkdir(mode=0o700)
        for number, name in enumerate(present):
            shutil.copyfile(name, temp / str(number))
        fs.write_new(temp / INDEX, json.dumps(present).encode(), 0o600)
        fs.sync_file_system(temp)
        os.rename(temp, self.path(release))
        fs.fsync_dir(self.root)

    def restore(self, release: str, files: Sequence[str]) -> list[str]:
        """Put back what *release* left of *files*, each with the owner and the mode of the one it replaces; return their names.

        What it had not goes first: a database would take a journal of the newer version for one of its own.
        """
        folder = self.path(release)
        names: list[str] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        for name in files:
            if name not in names:
                fs.unlink_durable(Path(name))
        for number, name in enumerate(names):
            _put(folder / str(number), Path(name))
        return names


def _present(files: Sequence[str]) -> list[str]:
    """Links are left out: the folder belongs to the service, and what it points at may not."""
    return [name for name in files if Path(name).is_file() and not Path(name).is_symlink()]


def _put(copy: Path, place: Path) -> None:
    there = os.path.lexists(place)
    # systemd gives a service without a fixed user its folder behind a link.
    about = place.lstat() if there else place.parent.stat()
    temp = fs.temp_beside(place)
    # Nothing is followed: the folder belongs to the service, the copy to root.
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as out, copy.open("rb") as stream:
            shutil.copyfileobj(stream, out, fs.CHUNK)
            os.fchown(out.fileno(), about.st_uid, about.st_gid)
            os.fchmod(out.fileno(), about.st_mode & 0o666 if there else 0o600)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temp, place)
    except BaseException:  # a signal too must leave no litter; it is raised again
        temp.unlink(missing_ok=True)
        raise
    fs.fsync_dir(place.parent)
