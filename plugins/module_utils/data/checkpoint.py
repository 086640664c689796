# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named, verified copies of schemas: PostgreSQL's own dump, with the proof of what is in it.

    <folder>/<database>/<name>/manifest.json     what it holds and the digest of every byte
    <folder>/<database>/<name>/dump/             pg_dump's directory format, each file encrypted when told
    <folder>/<database>/<name>/protected         there while retention must not take it

A checkpoint is made under a hidden name beside its place and renamed when it is whole and durable: it is there or it is not.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Sequence

from ..engine import fs
from . import dependencies, erasure, fingerprint, home, leftovers, manifest, rights
from .book import Book
from .errors import DataError
from .manifest import Manifest
from .names import Table
from .offsite import Offsite
from .runs import Stamp
from .seal import Seal
from .session import Session
from .tools import Tools, listing, pattern, server_version

FOLDER = Path("/var/lib/plano/checkpoints")
PROTECTED = "protected"
# pg_dump writes rows as text: compressed they take less than half of the table, uncompressed up to half as much again.
SHARE, SHARE_PLAIN = 0.5, 1.5


def nowhere(_step: str) -> None:
    """What is called before each step by default."""


@dataclass(frozen=True)
class Place:
    """Where checkpoints of one database are kept, and with which key."""

    root: Path
    database: str
    seal: Seal = field(default_factory=Seal)
    offsite: Offsite | None = None
    jobs: int = 1

    @property
    def folder(self) -> Path:
        return manifest.folder_of(self.root, self.database)

    def of(self, name: str) -> Path:
        return self.folder / manifest.check_name(name)

    def names(self) -> list[str]:
        return manifest.names_in(self.folder)

    def find(self, name: str) -> Manifest | None:
        """Return the manifest of a checkpoint on this host, None without one. Raises DataError for one that is not whole."""
        folder = self.of(name)
        if not folder.is_dir():
            return None
        found = manifest.read(folder)
        if (found.name, found.database) != (name, self.database):
            raise DataError(
                f"{folder} holds the checkpoint {found.name} of {found.database}: it was put there by hand. Nothing was changed; move it away"
            )
        return found

    def protected(self, name: str) -> bool:
        return (self.of(name) / PROTECTED).exists()

    def need(self, name: str, check: bool = False) -> Manifest:
        """Return the manifest of *name*; when only the copy in s3 is left, that is fetched, but for a *check*. Raises DataError."""
        found = self.find(name)
        if found is None and self.offsite is not None and self.offsite.has(name):
            if check:
                return self.offsite.manifest(name)
            self.make()
            self.offsite.download(name, self.folder, self.jobs)
            found = self.find(name)
        if found is None:
            known = ", ".join(self.names()) or "none"
            raise DataError(f"there is no checkpoint {name} of {self.database} in {self.folder} (there: {known})")
        return found

    def standing(self, name: str) -> dict[str, Any] | None:
        """Return what the ledger tells of a checkpoint that is there, None when it is not."""
        try:
            found = self.find(name)
        except DataError:
            return None
        if found is None:
            return None
        return {
            "seconds": found.seconds["total"],
            "bytes": found.stored_bytes,
            "verified": True,
            "digest": found.digest,
        }

    def prove(self, found: Manifest) -> None:
        """Check the key, then every byte of the checkpoint. Raises DataError."""
        key = self.key_of(found)
        found.check_key(key)
        wrong = manifest.faults(self.of(found.name), found, key, self.jobs)
        if wrong:
            raise DataError(
                f"checkpoint {found.name} in {self.of(found.name)} is damaged: {'; '.join(wrong[:5])}{' ...' if len(wrong) > 5 else ''}."
                " Nothing was changed. Use another checkpoint, or the copy of this one in s3"
            )

    def key_of(self, found: Manifest) -> bytes:
        """Return what authenticates its files, with the seal's key file. Raises DataError."""
        seal = self.seal_of(found)
        seal.check_readable()
        return seal.mac_key()

    def seal_of(self, found: Manifest) -> Seal:
        """Return how to decrypt a checkpoint: as it was made, with the key file at hand."""
        return Seal(found.encryption["method"], self.seal.key_file)

    def make(self) -> None:
        """Make the folder; only its owner may look into it."""
        fs.make_dir(self.root, 0o700)
        fs.make_dir(self.folder, 0o700)

    def prepare(self) -> None:
        """Make the folder, and remove what a killed process left in it; the caller holds the book."""
        self.make()
        fs.remove_litter(self.folder)


