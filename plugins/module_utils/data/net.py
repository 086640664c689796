# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a set of actions has done to each row, net, and taking that back: all of it set-based, in temporary tables of the server.

For one key the actions form a chain of images, v0 → v1 → … → vn, in which "no row" may stand too. Their order by number is not theirs in
time: an AFTER ROW trigger that writes the same row again is logged before the statement that fired it. So the ends are found as those
of an Eulerian path: counting each image once where it is left and once, negative, where it is reached, only the first remains with +1
and the last with -1. More than one of either means that somebody else has written the row in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Sequence

from . import catalog, log
from .errors import DataError
from .names import Table, identifier, identifiers, literal
from .session import Session

ACTIONS = "pg_temp.plano_action"
CHANGED = "was changed later"
REMOVED = "was removed later"
PRESENT = "a row with this key has been written since"
BETWEEN = "others have changed it between two actions of the run"
REFERRED = "rows of {} that stay refer to it"
ORPHANED = "its row in {} is gone"
TAKEN = "another row has its value of {} now"
_LATER = (CHANGED, REMOVED, PRESENT, BETWEEN)


@dataclass(frozen=True)
class Change:
    """The net effect on one table. *readers* are the selects that give its images; *columns* those they hold, as they are now."""

    place: int
    structure: catalog.Structure
    columns: tuple[catalog.Column, ...]
    key: catalog.Unique
    readers: tuple[str, ...]
    sources: tuple[log.Source, ...]

    @property
    def table(self) -> Table:
        return self.structure.table

    @property
    def events(self) -> str:
        return f"pg_temp.plano_event_{self.place}"

    @property
    def many(self) -> str:
        return f"pg_temp.plano_many_{self.place}"

    @property
    def net(self) -> str:
        """One row a key: o<number> its columns before, n<number> after; *was* and *stands* whether there was a row at all."""
        return f"pg_temp.plano_net_{self.place}"

    def values(self, prefix: str, names: Iterable[str] | None = None) -> str:
        """The columns of an image (or those called *names*) as a list, such as o1, o2."""
        wanted = [self.structure.column(name) for name in names] if names is not None else self.columns
        return ", ".join(f"{prefix}{column.number}" for column in wanted)

    def keys(self, prefix: str) -> str:
        return self.values(prefix, self.key.columns)

    def holds(self, names: Iterable[str]) -> bool:
        """Whether an image has all of these columns."""
        return set(names) <= {column.name for column in self.columns}

    def same_key(self, left: str, right: str) -> str:
        """Compare keys of two images, each given by its prefix."""
        numbers = [self.structure.column(name).number for name in self.key.columns]
        return " AND ".join(
            f"{left}{number} {operator} {right}{number}" for number, operator in zip(numbers, self.key.operators)
        )

    def at_key(self, prefix: str, alias: str = "t") -> str:
        """Compare the key of a row of the table with that of an image."""
        return " AND ".join(
            f"{alias}.{identifier(name)} {operator} {prefix}{self.structure.column(name).number}"
            for name, operator in zip(self.key.columns, self.key.operators)
        )

    def current(self, alias: str = "t") -> str:
        return identifiers((column.name for column in self.columns), f"{alias}.")

    @property
    def added_columns(self) -> tuple[str, ...]:
        """Columns that came after the images were made."""
        have = {column.name for column in self.columns}
        return tuple(column.name for column in self.structure.written if column.name not in have)


@dataclass
class Tally:
    """How many rows of one table go back, by what brings them back, and how many stay."""

    table: Table
    insert: int = 0
    update: int = 0
    delete: int = 0
    skipped: int = 0

    @property
    def rows(self) -> int:
        return self.insert + self.update + self.delete


@dataclass
class Conflict:
    """A row that cannot go back. *by* says who has changed it later, as far as the log knows."""

    table: Table
    key: dict[str, str]
    reason: str
    by: dict[str, str] = field(default_factory=dict)


