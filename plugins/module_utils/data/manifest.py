# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a checkpoint: what it holds, and the proof of every byte of it; and which checkpoints are kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Mapping, Sequence

from ..engine import fs
from . import seal
from .errors import DataError
from .fingerprint import Content, Shape
from .names import Table
from .rights import Right

FORMAT = 1
FILE = "manifest.json"
DUMP = "dump"
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint holds. *lsn* and *snapshot* are the server's own marks of the moment; *files* are the stored, encrypted ones."""

    name: str
    database: str
    at: str
    schemas: list[str]
    server: str
    lsn: str
    snapshot: str
    version: str
    schema_revision: str
    comment: str
    encryption: dict[str, str]
    tables: list[dict[str, Any]]
    sequences: list[dict[str, Any]]
    objects: dict[str, int]
    rights: list[list[Any]]
    left_out: list[int]
    files: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    format: int = FORMAT
    mac: str = ""
    digest: str = field(default="", compare=False)

    @property
    def rows(self) -> int:
        return sum(table["rows"] for table in self.tables)

    @property
    def stored_bytes(self) -> int:
        return sum(file["size"] for file in self.files.values())

    @property
    def taken(self) -> datetime:
        return datetime.strptime(self.at, TIME)

    @property
    def major(self) -> int:
        return int(re.split(r"\D", self.server, maxsplit=1)[0])

    def shapes(self) -> list[Shape]:
        """Return the tables it holds, in the order they were read."""
        return [Shape(Table(t["schema"], t["name"]), t["oid"], tuple(t["columns"])) for t in self.tables]

    def contents(self) -> dict[Table, Content]:
        return {Table(t["schema"], t["name"]): Content(t["rows"], (t["sums"][0], t["sums"][1])) for t in self.tables}

    def positions(self) -> dict[Table, tuple[int, bool]]:
        return {Table(s["schema"], s["name"]): (s["last"], s["called"]) for s in self.sequences}

    def schema_rights(self, schemas: Mapping[str, str]) -> set[Right]:
        """Return who might do what with the schemas themselves, under their other names."""
        rights = [Right(*right) for right in self.rights]
        return {right._replace(name=schemas[right.name]) for right in rights}

    def sealed(self, key: bytes) -> Manifest:
        """Return it with the proof of its own text."""
        mac = seal.authenticate(self._text(), key)
        return Manifest(**{**asdict(self), "mac": mac, "digest": self._digest(mac)})

    def encoded(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode() + b"\n"

    def check_key(self, key: bytes) -> None:
        """Raises DataError when another key authenticated it."""
        if self.mac and seal.authenticate(self._text(), key) != self.mac:
            raise DataError(f"checkpoint {self.name}: the key in key_file is not the one it was made with")

    def whole(self) -> bool:
        """Whether its text is what its digest says."""
        return self.digest == self._digest(self.mac)

    def _digest(self, mac: str) -> str:
        return hashlib.sha256(self._text() + mac.encode()).hexdigest()

    def _text(self) -> bytes:
        body = {name: value for name, value in asdict(self).items() if name not in ("digest", "mac")}
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    def summary(self) -> dict[str, Any]:
        """Return what a module tells of it: names and counts."""
        return {
            "name": self.name, "database": self.database, "at": self.at, "schemas": self.schemas, "server": self.server, "lsn": self.lsn,
            "snapshot": self.snapshot, "version": self.version, "schema_revision": self.schema_revision, "comment": self.comment,
            "encryption": self.encryption["method"], "tables": len(self.tables), "rows": self.rows, "bytes": self.stored_bytes,
            "files": len(self.files), "digest": self.digest,
        }  # fmt: skip


def check_name(name: str) -> str:
    """Return *name* if it can be a checkpoint's. Raises DataError."""
    if not _NAME.fullmatch(name):
        raise DataError(
            f"checkpoint {name!r}: a name is 1 to 100 letters, digits, dots, dashes or underscores, the first a letter or digit"
        )
    return name


def decode(data: bytes, place: str) -> Manifest:
    """Return the manifest in *data*; every bit of it is covered by its digest. Raises DataError."""
    try:
        found = Manifest(**json.loads(data))
    except (ValueError, TypeError):
        raise DataError(f"{place} is not a manifest, or was altered: {_ADVICE}") from None
    if found.format != FORMAT:
        raise DataError(f"{place} has format {found.format}, this collection knows {FORMAT}: use the newer collection")
    if not found.whole():
        raise DataError(f"{place} was altered: it does not match its own digest. {_ADVICE}")
    return found


_ADVICE = "Nothing was changed. Use another checkpoint, or the copy of this one in s3"


def read(folder: Path) -> Manifest:
    """Read the manifest of the checkpoint in *folder*. Raises DataError."""
    path = folder / FILE
    try:
        return decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise DataError(f"{path} is missing: {folder} is no whole checkpoint. {_ADVICE}") from None


def describe_files(folder: Path, names: Sequence[str], key: bytes, jobs: int) -> dict[str, dict[str, Any]]:
    """Read every byte of the files *names* below *folder* and describe them."""
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        return dict(zip(names, pool.map(lambda name: seal.describe(folder / name, name, key), names)))


def stored(folder: Path) -> list[str]:
    """Return the files of the dump below *folder*, by their names from there."""
    return sorted(path.relative_to(folder).as_posix() for path in (folder / DUMP).glob("*"))


def make_durable(folder: Path, jobs: int) -> None:
    """Flush a checkpoint's files and the folders they are named in, and nothing else of a disk that others use too."""
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        list(pool.map(_flush, [path for path in folder.rglob("*") if path.is_file()]))
    fs.fsync_dir(folder / DUMP)
    fs.fsync_dir(folder)


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def size_faults(folder: Path, manifest: Manifest) -> list[str]:
    """Say where files are missing, too many or of another size: quick, and no proof."""
    found = stored(folder)
    faults = [f"{name} is missing" for name in manifest.files if name not in found]
    faults += [f"{name} is not part of it" for name in found if name not in manifest.files]
    for name in found:
        size = (folder / name).stat().st_size
        if name in manifest.files and size != manifest.files[name]["size"]:
            faults.append(f"{name} has {size} bytes instead of {manifest.files[name]['size']}")
    return faults


def faults(folder: Path, manifest: Manifest, key: bytes, jobs: int) -> list[str]:
    """Read every byte and say which files are not what was written."""
    wrong = size_faults(folder, manifest)
    if wrong:
        return wrong
    found = describe_files(folder, list(manifest.files), key, jobs)
    for name, file in manifest.files.items():
        if found[name]["sha256"] != file["sha256"]:
            wrong.append(f"{name} was altered: its sha256 is another one")
        elif key and found[name]["mac"] != file.get("mac"):
            wrong.append(f"{name} was altered together with the manifest: its authentication is another one")
    return wrong


def folder_of(root: Path, database: str) -> Path:
    return root / database


def names_in(folder: Path) -> list[str]:
    """Return the names of the checkpoints in a database's folder."""
    found = [path.parent.name for path in folder.glob(f"*/{FILE}")] if folder.is_dir() else []
    return sorted(name for name in found if _NAME.fullmatch(name))


def write(folder: Path, manifest: Manifest) -> None:
    fs.write_new(folder / FILE, manifest.encoded(), 0o600)


@dataclass(frozen=True)
class Kept:
    """A checkpoint as retention sees it."""

    name: str
    taken: datetime
    protected: bool = False


def to_prune(found: Sequence[Kept], keep: int, keep_days: float, now: datetime) -> list[str]:
    """Return the names that may go, the oldest first.

    One stays while it is among the newest *keep* or younger than *keep_days*; zero switches either off, both zero keep all. The newest one
    and protected ones always stay; protected ones do not count.
    """
    if keep <= 0 and keep_days <= 0:
        return []
    newest_first = sorted(
        (one for one in found if not one.protected), key=lambda one: (one.taken, one.name), reverse=True
    )
    beyond = newest_first[max(keep, 1) :]
    old = [one for one in beyond if keep_days <= 0 or one.taken < now - timedelta(days=keep_days)]
    return [one.name for one in reversed(old)]