@dataclass(frozen=True)
class Order:
    """What a checkpoint shall be."""

    name: str
    schemas: tuple[str, ...] = ("public",)
    compress: int = -1
    comment: str = ""
    keep: int = 0
    keep_days: float = 0.0
    protect: bool = False


def present(
    session: Session,
    place: Place,
    order: Order,
    book: Book,
    stamp: Stamp,
    check: bool = False,
    at: Callable[[str], None] = nowhere,
) -> dict[str, Any]:
    """Make the checkpoint unless it is there; return what a module tells of it. Raises DataError; then nothing of it is left."""
    found = place.find(order.name)
    if found is not None:
        return _there(session, place, order, found, book, stamp, check)
    plan = _plan(session, place, order)
    if check:
        return {"changed": True, "plan": plan, "pruned": _prunable(place, order)}
    leftovers.settle(session, book, stamp, place.standing)
    with book.change(order.name, "checkpoint", stamp.change) as page:
        page.write("begun")
        try:
            with session.alone("checkpoints"):
                home.ensure(session)
                leftovers.remove_if_idle(session)
                place.prepare()
                erasure.keep(session, place.folder)
                began = time.monotonic()
                made = _make(session, place, order, stamp, at)
                seconds = round(time.monotonic() - began, 3)
                _finish(session, place, order, made, at)
                pruned = prune(session, place, order)
        except Exception as error:
            page.write("failed", reason=str(error))
            raise
        page.write(
            "confirmed",
            seconds=seconds,
            bytes=made.stored_bytes,
            verified=True,
            digest=made.digest,
            pruned=pruned or None,
        )
    return {
        "changed": True,
        "checkpoint": {**made.summary(), "protected": order.protect},
        "seconds": made.seconds,
        "pruned": pruned,
    }


def absent(session: Session, place: Place, name: str, book: Book, stamp: Stamp, check: bool = False) -> dict[str, Any]:
    """Remove a checkpoint here, in the database and, when told, in s3. A protected one is refused."""
    here, there = place.of(name).is_dir(), place.offsite is not None and place.offsite.has(name)
    if here and place.protected(name):
        raise DataError(
            f"checkpoint {name} is protected: nothing was removed. Take the protection away first (state unprotected)"
        )
    known = _recorded(session, name)
    changed = here or there or known
    if changed and not check:
        with book.change(name, "remove", stamp.change):
            remove(session, place, name)
    return {"changed": changed}


def remove(session: Session, place: Place, name: str) -> None:
    """Remove whatever there is of a checkpoint, the copy in s3 first: what is named here is whole as long as it is named."""
    if place.offsite is not None:
        place.offsite.remove(name)
    fs.remove_tree(place.of(name))
    if _table(session):
        session.execute("DELETE FROM plano_delivery.checkpoint WHERE name = %s", [name])


def protect(session: Session, place: Place, name: str, wanted: bool, check: bool = False) -> dict[str, Any]:
    """Protect a checkpoint from retention and removal, or no longer."""
    found = place.need(name, check)
    changed = place.protected(name) is not wanted
    if changed and not check:
        _mark(place, name, wanted)
        home.ensure(session)
        _record(session, place, found, wanted)
    return {"changed": changed, "checkpoint": {**found.summary(), "protected": wanted}}


def verify(place: Place, name: str, book: Book, stamp: Stamp, check: bool = False) -> dict[str, Any]:
    """Read every byte of a checkpoint and write down what came of it. Raises DataError for a damaged one."""
    found = place.need(name, check)
    if check:
        if place.of(name).is_dir():
            place.prove(found)
        return {"changed": False, "checkpoint": found.summary()}
    with book.change(name, "verify", stamp.change) as page:
        try:
            place.prove(found)
        except DataError as error:
            page.write("damaged", reason=str(error))
            raise
        page.write("verified")
    return {"changed": False, "checkpoint": {**found.summary(), "protected": place.protected(name)}}