def choose_actions(session: Session, condition: str, values: Mapping[str, Any]) -> int:
    """Make the temporary table of the actions that are meant, for the rest of the transaction; return how many there are."""
    session.execute(
        f"DROP TABLE IF EXISTS {ACTIONS};"
        "CREATE TEMP TABLE plano_action (id bigint PRIMARY KEY, run text, source int NOT NULL, structure bigint) ON COMMIT DROP"
    )
    found = session.execute(
        f"INSERT INTO {ACTIONS} SELECT a.id, a.run, a.source, a.structure FROM {log.SCHEMA}.action a WHERE {condition}",
        values,
    ).rowcount
    session.execute(f"ANALYZE {ACTIONS}")
    return found


def tables(session: Session) -> list[Table]:
    """Return the tables that the chosen actions have written to."""
    return [
        Table(*row)
        for row in session.rows(
            f"SELECT DISTINCT s.schema, s.name FROM {log.SCHEMA}.logged s JOIN {ACTIONS} a ON a.source = s.id ORDER BY 1, 2"
        )
    ]


def lock(session: Session, written: Sequence[Table], structures: Mapping[Table, catalog.Structure]) -> None:
    """Keep others from writing until the transaction ends; they can read. Tables that refer to the written ones stand still too."""
    near = {key.table for table in written for key in structures[table].referenced_by} - set(written)
    for table in sorted({*written, *near}):
        mode = "SHARE ROW EXCLUSIVE" if table in structures and table in written else "SHARE"
        session.execute(f"LOCK TABLE {table.sql} IN {mode} MODE")


def read(session: Session, structures: Mapping[Table, catalog.Structure]) -> list[Change]:
    """Return what the chosen actions are about, one change a table. Raises DataError for what no longer fits, with the reason."""
    used = session.rows(
        f"SELECT source, structure, min(id), max(id) FROM {ACTIONS} GROUP BY source, structure ORDER BY source, structure"
    )
    known = {source.number: source for source in log.sources(session)}
    faults: list[str] = []
    changes = []
    for place, (table, structure) in enumerate(sorted(structures.items())):
        readers: list[str] = []
        shapes: list[tuple[catalog.Column, ...]] = []
        try:
            for number, print_, first, last in used:
                if known[number].table != table:
                    continue
                if print_ is None:
                    shape, reader = _typed(structure, known[number])
                else:
                    shape, reader = _other(session, structure, number, print_, first, last)
                if shape:
                    shapes.append(shape)
                    readers.append(f"{reader} AND l.action BETWEEN {first} AND {last}")
            if structure.key is None:
                raise DataError(f"{table} has no primary key any more")
            if len(set(shapes)) > 1:
                raise DataError(
                    f"{table} was given other columns while these actions were at work: images of before and after cannot be netted out;"
                    " undo the runs one by one, the latest first"
                )
            if not log.is_logged(structure):
                raise DataError(
                    f"{table} is no longer logged, so that the undo could not be undone: log it again first"
                )
        except DataError as error:
            faults.append(str(error))
            continue
        if shapes:
            mine = tuple(source for source in known.values() if source.table == table)
            changes.append(Change(place, structure, shapes[0], structure.key, tuple(readers), mine))
    if faults:
        raise DataError("; ".join(faults))
    return changes


def _typed(structure: catalog.Structure, source: log.Source) -> tuple[tuple[catalog.Column, ...], str]:
    columns = []
    words = []
    for column in source.columns:
        now = structure.numbered(column.number)
        if now is None:
            raise DataError(
                f"{structure.table} has lost its column {column.name} since: its values could not be put back"
            )
        if now.name != column.name:
            raise DataError(
                f"column {column.name} of {structure.table} is called {now.name} now: it may mean something else"
            )
        if now.bare != column.type:
            raise DataError(f"column {column.name} of {structure.table} was {column.type} and is {now.bare} now")
        if now.generated and column.name not in source.key:
            raise DataError(f"column {column.name} of {structure.table} is generated now")
        columns.append(now)
        words.append(f"l.{column.sql}{'' if now.bare == column.base else f'::{now.type}'} AS v{now.number}")
    if structure.key is None or tuple(source.key) != structure.key.columns:
        raise DataError(f"{structure.table} had the primary key ({', '.join(source.key)}) and has another one now")
    reader = f"SELECT l.action, l.added, {', '.join(words)} FROM {source.log} l JOIN {ACTIONS} a ON a.id = l.action WHERE a.structure IS NULL"
    return tuple(columns), reader


