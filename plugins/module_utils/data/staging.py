# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a file to a table of the target's types that nobody else reads: straight through COPY, or, at the first doubt, row by row as text.

Text that a type does not read is found by the server itself (pg_input_is_valid, from PostgreSQL 16 on; before, a function in the session's
temporary schema that tries), so that what is taken and what is refused is what an INSERT would take and refuse.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Callable, Sequence

from . import runs
from .catalog import Column
from .errors import ServerError
from .names import Table, identifier, identifiers, literal
from .session import Session
from .source import SQL, TOLD, Doubt, Fault, FileFault, Reader, raw_rows
from .statements import statements

PREFIX = "staging_"
# What COPY says of a file: data (22), a domain's rule (23), a line beyond its limits (54).
_OF_THE_FILE = ("22", "23", "54")
_ALL_TEXT = ("text", "character varying")


SetAside = Callable[[Session, str], None]


@dataclass(frozen=True)
class Item:
    """A column of the file: *column* is the target's, None for one that is left out."""

    field: str
    column: Column | None

    @property
    def name(self) -> str:
        return self.column.name if self.column else f"~{self.field}"[:63]

    @property
    def type(self) -> str:
        return self.column.type if self.column else "text"


@dataclass(frozen=True)
class Staging:
    """The staged rows' table, and what is in it."""

    sql: str
    items: tuple[Item, ...]
    target: Table
    lasting: bool = True

    def create(self, session: Session, note: str) -> None:
        """Make it, in place of one that an earlier attempt left."""
        columns = ", ".join(
            f"{identifier(item.name)} {item.type}"
            + (f" COLLATE {item.column.collation}" if item.column and item.column.collation else "")
            for item in self.items
        )
        session.execute(f"DROP TABLE IF EXISTS {self.sql}")
        session.execute(
            f"CREATE {'UNLOGGED' if self.lasting else 'TEMPORARY'} TABLE {self.sql} ({columns}) WITH (autovacuum_enabled = off)"
        )
        session.execute(f"COMMENT ON TABLE {self.sql} IS {literal(note)}")


@dataclass(frozen=True)
class Loaded:
    """How many rows were read, and how many of them were none and set aside."""

    read: int
    bad: int = 0

    @property
    def staged(self) -> int:
        return self.read - self.bad


def name_of(run: str) -> Table:
    """Return the table that stages *run*; its id may be longer than a name."""
    return Table("plano_delivery", PREFIX + hashlib.sha256(run.encode()).hexdigest()[:16])


def sweep(session: Session, days: float) -> None:
    """Remove what no run needs any more: all but those of pending runs, and of held ones for *days* days."""
    found = session.rows(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'plano_delivery' AND c.relkind = 'r' AND starts_with(c.relname, %s)",
        [PREFIX],
    )
    needed = session.rows(
        "SELECT id FROM plano_delivery.run WHERE state = %s OR state = %s AND ended > clock_timestamp() - make_interval(secs => %s)",
        [runs.PENDING, runs.HELD, days * 86400],
    )
    names = {name_of(run).name for (run,) in needed}
    for (name,) in found:
        if name not in names:
            session.execute(f"DROP TABLE IF EXISTS plano_delivery.{identifier(name)}")


def load(session: Session, reader: Reader, staging: Staging, note: str, set_aside: SetAside | None) -> Loaded:
    """Fill *staging* from the file. Rows that are none raise FileFault, or go to *set_aside*, which is told the table they are in.

    Raises FileFault, ServerError; then nothing is left.
    """
    if reader.dialect.format == SQL:
        return _load_statements(session, reader, staging, note)
    try:
        with session.transaction():
            staging.create(session, note)
            freeze = ", FREEZE" if staging.lasting else ""
            names = identifiers(item.name for item in staging.items)
            return Loaded(
                session.copy_in(
                    f"COPY {staging.sql} ({names}) FROM STDIN ({reader.copy_options}{freeze})", reader.direct()
                )
            )
    except Doubt:
        pass
    except ServerError as error:
        if not error.state.startswith(_OF_THE_FILE):
            raise
    with session.transaction():
        staging.create(session, note)
        return _load_texts(session, reader, staging, set_aside)