def info(place: Place) -> list[dict[str, Any]]:
    """Return what there is, the oldest first; one that is not whole says so instead of hiding."""
    told = []
    for name in place.names():
        try:
            found = manifest.read(place.of(name))
            wrong = manifest.size_faults(place.of(name), found)
            told.append({**found.summary(), "protected": place.protected(name), "faults": wrong})
        except DataError as error:
            told.append(
                {
                    "name": name,
                    "database": place.database,
                    "at": "",
                    "protected": place.protected(name),
                    "faults": [str(error)],
                }
            )
    return sorted(told, key=lambda one: (one["at"], one["name"]))


def prune(session: Session, place: Place, order: Order) -> list[str]:
    """Remove what retention no longer keeps, and return the names."""
    names = _prunable(place, order)
    for name in names:
        remove(session, place, name)
    return names


def _prunable(place: Place, order: Order) -> list[str]:
    kept = []
    for name in place.names():
        try:
            kept.append(manifest.Kept(name, manifest.read(place.of(name)).taken, place.protected(name)))
        except DataError:
            continue  # what cannot be read is left for a human
    return manifest.to_prune(kept, order.keep, order.keep_days, datetime.now(timezone.utc).replace(tzinfo=None))


def _there(
    session: Session, place: Place, order: Order, found: Manifest, book: Book, stamp: Stamp, check: bool
) -> dict[str, Any]:
    """Answer for a checkpoint that is there already; what a killed run left to be done after the rename is done now."""
    if sorted(found.schemas) != sorted(order.schemas):
        raise DataError(
            f"checkpoint {order.name} is there already, of the schemas {', '.join(found.schemas)}: give this one another name"
        )
    wrong = manifest.size_faults(place.of(order.name), found)
    if wrong:
        raise DataError(
            f"checkpoint {order.name} is there already, and damaged: {'; '.join(wrong[:5])}. Remove it (state absent) or give this one another name"
        )
    written = any(
        entry.get("operation") == "checkpoint" and entry["release"] == order.name and entry["state"] == "confirmed"
        for entry in book.entries()
    )
    recorded = _recorded(session, order.name)
    copied = place.offsite is None or place.offsite.has(order.name)
    protect_now = order.protect and not place.protected(order.name)
    changed = not (written and recorded and copied) or protect_now
    if changed and not check:
        with book.change(order.name, "checkpoint", stamp.change) as page:
            home.ensure(session)
            _finish(session, place, order, found, nowhere)
            if not written:
                page.write("confirmed", **(place.standing(order.name) or {}))
    return {
        "changed": changed,
        "checkpoint": {**found.summary(), "protected": order.protect or place.protected(order.name)},
        "seconds": found.seconds,
        "pruned": [],
    }


def _plan(session: Session, place: Place, order: Order) -> dict[str, Any]:
    """Look before anything is done. Raises DataError where it could not be done."""
    if not order.schemas:
        raise DataError(f"checkpoint {order.name}: name at least one schema")
    if home.SCHEMA in order.schemas:
        raise DataError(
            f"checkpoint {order.name}: {home.SCHEMA} is this collection's own and stays where it is; leave it out"
        )
    known = {
        row[0]
        for row in session.rows("SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)", [list(order.schemas)])
    }
    missing = [schema for schema in order.schemas if schema not in known]
    if missing:
        raise DataError(f"{session.login.place} has no schema {', '.join(missing)}: nothing was done")
    tied = dependencies.needs(session, order.schemas)
    if tied:
        raise DataError(
            f"a copy of {', '.join(order.schemas)} could not be restored alone: {'; '.join(tied[:10])}."
            " Take the other schema into the checkpoint too"
        )
    found = fingerprint.shapes(session, order.schemas)
    size = sum(shape.bytes for shape in found)
    estimate = int(size * (SHARE_PLAIN if order.compress == 0 else SHARE))
    free = fs.free_bytes(place.folder)
    if estimate > free:
        raise DataError(
            f"{place.folder} has {free} bytes free and the checkpoint may take {estimate}: nothing was done. Free some space, or choose another folder"
        )
    Tools.of(session)
    return {
        "name": order.name, "schemas": list(order.schemas), "tables": len(found), "bytes_in_database": size, "bytes_estimated": estimate,
        "bytes_free": free, "folder": str(place.of(order.name)), "encryption": place.seal.method,
    }  # fmt: skip