def _other(
    session: Session, structure: catalog.Structure, source: int, print_: int, first: int, last: int
) -> tuple[tuple[catalog.Column, ...], str]:
    family = [s.oid for s in catalog.read(session, [structure.table, *structure.partitions]).values()]
    if print_ not in log.fingerprints(session, family).values():
        raise DataError(
            f"the structure of {structure.table} has changed again since, and these actions were logged while the log was not set up for it"
        )
    where = f"a.source = {source} AND a.structure = {print_}"
    found = session.value(
        f"SELECT ARRAY(SELECT jsonb_object_keys(l.image)) FROM {log.SCHEMA}.log_other l JOIN {ACTIONS} a ON a.id = l.action"
        f" WHERE {where} AND l.action BETWEEN {first} AND {last} LIMIT 1"
    )
    if not found:
        return (), ""
    key = structure.key.columns if structure.key else ()
    columns = tuple(c for c in structure.columns if c.name in found and (not c.generated or c.name in key))
    words = ", ".join(f"r.{c.sql} AS v{c.number}" for c in columns)
    return columns, (
        f"SELECT l.action, l.added, {words} FROM {log.SCHEMA}.log_other l JOIN {ACTIONS} a ON a.id = l.action"
        f" CROSS JOIN LATERAL jsonb_populate_record(NULL::{structure.table.sql}, l.image) r WHERE {where}"
    )


def build(session: Session, change: Change) -> None:
    """Make the temporary tables of one change: its events, then their net effect per key."""
    keys = change.keys("v")
    session.execute(
        f"CREATE TEMP TABLE plano_event_{change.place} ON COMMIT DROP AS {' UNION ALL '.join(change.readers)}"
    )
    session.execute(f"ANALYZE {change.events}")
    session.execute(
        f"CREATE TEMP TABLE plano_many_{change.place} ON COMMIT DROP AS SELECT {keys}, false AS split FROM {change.events}"
        f" GROUP BY {keys} HAVING count(*) FILTER (WHERE added) > 1 OR count(*) FILTER (WHERE NOT added) > 1"
    )
    session.execute(f"ANALYZE {change.many}")
    many = bool(session.value(f"SELECT 1 FROM {change.many} LIMIT 1"))
    alone = f"AND NOT EXISTS (SELECT FROM {change.many} m WHERE {change.same_key('m.v', 'e.v')})" if many else ""
    numbers = [column.number for column in change.columns]
    session.execute(
        f"CREATE TEMP TABLE plano_net_{change.place} ON COMMIT DROP AS SELECT"
        f" {', '.join(f'coalesce(o.v{n}, n.v{n}) AS k{n}' for n in _numbers(change))},"
        f" {', '.join(f'o.v{n} AS o{n}, n.v{n} AS n{n}' for n in numbers)},"
        " o.action IS NOT NULL AS was, n.action IS NOT NULL AS stands, false AS anew, NULL::text AS reason"
        f" FROM (SELECT * FROM {change.events} e WHERE NOT e.added {alone}) o"
        f" FULL JOIN (SELECT * FROM {change.events} e WHERE e.added {alone}) n ON {change.same_key('o.v', 'n.v')}"
        f" WHERE o.action IS NULL OR n.action IS NULL OR NOT pg_catalog.record_image_eq(ROW({change.values('o.v')}), ROW({change.values('n.v')}))"
    )
    if many:
        _net_chains(session, change)
    session.execute(f"ANALYZE {change.net}")


