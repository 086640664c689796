# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows erased for privacy: a list of their keys, so that no restore brings them back.

The list is kept in the database and, for the day the database is gone, in a file beside the checkpoints; each is brought up to the other.
A key is personal data itself: both are for the owner's eyes only.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from ..engine import fs
from .errors import DataError, ServerError
from .names import Table, identifier, literal, parse_table
from .session import Session

FILE = "erased.json"
_FOREIGN_KEY = ("23503", "23001")


class Erased(NamedTuple):
    """One row that must not come back: the table as SQL names it, and its key, column by column, as text."""

    table: str
    key: tuple[tuple[str, str], ...]


def of(items: Iterable[Mapping[str, Any]]) -> list[Erased]:
    """Return what a module's option lists. Raises DataError."""
    found = []
    for item in items:
        table = parse_table(item["table"])
        key = item["key"]
        if not key or any(value is None or isinstance(value, (dict, list)) for value in key.values()):
            raise DataError(f"erasure in {table}: its key names at least one column, each with one value")
        found.append(Erased(table.sql, tuple(sorted((str(name), _text(value)) for name, value in key.items()))))
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def table_of(one: Erased) -> Table:
    """Return the table that a row was in."""
    return parse_table(one.table)


def listed(session: Session, folder: Path) -> list[Erased]:
    """Return what was erased, from the database and the file together."""
    found = set(_in_file(folder))
    if session.value("SELECT to_regclass('plano_delivery.erasure')"):
        rows = session.rows('SELECT "table", key FROM plano_delivery.erasure')
        found |= {
            Erased(table, tuple(sorted((name, _text(value)) for name, value in key.items()))) for table, key in rows
        }
    return sorted(found)


def keep(session: Session, folder: Path, more: Sequence[Erased] = ()) -> bool:
    """Bring the list in the database and the file to the same, with *more*; return whether either changed."""
    before = set(listed(session, folder))
    everything = sorted(before | set(more))
    added = 0
    with session.transaction():
        for one in everything:
            added += session.execute(
                'INSERT INTO plano_delivery.erasure ("table", key) VALUES (%s, %s::jsonb) ON CONFLICT DO NOTHING',
                [one.table, json.dumps(dict(one.key))],
            ).rowcount
    if not everything:
        return False
    data = json.dumps([{"table": one.table, "key": dict(one.key)} for one in everything], indent=1).encode() + b"\n"
    return fs.write_if_changed(folder / FILE, data, 0o600) or bool(added)


def _in_file(folder: Path) -> list[Erased]:
    path = folder / FILE
    if not path.exists():
        return []
    try:
        return [Erased(item["table"], tuple(sorted(item["key"].items()))) for item in json.loads(path.read_bytes())]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path} is damaged: without it erased rows could come back. Mend it, or take the copy of a backup"
        ) from None


def apply(
    session: Session, erased: Sequence[Erased], schemas: Mapping[str, str], columns: Mapping[Table, Sequence[str]]
) -> dict[Table, int]:
    """Delete the listed rows from the schemas as they are named in *schemas*; return how many of each table.

    *columns* are those of the tables there. Rows that others refer to go after those. Raises DataError where that does not end.
    """
    wanted: dict[tuple[Table, tuple[str, ...]], list[Erased]] = defaultdict(list)
    for one in erased:
        table = parse_table(one.table)
        names = tuple(name for name, _value in one.key)
        if table in columns and set(names) <= set(columns[table]):
            wanted[(table, names)].append(one)
    gone: dict[Table, int] = defaultdict(int)
    left = list(wanted)
    while left:
        stuck: dict[tuple[Table, tuple[str, ...]], str] = {}
        for table, names in left:
            try:
                with session.transaction():
                    gone[table] += _delete(
                        session, Table(schemas[table.schema], table.name), names, wanted[(table, names)]
                    )
            except ServerError as error:
                if error.state not in _FOREIGN_KEY:
                    raise
                stuck[(table, names)] = error.table
        if len(stuck) == len(left):
            tables = ", ".join(sorted({f"{table} (from {source})" for (table, _names), source in stuck.items()}))
            raise DataError(
                f"rows erased for privacy are referred to by others: {tables}. List those in plano_delivery.erasure too; nothing was changed"
            )
        left = list(stuck)
    return {table: rows for table, rows in gone.items() if rows}


def _delete(session: Session, table: Table, names: Sequence[str], erased: Sequence[Erased]) -> int:
    """Delete by the text of the key, whatever the columns' types are."""
    keys = json.dumps([dict(one.key) for one in erased])
    same = " AND ".join(f"t.{identifier(name)}::text = e.key ->> {literal(name)}" for name in names)
    return int(
        session.execute(
            f"DELETE FROM ONLY {table.sql} AS t USING (SELECT value AS key FROM jsonb_array_elements(%s::jsonb)) AS e WHERE {same.replace('%', '%%')}",
            [keys],
        ).rowcount
    )