def _make(session: Session, place: Place, order: Order, stamp: Stamp, at: Callable[[str], None]) -> Manifest:
    """Bring the checkpoint to its place, whole."""
    final = place.of(order.name)
    temp = final.with_name(f".{order.name}.{uuid.uuid4().hex}.tmp")
    umask = os.umask(0o077)
    try:
        temp.mkdir(0o700)
        made = _fill(session, place, order, stamp, temp, at)
        at("rename")
        manifest.make_durable(temp, place.jobs)
        os.rename(temp, final)
        fs.fsync_dir(final.parent)
        return made
    except OSError as error:
        raise DataError(
            f"checkpoint {order.name} in {place.folder}: {fs.reason(error, place.folder)}. Nothing of it was kept"
        ) from error
    finally:
        os.umask(umask)
        if temp.exists():
            fs.remove_tree(temp)


def _fill(
    session: Session, place: Place, order: Order, stamp: Stamp, temp: Path, at: Callable[[str], None]
) -> Manifest:
    tools = Tools.of(session)
    seconds: dict[str, float] = {}
    began = time.monotonic()
    moment = datetime.now(timezone.utc).strftime(manifest.TIME)
    at("snapshot")
    with fingerprint.snapshot(session) as name:
        lsn, seen = session.rows("SELECT pg_current_wal_lsn()::text, pg_current_snapshot()::text")[0]
        shapes = fingerprint.shapes(session, order.schemas)
        counts = fingerprint.objects(session, order.schemas)
        granted = sorted(rights.of_schemas(session, order.schemas))
        revision = fingerprint.schema_revision(session, order.schemas)
        triggers = [oid for oid, _name in dependencies.log_triggers(session, order.schemas)]
        wait = session.login.lock_seconds
        at("dump")
        work = tools.start(
            "pg_dump", "--format=directory", f"--jobs={place.jobs}", f"--snapshot={name}", f"--file={temp / manifest.DUMP}",
            *([f"--compress={order.compress}"] if order.compress >= 0 else []),
            *([f"--lock-wait-timeout={round(wait * 1000)}"] if wait else []),
            "--no-publications", "--no-subscriptions", *tools.role, *pattern(order.schemas),
        )  # fmt: skip
        try:
            contents = fingerprint.contents(session.login, shapes, place.jobs, name)
            seconds["checksums"] = round(time.monotonic() - began, 3)
            work.wait()
            seconds["dump"] = round(time.monotonic() - began, 3)
        finally:
            work.stop()
    at("listing")
    positions = _check_dump(session, tools, temp / manifest.DUMP, shapes, order.schemas)
    began_seal = time.monotonic()
    at("encrypt")
    with ThreadPoolExecutor(place.jobs) as pool:
        list(pool.map(place.seal.encrypt, sorted((temp / manifest.DUMP).iterdir())))
    key = place.seal.mac_key()
    at("digest")
    files = manifest.describe_files(temp, manifest.stored(temp), key, place.jobs)
    seconds["files"] = round(time.monotonic() - began_seal, 3)
    seconds["total"] = round(time.monotonic() - began, 3)
    made = Manifest(
        name=order.name, database=place.database, at=moment, schemas=list(order.schemas), server=server_version(session)[1], lsn=lsn, snapshot=seen,
        version=stamp.version, schema_revision=revision, comment=order.comment,
        encryption={"method": place.seal.method, **({"recipient": place.seal.recipient} if place.seal.recipient else {})},
        tables=[
            {"schema": s.table.schema, "name": s.table.name, "oid": s.oid, "columns": list(s.columns), "bytes": s.bytes,
             "rows": contents[s.table].rows, "sums": list(contents[s.table].sums)}
            for s in shapes
        ],
        sequences=[{"schema": t.schema, "name": t.name, "last": last, "called": called} for t, (last, called) in positions.items()],
        objects=counts, rights=[list(right) for right in granted], left_out=triggers, files=files, seconds=seconds,
    ).sealed(key)  # fmt: skip
    at("manifest")
    manifest.write(temp, made)
    return made