def _numbers(change: Change) -> list[int]:
    return [change.structure.column(name).number for name in change.key.columns]


def _net_chains(session: Session, change: Change) -> None:
    """Net out the keys with more than one action, and find those that others have written in between."""
    keys, values = change.keys("v"), change.values("v")
    # The text of a row is exact for every type, and unlike its value it can be grouped, also where a type has no equality.
    session.execute(
        f"CREATE TEMP TABLE plano_end_{change.place} ON COMMIT DROP AS"
        f" SELECT {change.values('e.v')}, ends.balance FROM (SELECT min(e.ctid) AS at, sum(CASE WHEN added THEN -1 ELSE 1 END) AS balance"
        f" FROM {change.events} e JOIN {change.many} m ON {change.same_key('m.v', 'e.v')}"
        f' GROUP BY {change.keys("e.v")}, ROW({change.values("e.v")})::text COLLATE "C"'
        " HAVING sum(CASE WHEN added THEN -1 ELSE 1 END) <> 0) ends"
        f" JOIN {change.events} e ON e.ctid = ends.at"
    )
    ends = f"pg_temp.plano_end_{change.place}"
    session.execute(
        f"UPDATE {change.many} m SET split = true FROM (SELECT {keys} FROM {ends} GROUP BY {keys}"
        " HAVING sum(balance) FILTER (WHERE balance > 0) > 1 OR sum(balance) FILTER (WHERE balance < 0) < -1) e"
        f" WHERE {change.same_key('m.v', 'e.v')}"
    )
    _find_between(session, change)
    numbers = [column.number for column in change.columns]
    session.execute(
        f"INSERT INTO {change.net} SELECT {change.keys('m.v')},"
        f" {', '.join(f'o.v{n}, n.v{n}' for n in numbers)}, o.balance IS NOT NULL, n.balance IS NOT NULL, false,"
        f" CASE WHEN m.split THEN {literal(BETWEEN)} END FROM {change.many} m"
        f" LEFT JOIN (SELECT DISTINCT ON ({keys}) {values}, balance FROM {ends} WHERE balance > 0 ORDER BY {keys}) o ON {change.same_key('o.v', 'm.v')}"
        f" LEFT JOIN (SELECT DISTINCT ON ({keys}) {values}, balance FROM {ends} WHERE balance < 0 ORDER BY {keys}) n ON {change.same_key('n.v', 'm.v')}"
        " WHERE m.split OR o.balance IS NOT NULL OR n.balance IS NOT NULL"
    )


def _find_between(session: Session, change: Change) -> None:
    """Mark the keys where others have changed the row after the first and before the last time these actions did."""
    touches = "HAVING sum(CASE WHEN added THEN -1 ELSE 1 END) <> 0"  # not by an update that leaves the row as it is
    others = []
    for source in change.sources:
        have = {column.number for column in source.columns}
        body = ", ".join(f"l.{column.sql}" for column in source.columns)
        if have.issuperset(_numbers(change)):
            words = ", ".join(f"{_read_key(change, name)} AS v{number}" for name, number in _named_keys(change))
            others.append(
                f'SELECT {words}, l.action, l.added, ROW({body})::text COLLATE "C" AS body FROM {source.log} l'
            )
    words = ", ".join(
        f"(l.image ->> {literal(name)})::{change.structure.column(name).type} AS v{number}"
        for name, number in _named_keys(change)
    )
    numbers = ", ".join(str(source.number) for source in change.sources)
    others.append(
        f'SELECT {words}, l.action, l.added, l.image::text COLLATE "C" FROM {log.SCHEMA}.log_other l'
        f" JOIN {log.SCHEMA}.action a ON a.id = l.action WHERE a.source IN ({numbers}) AND a.structure IS NOT NULL"
    )
    session.execute(
        f"UPDATE {change.many} m SET split = true FROM ("
        f"SELECT {change.keys('e.v')}, min(e.action) AS first, max(e.action) AS last FROM ("
        f"SELECT {change.keys('e.v')}, e.action FROM {change.events} e JOIN {change.many} m ON {change.same_key('m.v', 'e.v')}"
        f' GROUP BY {change.keys("e.v")}, e.action, ROW({change.values("e.v")})::text COLLATE "C" {touches}) e'
        f" GROUP BY {change.keys('e.v')}) span JOIN ("
        f"SELECT {change.keys('x.v')}, x.action FROM ({' UNION ALL '.join(others)}) x JOIN {change.many} m ON {change.same_key('x.v', 'm.v')}"
        f" WHERE x.action > (SELECT min(id) FROM {ACTIONS}) AND x.action < (SELECT max(id) FROM {ACTIONS})"
        f" AND NOT EXISTS (SELECT FROM {ACTIONS} a WHERE a.id = x.action)"
        f" GROUP BY {change.keys('x.v')}, x.action, x.body {touches}) other"
        f" ON {change.same_key('span.v', 'other.v')} AND other.action > span.first AND other.action < span.last"
        f" WHERE {change.same_key('m.v', 'span.v')}"
    )


