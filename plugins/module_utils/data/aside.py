# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading a checkpoint beside what is live: into schemas of other names, or into a scratch database, and comparing it with its manifest."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
import uuid
from pathlib import Path
from typing import Callable, Iterator, Mapping

from . import archive as archives
from . import fingerprint, leftovers, rights
from .archive import Archive, write_list
from .checkpoint import Place
from .errors import DataError, ServerError
from .manifest import Manifest
from .names import Table, identifier, literal
from .session import Login, Session, connect
from .tools import Entry, Tools, listing, pattern, server_version

# NAMEDATALEN - 1, in bytes (documentation, 4.1.1).
NAME_BYTES = 63
_LOCALE = """
SELECT pg_encoding_to_char(encoding), datcollate, datctype, to_jsonb(d) ->> 'datlocprovider',
 coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') FROM pg_database d WHERE datname = current_database()
"""


def new_suffix() -> str:
    return uuid.uuid4().hex[:8]


def name_beside(schema: str, word: str, suffix: str) -> str:
    """Return the name of a schema's copy, within the limit of a name."""
    tail = f"__{word}_{suffix}"
    return schema.encode()[: NAME_BYTES - len(tail)].decode("utf-8", "ignore") + tail


@dataclasses.dataclass(frozen=True)
class Loading:
    """Where one restore works. *schemas* are the names that the checkpoint's get for now."""

    suffix: str
    schemas: Mapping[str, str]
    folder: Path

    @property
    def scratch(self) -> str:
        return f"plano_restore_{self.suffix}"

    @property
    def application(self) -> str:
        return leftovers.application(self.suffix)


@contextlib.contextmanager
def begun(session: Session, place: Place, found: Manifest, run: str) -> Iterator[Loading]:
    """Write down what is going to be made, so that it can be removed whatever happens; it is removed unless the block swaps it in."""
    suffix = new_suffix()
    schemas = {schema: name_beside(schema, "new", suffix) for schema in found.schemas}
    loading = Loading(suffix, schemas, place.folder / f".restore-{suffix}.tmp")
    session.execute(
        "INSERT INTO plano_delivery.restore (suffix, run, checkpoint, state, scratch, schemas) VALUES (%s, %s, %s, 'loading', %s, %s::jsonb)",
        [
            suffix,
            run,
            found.name,
            loading.scratch,
            json.dumps({schema: {"aside": name} for schema, name in schemas.items()}),
        ],
    )
    try:
        loading.folder.mkdir(0o700)
        yield loading
    except BaseException:  # whatever ends this, the next run finds what cannot be removed now; it is raised again
        with contextlib.suppress(DataError), connect(session.login) as other:
            leftovers.drop(other, suffix, loading.scratch, list(schemas.values()))
        raise
    finally:
        shutil.rmtree(loading.folder, ignore_errors=True)


@contextlib.contextmanager
def scratch(session: Session, loading: Loading, schemas: list[str]) -> Iterator[Login]:
    """Make an empty database of the same locale for the block."""
    with connect(dataclasses.replace(session.login, role="")) as plain:
        encoding, collate, ctype, provider, locale = plain.rows(_LOCALE)[0]
        owner = f" OWNER {identifier(session.login.role)}" if session.login.role else ""
        words = {
            "i": f" LOCALE_PROVIDER icu ICU_LOCALE {literal(locale or '')}",
            "b": f" LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(locale or '')}",
        }
        # Of a restore that is killed meanwhile the server goes on with this: whoever cleans up ends it by this name.
        plain.execute("SELECT set_config('application_name', %s, false)", [loading.application])
        plain.execute(
            f"CREATE DATABASE {identifier(loading.scratch)}{owner} TEMPLATE template0 ENCODING {literal(encoding)}"
            f" LC_COLLATE {literal(collate)} LC_CTYPE {literal(ctype)}{words.get(provider, '')}"
        )
    login = session.login.with_database(loading.scratch)
    with connect(login) as there:
        there.execute("DROP SCHEMA public")  # the dump makes it
        if "public" not in schemas:
            there.execute("CREATE SCHEMA public")
        for extension, schema in session.rows(
            "SELECT extname, nspname FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE nspname <> 'pg_catalog'"
        ):
            there.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)}")
            there.execute(f"CREATE EXTENSION IF NOT EXISTS {identifier(extension)} SCHEMA {identifier(schema)} CASCADE")
    try:
        yield login
    finally:
        with contextlib.suppress(ServerError):  # on a lost connection; whoever comes next removes it
            session.execute(f"DROP DATABASE IF EXISTS {identifier(loading.scratch)}")


def load(
    session: Session,
    place: Place,
    found: Manifest,
    loading: Loading,
    at: Callable[[str], None],
    seconds: dict[str, float],
) -> None:
    """Bring the checkpoint into the live database under its other names. Raises DataError."""
    tools = Tools.of(session)
    archive = Archive(found, place.of(found.name), place.seal_of(found), loading.folder / "stored")
    archive.open()
    began = time.monotonic()
    renamed = loading.folder / "renamed"
    entries, rows, wanted = _rename(session, tools, found, archive, loading, renamed, at)
    seconds["rename"] = round(time.monotonic() - began, 3)
    at("load")
    began = time.monotonic()
    archives.load(
        archive, tools, session.login, renamed, entries, rows, place.jobs, loading.folder, loading.application
    )
    at("rights")
    names = list(loading.schemas.values())
    with session.transaction():
        for statement in rights.changes(rights.of(session, names), wanted):
            session.execute(statement)
    seconds["load"] = round(time.monotonic() - began, 3)
    at("analyze")
    began = time.monotonic()
    fingerprint.analyze(session.login, shapes_of(found, loading.schemas), place.jobs)
    seconds["analyze"] = round(time.monotonic() - began, 3)