def _check_dump(
    session: Session, tools: Tools, dump: Path, shapes: Sequence[fingerprint.Shape], schemas: Sequence[str]
) -> dict[Table, tuple[int, bool]]:
    """Compare what pg_restore finds in the dump with what was read; return where the dump sets each sequence. Raises DataError."""
    entries = listing(tools.answer("pg_restore", "--list", str(dump)))
    dumped = {entry.oid for entry in entries if entry.is_data}
    wrong = [f"{shape.table} is not in the dump" for shape in shapes if shape.oid not in dumped]
    wrong += [
        f"the dump holds another table: {entry.kind}"
        for entry in entries
        if entry.is_data and entry.oid not in {s.oid for s in shapes}
    ]
    if wrong:
        raise DataError(
            f"the dump is not what was in {session.login.place}: {'; '.join(wrong[:5])}. Nothing of it was kept; try again"
        )
    names = {
        row[0]: Table(row[1], row[2])
        for row in session.rows(
            "SELECT format('%%I.%%I', n.nspname, c.relname), n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = ANY(%s) AND c.relkind = 'S'",
            [list(schemas)],
        )
    }
    chosen = [entry.line for entry in entries if entry.kind.startswith("SEQUENCE SET ")]
    return {names[name]: position for name, position in _positions(tools, dump, chosen).items() if name in names}


def _positions(tools: Tools, dump: Path, lines: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """Read from the dump itself where it sets each sequence: sequences move on outside of every snapshot."""
    if not lines:
        return {}
    chosen = dump.with_name("sequences.list")
    chosen.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        text = tools.answer("pg_restore", "--file=-", f"--use-list={chosen}", str(dump))
    finally:
        chosen.unlink()
    found = re.findall(
        r"^SELECT pg_catalog\.setval\((E?)'((?:[^']|'')*)', (-?\d+), (true|false)\);$", text, re.MULTILINE
    )
    return {
        (name.replace("\\\\", "\\") if escaped else name).replace("''", "'"): (int(last), called == "true")
        for escaped, name, last, called in found
    }


def _finish(session: Session, place: Place, order: Order, made: Manifest, at: Callable[[str], None]) -> None:
    """Do what follows once the checkpoint stands: its copy in s3, its protection, its row in the database."""
    if place.offsite is not None:
        at("upload")
        place.offsite.upload(made, place.of(made.name), place.jobs)
    if order.protect:
        _mark(place, made.name, True)
    at("record")
    _record(session, place, made, place.protected(made.name))


def _mark(place: Place, name: str, wanted: bool) -> None:
    path = place.of(name) / PROTECTED
    if wanted and not path.exists():
        fs.write_atomic(path, b"", 0o600)
    elif not wanted:
        fs.unlink_durable(path)


def _recorded(session: Session, name: str) -> bool:
    return _table(session) and bool(
        session.value("SELECT count(*) FROM plano_delivery.checkpoint WHERE name = %s", [name])
    )


def _table(session: Session) -> bool:
    return bool(session.value("SELECT to_regclass('plano_delivery.checkpoint') IS NOT NULL"))


def _record(session: Session, place: Place, made: Manifest, protected: bool) -> None:
    session.execute(
        "INSERT INTO plano_delivery.checkpoint (name, taken, folder, protected, manifest) VALUES (%s, %s::timestamptz, %s, %s, %s::jsonb)"
        " ON CONFLICT (name) DO UPDATE SET (taken, folder, protected, manifest) ="
        " (EXCLUDED.taken, EXCLUDED.folder, EXCLUDED.protected, EXCLUDED.manifest)",
        [
            made.name,
            made.at,
            str(place.of(made.name)),
            protected,
            json.dumps({**made.summary(), "tables": made.tables}),
        ],
    )