def _named_keys(change: Change) -> list[tuple[str, int]]:
    return list(zip(change.key.columns, _numbers(change)))


def _read_key(change: Change, name: str) -> str:
    column = change.structure.column(name)
    return f"l.c{column.number}{'' if column.built_in else f'::{column.type}'}"


def find_changed(session: Session, change: Change) -> int:
    """Set a reason for each row that is no longer as the actions left it; return how many there are in all."""
    session.execute(
        f"UPDATE {change.net} net SET reason = found.reason FROM (SELECT n.ctid AS at, CASE"
        f" WHEN n.stands AND t.{change.structure.column(change.key.columns[0]).sql} IS NULL THEN {literal(REMOVED)}"
        f" WHEN n.stands THEN {literal(CHANGED)} ELSE {literal(PRESENT)} END AS reason"
        f" FROM {change.net} n LEFT JOIN {change.table.sql} t ON {change.at_key('n.k')}"
        f" WHERE n.reason IS NULL AND CASE WHEN n.stands THEN NOT pg_catalog.record_image_eq(ROW({change.current()}), ROW({change.values('n.n')}))"
        f" ELSE t.{change.structure.column(change.key.columns[0]).sql} IS NOT NULL END) found"
        " WHERE net.ctid = found.at"
    )
    return int(session.value(f"SELECT count(*) FROM {change.net} WHERE reason IS NOT NULL"))


def find_held(session: Session, changes: Sequence[Change]) -> int:
    """Set a reason for each row that cannot go back because of other rows; return how many are new."""
    by_table = {change.table: change for change in changes}
    found = 0
    for change in changes:
        for key in change.structure.referenced_by:
            found += _find_referred(session, change, key, by_table.get(key.table))
        for key in change.structure.foreign_keys:
            found += _find_orphans(session, change, key, by_table.get(key.target))
        for unique in change.structure.uniques:
            if not unique.primary and unique.whole and unique.nulls_distinct and change.holds(unique.columns):
                found += _find_taken(session, change, unique)
    return found


def _leaves(change: Change, alias: str, names: Sequence[str], value: str) -> str:
    """Whether undoing the image *alias* takes *value* of these columns out of the table. *value* is a row."""
    return (
        f"{alias}.reason IS NULL AND {alias}.stands AND"
        f" (NOT {alias}.was OR NOT pg_catalog.record_image_eq(ROW({change.values(f'{alias}.o', names)}), {value}))"
    )


def _compare(left: Sequence[str], operators: Sequence[str], right: Sequence[str]) -> str:
    return " AND ".join(f"{a} {operator} {b}" for a, operator, b in zip(left, operators, right))


def _spelled(change: Change, prefix: str, names: Sequence[str]) -> list[str]:
    return [f"{prefix}{change.structure.column(name).number}" for name in names]