def _rename(
    session: Session,
    tools: Tools,
    found: Manifest,
    archive: Archive,
    loading: Loading,
    renamed: Path,
    at: Callable[[str], None],
) -> tuple[list[Entry], dict[fingerprint.Shape, Entry], set[rights.Right]]:
    """Dump the definitions under their other names; return that dump's entries, where each table's rows are, and the rights they shall have."""
    at("scratch")
    entries = archive.entries(tools)
    with scratch(session, loading, found.schemas) as login:
        chosen = write_list(loading.folder / "definitions", [entry for entry in entries if not entry.is_data])
        at("definitions")
        tools.run(
            "pg_restore", "--exit-on-error", chosen, f"--dbname={loading.scratch}", *tools.role, str(archive.folder),
            database=loading.scratch, application=loading.application,
        )  # fmt: skip
        with connect(login) as there:
            for schema, name in loading.schemas.items():
                there.execute(f"ALTER SCHEMA {identifier(schema)} RENAME TO {identifier(name)}")
            names = list(loading.schemas.values())
            shapes = {shape.table: shape for shape in fingerprint.shapes(there, names)}
            wanted = rights.of(there, names) - rights.of_schemas(there, names) | found.schema_rights(loading.schemas)
        at("renamed")
        tools.run(
            "pg_dump",
            "--format=directory",
            f"--file={renamed}",
            *tools.role,
            *pattern(names),
            database=loading.scratch,
            application=loading.application,
        )
    again = listing(tools.answer("pg_restore", "--list", str(renamed)))
    numbers = {entry.oid: entry.id for entry in again if entry.is_data}
    stored = {entry.oid: entry for entry in entries if entry.is_data}
    rows = {}
    for shape in shapes_of(found, loading.schemas):
        there_shape = shapes.get(shape.table)
        if archive.plain:  # pg_restore takes a file's columns in the order that its table has now
            if there_shape is None or there_shape.columns != shape.columns:
                raise DataError(
                    f"{shape.table}: PostgreSQL's dump gives its columns another order than they had (a child of a table that got columns later)."
                    " Restore it by hand with pg_restore; nothing was changed"
                )
            archive.link(renamed, numbers[there_shape.oid], stored[shape.oid])
        rows[shape] = stored[shape.oid]
    return again, rows, wanted


def load_scratch(session: Session, place: Place, found: Manifest, loading: Loading, login: Login) -> None:
    """Bring the whole checkpoint, under its own names, into the scratch database."""
    tools = Tools.of(session)
    archive = Archive(found, place.of(found.name), place.seal_of(found), loading.folder / "stored")
    archive.open()
    entries = archive.entries(tools)
    stored = {entry.oid: entry for entry in entries if entry.is_data}
    rows = {shape: stored[shape.oid] for shape in found.shapes()}
    archives.load(archive, tools, login, archive.folder, entries, rows, place.jobs, loading.folder, loading.application)


def shapes_of(found: Manifest, schemas: Mapping[str, str]) -> list[fingerprint.Shape]:
    """Return the checkpoint's tables under their other names."""
    return [shape.moved(dict(schemas)) for shape in found.shapes()]


def compare(session: Session, found: Manifest, schemas: Mapping[str, str], jobs: int) -> None:
    """Compare what was loaded with the manifest: every table, every sequence, every kind of object. Raises DataError."""
    names = list(schemas.values()) if schemas else found.schemas
    moved = shapes_of(found, schemas)
    expected = dict(zip((shape.table for shape in moved), found.contents().values()))
    standing_there = {shape.table: shape for shape in fingerprint.shapes(session, names)}
    wrong = [f"{table} is missing" for table in expected.keys() - standing_there.keys()]
    same = []
    for shape in moved:
        if shape.table in standing_there:
            if sorted(shape.columns) == sorted(standing_there[shape.table].columns):
                same.append(shape)  # in the order they had: a dump may move a child's columns
            else:
                wrong.append(f"{shape.table} has other columns")
    there = fingerprint.contents(session.login, same, jobs)
    wrong += [f"{table} is not part of it" for table in standing_there.keys() - expected.keys()]
    wrong += [
        f"{table} has {there[table].rows} rows instead of {content.rows}"
        if there[table].rows != content.rows
        else f"{table} holds other values than the checkpoint"
        for table, content in expected.items()
        if table in there and there[table] != content
    ]
    positions = {
        Table(schemas.get(table.schema, table.schema), table.name): at for table, at in found.positions().items()
    }
    standing = fingerprint.sequences(session, names)
    wrong += [
        f"sequence {table} stands at {standing.get(table)} instead of {at}"
        for table, at in positions.items()
        if standing.get(table) != at
    ]
    if server_version(session)[0] == found.major:  # another version counts some of them otherwise
        counted = fingerprint.objects(session, names)
        wrong += [
            f"{counted.get(kind)} {kind} instead of {number}"
            for kind, number in found.objects.items()
            if counted.get(kind) != number
        ]
    if wrong:
        raise DataError(
            f"what was restored is not checkpoint {found.name}: {'; '.join(sorted(wrong)[:10])}. The live data was not touched"
        )