def _load_texts(session: Session, reader: Reader, staging: Staging, set_aside: SetAside | None) -> Loaded:
    width = len(staging.items)
    names = [f"f{number}" for number in range(width)]
    session.execute(
        f'CREATE TEMPORARY TABLE plano_raw (line bigint, "column" integer, reason text, {", ".join(f"{name} text" for name in names)}) ON COMMIT DROP'
    )
    read = session.copy_in("COPY pg_temp.plano_raw FROM STDIN (FORMAT text)", raw_rows(reader.records(), width))
    wrong = _wrong(session, staging.items, names)
    doubts = ", ".join(
        f"CASE WHEN {test} THEN {literal(f'column {item.name}: a value cannot be read as {item.type}')} END"
        for item, test in wrong
    )
    reasons = f"coalesce(reason, array_to_string(ARRAY[{doubts}]::text[], '; '))"
    fields = f"CASE WHEN reason IS NULL THEN ARRAY[{', '.join(names)}] ELSE ARRAY[f0] END"
    bad_when = " OR ".join(["reason IS NOT NULL", *(test for _item, test in wrong)])
    session.execute(
        f'CREATE TEMPORARY TABLE plano_bad ON COMMIT DROP AS SELECT line, "column", {reasons} AS reason, {fields} AS fields'
        f" FROM pg_temp.plano_raw WHERE {bad_when}"
    )
    bad = int(session.value("SELECT count(*) FROM pg_temp.plano_bad"))
    if bad and set_aside is None:
        told = session.rows(f'SELECT line, "column", reason FROM pg_temp.plano_bad ORDER BY line LIMIT {TOLD}')
        raise FileFault(reader.source.name, [Fault(*row) for row in told], bad)
    if bad and set_aside is not None:
        set_aside(session, "pg_temp.plano_bad")
    values = ", ".join(f"CAST({name} AS {item.type})" for name, item in zip(names, staging.items))
    session.execute(
        f"INSERT INTO {staging.sql} ({identifiers(item.name for item in staging.items)}) SELECT {values} FROM pg_temp.plano_raw r"
        " WHERE NOT EXISTS (SELECT FROM pg_temp.plano_bad b WHERE b.line = r.line) ORDER BY line"
    )
    return Loaded(read, bad)


def _wrong(session: Session, items: Sequence[Item], names: Sequence[str]) -> list[tuple[Item, str]]:
    """Return for each column whose type does not read every text the SQL that holds for a text it does not read."""
    found = []
    for number, (item, name) in enumerate(zip(items, names)):
        if item.type in _ALL_TEXT:
            continue
        if session.connection.info.server_version >= 160000:
            test = f"NOT pg_input_is_valid({name}, {literal(item.type)})"
        else:
            session.execute(
                f"CREATE OR REPLACE FUNCTION pg_temp.plano_reads_{number}(given text) RETURNS boolean LANGUAGE plpgsql AS $plano$"
                f" DECLARE found {item.type}; BEGIN found := given; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN false; END $plano$"
            )
            test = f"NOT pg_temp.plano_reads_{number}({name})"
        found.append((item, f"{name} IS NOT NULL AND {test}"))
    return found


_INSERT = re.compile(
    r'\s*INSERT\s+INTO\s+(?P<table>(?:[\w$]+|"[^"]+")(?:\s*\.\s*(?:[\w$]+|"[^"]+"))?)\s*(?P<columns>\([^()]*\))?\s*(?P<values>VALUES\b.*)',
    re.IGNORECASE | re.DOTALL,
)
# What dump programs write before the rows; it says nothing about them.
_PREAMBLE = re.compile(r"\s*(SET\s|SELECT\s+pg_catalog\.set_config\s*\()", re.IGNORECASE)


def _load_statements(session: Session, reader: Reader, staging: Staging, note: str) -> Loaded:
    """Run the INSERTs of a file, each led to the staged table. Raises FileFault for any other statement."""
    read, name = 0, reader.source.name
    with session.transaction():
        before = _written(session)
        staging.create(session, note)
        for line, text in statements(reader):
            match = _INSERT.match(text)
            if match is None and _PREAMBLE.match(text):
                continue
            if match is None or not _names(match["table"], staging.target):
                raise FileFault(
                    name,
                    [
                        Fault(
                            line,
                            0,
                            f"only INSERT INTO {staging.target} with VALUES is taken; all else could touch live data",
                        )
                    ],
                )
            columns = match["columns"] or f"({identifiers(item.name for item in staging.items)})"
            try:
                read += session.execute(f"INSERT INTO {staging.sql} {columns} {match['values']}").rowcount
            except ServerError as error:
                if not error.state.startswith((*_OF_THE_FILE, "42", "0A", "21")):
                    raise
                raise FileFault(name, [Fault(line, 0, str(error))]) from None
        own = "plano_delivery" if staging.lasting else "pg_temp"
        for (schema, table), count in _written(session).items():
            if count != before.get((schema, table), 0) and not schema.startswith(own):
                raise FileFault(name, [Fault(1, 0, f"its statements also write to {schema}.{table}; nothing was kept")])
    return Loaded(read)


def _names(text: str, target: Table) -> bool:
    """Whether *text* is how SQL may name *target*."""
    parts = [part.strip() for part in re.findall(r'[\w$]+|"[^"]+"', text)]
    found = [part[1:-1] if part.startswith('"') else part.lower() for part in parts]
    return found in ([target.name], [target.schema, target.name])


def _written(session: Session) -> dict[tuple[str, str], int]:
    """Return how many rows of each table this session has written and not told the statistics yet, which it does between transactions."""
    rows = session.rows(
        "SELECT schemaname, relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_all_tables"
        " WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND schemaname NOT IN ('pg_catalog', 'pg_toast')"
    )
    return {(schema, name): count for schema, name, count in rows}