def _find_referred(session: Session, change: Change, key: catalog.ForeignKey, child: Change | None) -> int:
    if not change.holds(key.target_columns):
        return 0
    refs = key.target_columns
    now = _spelled(change, "n.n", refs)
    value = f"ROW({change.values('n.n', refs)})"
    joined = _compare(now, key.operators, [f"c.{identifier(name)}" for name in key.columns])
    stays, join = "true", ""
    if child is not None and child.holds(key.columns):
        join = f"LEFT JOIN {child.net} m ON {child.at_key('m.k', 'c')} AND m.reason IS NULL AND m.stands"
        back = _compare(now, key.operators, _spelled(child, "m.o", key.columns))
        stays = f"(m.stands IS NULL OR m.was AND {back})"
    again = ""
    if (key.on_delete, key.on_update) == ("NO ACTION", "NO ACTION"):
        # Another row that goes back brings the value with it.
        same = _compare(now, key.operators, _spelled(change, "r.o", refs))
        again = f"AND NOT EXISTS (SELECT FROM {change.net} r WHERE r.reason IS NULL AND r.was AND {same})"
    return session.execute(
        f"UPDATE {change.net} net SET reason = {literal(REFERRED.format(key.table))} WHERE net.ctid IN ("
        f"SELECT n.ctid FROM {change.net} n JOIN {key.table.sql} c ON {joined} {join}"
        f" WHERE {_leaves(change, 'n', refs, value)} AND {stays} {again})"
    ).rowcount


def _find_orphans(session: Session, change: Change, key: catalog.ForeignKey, parent: Change | None) -> int:
    if not change.holds(key.columns):
        return 0
    wanted = _spelled(change, "n.o", key.columns)
    moved = f"(NOT n.stands OR NOT pg_catalog.record_image_eq(ROW({change.values('n.o', key.columns)}), ROW({change.values('n.n', key.columns)})))"
    is_there = _compare([f"p.{identifier(name)}" for name in key.target_columns], key.operators, wanted)
    goes, comes = "", ""
    if parent is not None and parent.holds(key.target_columns):
        current = f"ROW({identifiers(key.target_columns, 'p.')})"
        goes = (
            f"AND NOT EXISTS (SELECT FROM {parent.net} m WHERE {parent.at_key('m.k', 'p')}"
            f" AND {_leaves(parent, 'm', key.target_columns, current)})"
        )
        back = _compare(_spelled(parent, "r.o", key.target_columns), key.operators, wanted)
        comes = f"AND NOT EXISTS (SELECT FROM {parent.net} r WHERE r.reason IS NULL AND r.was AND {back})"
    return session.execute(
        f"UPDATE {change.net} net SET reason = {literal(ORPHANED.format(key.target))} WHERE net.ctid IN ("
        f"SELECT n.ctid FROM {change.net} n WHERE n.reason IS NULL AND n.was AND {moved}"
        f" AND {' AND '.join(f'{value} IS NOT NULL' for value in wanted)}"
        f" AND NOT EXISTS (SELECT FROM {key.target.sql} p WHERE {is_there} {goes}) {comes})"
    ).rowcount


def _find_taken(session: Session, change: Change, unique: catalog.Unique) -> int:
    current = f"ROW({identifiers(unique.columns, 't.')})"
    same = _compare(
        [f"t.{identifier(name)}" for name in unique.columns], unique.operators, _spelled(change, "n.o", unique.columns)
    )
    moved = f"(NOT n.stands OR NOT pg_catalog.record_image_eq(ROW({change.values('n.o', unique.columns)}), ROW({change.values('n.n', unique.columns)})))"
    return session.execute(
        f"UPDATE {change.net} net SET reason = {literal(TAKEN.format(', '.join(unique.columns)))} WHERE net.ctid IN ("
        f"SELECT n.ctid FROM {change.net} n JOIN {change.table.sql} t ON {same} WHERE n.reason IS NULL AND n.was AND {moved}"
        f" AND NOT EXISTS (SELECT FROM {change.net} m WHERE {change.at_key('m.k')} AND {_leaves(change, 'm', unique.columns, current)}))"
    ).rowcount


def tally(session: Session, change: Change) -> Tally:
    """Count what would go back."""
    counts = session.rows(
        "SELECT count(*) FILTER (WHERE reason IS NULL AND NOT stands), count(*) FILTER (WHERE reason IS NULL AND stands AND was),"
        " count(*) FILTER (WHERE reason IS NULL AND NOT was), count(*) FILTER (WHERE reason IS NOT NULL)"
        f" FROM {change.net}"
    )[0]
    return Tally(change.table, *counts)


def conflicts(session: Session, changes: Sequence[Change], limit: int) -> list[Conflict]:
    """Return up to *limit* rows that cannot go back, with their keys: the only values of rows that are told."""
    found: list[Conflict] = []
    for change in changes:
        texts = ", ".join(f"k{number}::text" for number in _numbers(change))
        for row in session.rows(
            f"SELECT reason, {texts} FROM {change.net} WHERE reason IS NOT NULL ORDER BY {change.keys('k')} LIMIT %s",
            [max(0, limit - len(found))],
        ):
            item = Conflict(change.table, dict(zip(change.key.columns, row[1:])), row[0])
            if item.reason in _LATER:
                item.by = _who(session, change, item.key)
            found.append(item)
    return found


def _who(session: Session, change: Change, key: Mapping[str, str]) -> dict[str, str]:
    """Return which other action was the last on this row, by the log."""
    best: tuple[Any, ...] | None = None
    for source in change.sources:
        columns = {column.name: column for column in source.columns}
        if not set(key) <= set(columns):
            continue
        at = " AND ".join(f"l.{columns[name].sql} = %s::{columns[name].base}" for name in key)
        for row in session.rows(
            f"SELECT a.id, a.run, a.role, a.at FROM {source.log} l JOIN {log.SCHEMA}.action a ON a.id = l.action"
            f" WHERE {at} AND l.action > (SELECT min(id) FROM {ACTIONS}) AND NOT EXISTS (SELECT FROM {ACTIONS} x WHERE x.id = a.id)"
            " ORDER BY a.id DESC LIMIT 1",
            list(key.values()),
        ):
            best = row if best is None or row[0] > best[0] else best
    return {"run": best[1] or "", "role": best[2], "at": best[3].isoformat()} if best else {}


def shown(session: Session, change: Change, limit: int) -> list[dict[str, Any]]:
    """Return up to *limit* rows as they are and as they will be. They are clients' data: only for who asks for them."""
    texts = [(column.name, column.number) for column in change.columns]
    found = []
    if limit > 0:
        both = ", ".join(f"n{number}::text, o{number}::text" for _name, number in texts)
        for was, stands, *values in session.rows(
            f"SELECT was, stands, {both} FROM {change.net} WHERE reason IS NULL ORDER BY {change.keys('k')} LIMIT %s",
            [limit],
        ):
            before = {name: values[2 * place] for place, (name, _number) in enumerate(texts)} if stands else None
            after = {name: values[2 * place + 1] for place, (name, _number) in enumerate(texts)} if was else None
            found.append({"table": str(change.table), "before": before, "after": after})
    return found


def silenced(session: Session, change: Change) -> list[tuple[Table, catalog.Trigger]]:
    """Return the application's triggers that must not fire while rows go back: what they did was logged, and is undone, by itself."""
    members = catalog.read(session, [change.table, *change.structure.partitions])
    return [
        (member.table, trigger)
        for member in members.values()
        for trigger in member.triggers
        if trigger.function.schema != log.SCHEMA and not trigger.constraint and trigger.enabled in "OA"
    ]


def apply(session: Session, changes: Sequence[Change]) -> list[Tally]:
    """Bring the rows back, in one statement: keys between tables are then checked when all is done, whatever their order.

    Within a table rows go, then change, then come, so that a unique value is free before it is taken again.
    """
    quiet = [item for change in changes for item in silenced(session, change)]
    for table, trigger in quiet:
        session.execute(f"ALTER TABLE {table.sql} DISABLE TRIGGER {identifier(trigger.name)}")
    session.execute("SET CONSTRAINTS ALL DEFERRED")
    parts: list[str] = []
    expected: list[int] = []
    tallies = []
    for change in changes:
        anew = _write_anew(session, change)
        count = tally(session, change)
        tallies.append(count)
        before: list[str] = []
        for rows, made in (
            (count.delete + anew, _delete(change)),
            (count.update - anew, _update(change)),
            (count.insert + anew, _insert(change)),
        ):
            if rows:
                name = f"w{len(parts)}"
                waits = "".join(f" AND (SELECT count(*) FROM {other}) >= 0" for other in before)
                parts.append(f"{name} AS ({made}{waits} RETURNING 1)")
                expected.append(rows)
                before.append(name)
    if parts:
        counts = ", ".join(f"(SELECT count(*) FROM w{place})" for place in range(len(parts)))
        done = list(session.rows(f"WITH {', '.join(parts)} SELECT {counts}")[0])
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")
        if done != expected:
            raise DataError(
                f"the server has put back {done} rows where {expected} were meant: a rule, a policy or a trigger keeps rows from being written"
            )
    for table, trigger in quiet:
        again = "ENABLE ALWAYS" if trigger.enabled == "A" else "ENABLE"
        session.execute(f"ALTER TABLE {table.sql} {again} TRIGGER {identifier(trigger.name)}")
    return tallies


def _write_anew(session: Session, change: Change) -> int:
    """Choose the rows that go and come again because an update would collide, such as two that swap a unique value; return how many."""
    if change.added_columns or any(
        {key.on_delete, key.on_update} != {"NO ACTION"} for key in change.structure.referenced_by
    ):
        return 0
    plain = "n.reason IS NULL AND n.was AND n.stands"
    wanted = [
        f"EXISTS (SELECT FROM {change.net} m WHERE m.reason IS NULL AND m.was AND {same} AND NOT ({change.same_key('m.k', 'n.k')}))"
        for unique in change.structure.uniques
        if not unique.primary and not unique.deferrable and change.holds(unique.columns)
        for same in [
            _compare(_spelled(change, "m.o", unique.columns), unique.operators, _spelled(change, "n.n", unique.columns))
        ]
    ]
    # An update cannot set such a column, an insert can.
    wanted += [
        f"n.o{column.number} IS DISTINCT FROM n.n{column.number}" for column in change.columns if column.identity == "a"
    ]
    return sum(
        session.execute(
            f"UPDATE {change.net} net SET anew = true WHERE NOT anew AND ctid IN (SELECT n.ctid FROM {change.net} n WHERE {plain} AND {condition})"
        ).rowcount
        for condition in wanted
    )


def _delete(change: Change) -> str:
    return (
        f"DELETE FROM {change.table.sql} t USING {change.net} n WHERE {change.at_key('n.k')}"
        " AND n.reason IS NULL AND n.stands AND (NOT n.was OR n.anew)"
    )


def _update(change: Change) -> str:
    sets = ", ".join(
        f"{column.sql} = n.o{column.number}"
        for column in change.columns
        if not column.generated and column.identity != "a"
    )
    return (
        f"UPDATE {change.table.sql} t SET {sets} FROM {change.net} n WHERE {change.at_key('n.k')}"
        " AND n.reason IS NULL AND n.stands AND n.was AND NOT n.anew"
    )


def _insert(change: Change) -> str:
    columns = [column for column in change.columns if not column.generated]
    return (
        f"INSERT INTO {change.table.sql} ({identifiers(column.name for column in columns)}) OVERRIDING SYSTEM VALUE"
        f" SELECT {', '.join(f'n.o{column.number}' for column in columns)} FROM {change.net} n"
        " WHERE n.reason IS NULL AND n.was AND (NOT n.stands OR n.anew)"
    )
