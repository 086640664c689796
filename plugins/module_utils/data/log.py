# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action log: what each statement has done to chosen tables, with the images of the rows before and after it.

One row of plano_delivery.action is one statement; its images are rows of plano_delivery.log_N, which has the table's own columns, named
by their number (c1, c2, …), so that a rename, a new column or another type later neither breaks the log nor is held up by it. An update
leaves two images, the old one and the new one; nothing pairs them, because nothing needs to: an undo nets them out per key.

A trigger compares the structure of its table with the one it was made for. Where they differ, it writes jsonb into
plano_delivery.log_other until the log is set up again: the application's statement never fails, and nothing is missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

from . import catalog, runs
from .errors import DataError
from .names import Table, identifier, literal
from .session import Session

SCHEMA = "plano_delivery"
INSERT, UPDATE, DELETE, TRUNCATE = "I", "U", "D", "T"
VERBS = {INSERT: "insert", UPDATE: "update", DELETE: "delete", TRUNCATE: "truncate"}
# Pages of 8 kB that one entry of the index sums up: actions are written in their order, so few ranges hold one run.
_BRIN = "USING brin (action) WITH (pages_per_range = 32, autosummarize = on)"
# What a structure is, in one number: the same as long as no column is added, dropped, renamed or of another type.
_FINGERPRINT = (
    "(SELECT bit_xor(hashtextextended(attname::text, (attnum::bigint << 32) | atttypid::bigint))"
    " FROM pg_attribute WHERE attrelid = {} AND attnum > 0 AND NOT attisdropped)"
)

DDL = f"""
CREATE SEQUENCE IF NOT EXISTS {SCHEMA}.action_number;
CREATE TABLE IF NOT EXISTS {SCHEMA}.action (
    id bigint PRIMARY KEY,
    run text,
    xid xid8 NOT NULL,
    role text NOT NULL,
    at timestamptz NOT NULL,
    source int NOT NULL,
    verb "char" NOT NULL,
    structure bigint,
    rows bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS action_run ON {SCHEMA}.action (run) WHERE run IS NOT NULL;
COMMENT ON TABLE {SCHEMA}.action IS 'One statement on a logged table; rows counts images: an update of one row has two; structure: of what is in log_other';
CREATE TABLE IF NOT EXISTS {SCHEMA}.logged (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema text NOT NULL,
    name text NOT NULL,
    columns jsonb NOT NULL,
    key jsonb NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS logged_now ON {SCHEMA}.logged (schema, name) WHERE ended IS NULL;
COMMENT ON TABLE {SCHEMA}.logged IS 'One structure a logged table has or had; its images are in log_<id>';
CREATE TABLE IF NOT EXISTS {SCHEMA}.log_other (action bigint NOT NULL, added boolean NOT NULL, image jsonb NOT NULL);
CREATE INDEX IF NOT EXISTS log_other_action ON {SCHEMA}.log_other {_BRIN};
COMMENT ON TABLE {SCHEMA}.log_other IS 'Images from between a change of a structure and the next time the log was set up';
CREATE TABLE IF NOT EXISTS {SCHEMA}.mark (
    name text PRIMARY KEY,
    action bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    reason text NOT NULL,
    version text NOT NULL
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.log_erasure (
    at timestamptz NOT NULL DEFAULT clock_timestamp(), tables text[] NOT NULL, images bigint NOT NULL, actor text NOT NULL, reason text NOT NULL
);
COMMENT ON TABLE {SCHEMA}.log_erasure IS 'That images were erased for privacy, and how many; not whose';
CREATE OR REPLACE FUNCTION {SCHEMA}.refuse_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $refuse$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of %.% is refused: its rows are logged; use DELETE', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = '0A000';
END $refuse$;
CREATE OR REPLACE FUNCTION {SCHEMA}.touched(of_run text, relation text) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $touched$
DECLARE
    source record;
    list text;
BEGIN
    FOR source IN SELECT id, columns FROM {SCHEMA}.logged WHERE schema || '.' || name = relation LOOP
        SELECT string_agg(format('l.%I AS %I', 'c' || (c ->> 0), c ->> 1), ', ') INTO list FROM jsonb_array_elements(source.columns) c;
        RETURN QUERY EXECUTE format('SELECT to_jsonb(image) FROM {SCHEMA}.action a JOIN {SCHEMA}.log_%s l ON l.action = a.id'
            ' CROSS JOIN LATERAL (SELECT %s) image WHERE a.run = $1', source.id, list) USING of_run;
    END LOOP;
    RETURN QUERY SELECT l.image FROM {SCHEMA}.action a JOIN {SCHEMA}.logged s ON s.id = a.source JOIN {SCHEMA}.log_other l ON l.action = a.id
        WHERE a.run = of_run AND s.schema || '.' || s.name = relation;
END $touched$;
COMMENT ON FUNCTION {SCHEMA}.touched IS 'Every image of a row of a table that a run has left, also once the rows are gone: for who is concerned';
"""

_FUNCTION = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $log$
#variable_conflict use_variable
DECLARE
    this bigint := nextval('plano_delivery.action_number');
    print bigint := {fingerprint};
    typed boolean := TG_ARGV[0]::bigint = print;
    images bigint;
    digits text;
    style text;
BEGIN
    IF typed THEN
        IF TG_OP = 'UPDATE' THEN
            INSERT INTO {log} (action, added, {into})
            SELECT this, false, {before} FROM plano_before o UNION ALL SELECT this, true, {after} FROM plano_after n;
        ELSIF TG_OP = 'INSERT' THEN
            INSERT INTO {log} (action, added, {into}) SELECT this, true, {after} FROM plano_after n;
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO {log} (action, added, {into}) SELECT this, false, {before} FROM plano_before o;
        ELSE
            EXECUTE format({truncated}, TG_TABLE_SCHEMA, TG_TABLE_NAME) USING this;
        END IF;
        GET DIAGNOSTICS images = ROW_COUNT;
    ELSE
        -- jsonb holds what a value's text says: it must say all of it.
        digits := current_setting('extra_float_digits');
        style := current_setting('IntervalStyle');
        PERFORM set_config('extra_float_digits', '1', true), set_config('IntervalStyle', 'postgres', true);
        IF TG_OP = 'UPDATE' THEN
            INSERT INTO plano_delivery.log_other (action, added, image)
            SELECT this, false, to_jsonb(o) FROM plano_before o UNION ALL SELECT this, true, to_jsonb(n) FROM plano_after n;
        ELSIF TG_OP = 'INSERT' THEN
            INSERT INTO plano_delivery.log_other (action, added, image) SELECT this, true, to_jsonb(n) FROM plano_after n;
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO plano_delivery.log_other (action, added, image) SELECT this, false, to_jsonb(o) FROM plano_before o;
        ELSE
            EXECUTE format('INSERT INTO plano_delivery.log_other (action, added, image) SELECT $1, false, to_jsonb(o) FROM ONLY %I.%I o',
                TG_TABLE_SCHEMA, TG_TABLE_NAME) USING this;
        END IF;
        GET DIAGNOSTICS images = ROW_COUNT;
        PERFORM set_config('extra_float_digits', digits, true), set_config('IntervalStyle', style, true);
    END IF;
    IF images > 0 THEN
        INSERT INTO plano_delivery.action (id, run, xid, role, at, source, verb, structure, rows)
        VALUES (this, nullif(current_setting('{setting}', true), ''), pg_current_xact_id(), session_user, clock_timestamp(),
            {number}, left(TG_OP, 1)::"char", CASE WHEN NOT typed THEN print END, images);
    END IF;
    RETURN NULL;
END $log$
"""
_TRIGGERS = {
    "plano_log_insert": "AFTER INSERT ON {} REFERENCING NEW TABLE AS plano_after",
    "plano_log_update": "AFTER UPDATE ON {} REFERENCING OLD TABLE AS plano_before NEW TABLE AS plano_after",
    "plano_log_delete": "AFTER DELETE ON {} REFERENCING OLD TABLE AS plano_before",
    "plano_log_truncate": "BEFORE TRUNCATE ON {}",
}


@dataclass(frozen=True)
class ImageColumn:
    """A column as it was when its table was set up: *base* is its type within the log."""

    number: int
    name: str
    type: str
    base: str

    @property
    def sql(self) -> str:
        """Its name within the log."""
        return f"c{self.number}"


@dataclass(frozen=True)
class Source:
    """One structure a logged table has or had."""

    number: int
    table: Table
    columns: tuple[ImageColumn, ...]
    key: tuple[str, ...]
    now: bool

    @property
    def log(self) -> str:
        return f"{SCHEMA}.log_{self.number}"


def columns_of(structure: catalog.Structure) -> tuple[ImageColumn, ...]:
    """Return what an image of a row holds: all but generated columns, which follow from the others, unless they are in the key."""
    key = structure.key.columns if structure.key else ()
    return tuple(
        ImageColumn(column.number, column.name, column.bare, column.base)
        for column in structure.columns
        if not column.generated or column.name in key
    )


def sources(session: Session) -> list[Source]:
    """Return every structure there are images of, the oldest first."""
    return [
        Source(
            number, Table(schema, name), tuple(ImageColumn(*column) for column in columns), tuple(key), ended is None
        )
        for number, schema, name, columns, key, ended in session.rows(
            f"SELECT id, schema, name, columns, key, ended FROM {SCHEMA}.logged ORDER BY id"
        )
    ]


def refusal(structure: catalog.Structure) -> str:
    """Return why a table cannot be logged, empty when it can."""
    table = structure.table
    if table.schema == SCHEMA or structure.persistence == "t":
        return f"{table} is no table of the application's"
    if structure.root != table:
        return f"{table} is a partition: log {structure.root}, which includes it"
    if structure.key is None:
        return f"{table} has no primary key, so that its rows cannot be told apart: add one"
    if structure.inherits:
        return f"{table} inherits or is inherited from: its rows are in more than one table; use partitions"
    if structure.rules:
        return f"{table} has rules: what a statement does to it cannot be known"
    if structure.row_security == "forced":
        return f"{table} forces row security on its owner, who would then not see every row: ALTER TABLE … NO FORCE ROW LEVEL SECURITY"
    return ""


def drift(session: Session, structures: Mapping[Table, catalog.Structure], truncate: str) -> dict[Table, list[str]]:
    """Return, for each table, what keeps its log from being whole: nothing for one that is set up as asked."""
    known = {source.table: source for source in sources(session) if source.now}
    return {table: _drift(session, structure, known.get(table), truncate) for table, structure in structures.items()}


def _drift(session: Session, structure: catalog.Structure, source: Source | None, truncate: str) -> list[str]:
    if source is None:
        return [f"{structure.table} is not logged"]
    found = []
    if source.columns != columns_of(structure) or source.key != (structure.key.columns if structure.key else ()):
        found.append(
            f"the structure of {structure.table} has changed: images are kept as jsonb until the log is set up again"
        )
    members = [structure.table, *structure.partitions]
    members_now = catalog.read(session, members)
    prints = fingerprints(session, [members_now[member].oid for member in members])
    for member in members:
        has = {
            trigger.name: (trigger.function, trigger.arguments, trigger.enabled)
            for trigger in members_now[member].triggers
        }
        wanted = _wanted(source.number, prints[members_now[member].oid], truncate)
        if not has.keys() & wanted.keys():
            found.append(f"{'partition ' if member != structure.table else ''}{member} has no triggers")
        elif any(has.get(name) != trigger for name, trigger in wanted.items()):
            found.append(f"triggers of {member} are missing, disabled or out of date")
    return found


def _wanted(number: int, fingerprint: int, truncate: str) -> dict[str, tuple[Table, tuple[str, ...], str]]:
    logs = (Table(SCHEMA, f"log_{number}"), (str(fingerprint),), "O")
    refuses: tuple[Table, tuple[str, ...], str] = (Table(SCHEMA, "refuse_truncate"), (), "O")
    return {name: refuses if name == "plano_log_truncate" and truncate == "refuse" else logs for name in _TRIGGERS}


def fingerprints(session: Session, oids: Sequence[int]) -> dict[int, int]:
    """Return what the structure of each of these tables is, in one number."""
    return dict(session.rows(f"SELECT t.oid, {_FINGERPRINT.format('t.oid')} FROM unnest(%s::oid[]) AS t (oid)", [oids]))


def set_up(session: Session, structure: catalog.Structure, truncate: str) -> None:
    """Log a table from here on. Stands in a transaction; waits for writers, who wait for it."""
    table = structure.table
    session.execute(f"LOCK TABLE {table.sql} IN SHARE ROW EXCLUSIVE MODE")
    structure = catalog.read_one(session, table)
    reason = refusal(structure)
    if reason or structure.key is None:
        raise DataError(reason)
    _follow_rename(session, structure)
    columns, key = columns_of(structure), structure.key.columns
    now = next((source for source in sources(session) if source.now and source.table == table), None)
    if now is None or (now.columns, now.key) != (columns, key):
        session.execute(
            f"UPDATE {SCHEMA}.logged SET ended = clock_timestamp() WHERE ended IS NULL AND (schema, name) = (%s, %s)",
            [*table],
        )
        number = session.value(
            f"INSERT INTO {SCHEMA}.logged (schema, name, columns, key) VALUES (%s, %s, %s::jsonb, %s::jsonb) RETURNING id",
            [*table, json.dumps([_row(column) for column in columns]), json.dumps(key)],
        )
        now = Source(number, table, columns, key, True)
        for statement in _log_table(now):
            session.execute(statement)
    members = catalog.read(session, [table, *structure.partitions])
    prints = fingerprints(session, [member.oid for member in members.values()])
    for member in members.values():
        for name, (function, arguments, _enabled) in _wanted(now.number, prints[member.oid], truncate).items():
            session.execute(f"DROP TRIGGER IF EXISTS {name} ON {member.table.sql}")
            session.execute(
                f"CREATE TRIGGER {name} {_TRIGGERS[name].format(member.table.sql)} FOR EACH STATEMENT"
                f" EXECUTE FUNCTION {function.sql}({', '.join(map(literal, arguments))})"
            )


def set_up_again(session: Session) -> None:
    """Log every table that the log believes to be logged; stands in a transaction that has put other tables in their place."""
    wanted = [source.table for source in sources(session) if source.now]
    structures = catalog.read(session, wanted)
    for table, found in drift(session, structures, "log").items():
        if found:
            set_up(session, structures[table], "log")


def _follow_rename(session: Session, structure: catalog.Structure) -> None:
    """A table that was renamed since brings its triggers along: what was logged of it under its old name is this table's."""
    numbers = {
        int(trigger.function.name[4:])
        for trigger in structure.triggers
        if trigger.function.schema == SCHEMA and trigger.function.name.startswith("log_")
    }
    for old in {
        source.table for source in sources(session) if source.number in numbers and source.table != structure.table
    }:
        if old not in catalog.read(session, [old]):
            session.execute(
                f"UPDATE {SCHEMA}.logged SET schema = %s, name = %s WHERE (schema, name) = (%s, %s)",
                [*structure.table, *old],
            )


def _row(column: ImageColumn) -> list[Any]:
    return [column.number, column.name, column.type, column.base]


def _log_table(source: Source) -> Iterable[str]:
    made = ", ".join(f"{column.sql} {column.base}" for column in source.columns)
    # A cast only where the log keeps another type than the table.
    before, after = (
        ", ".join(f"{alias}.{identifier(c.name)}{'' if c.type == c.base else f'::{c.base}'}" for c in source.columns)
        for alias in "on"
    )
    into = ", ".join(column.sql for column in source.columns)
    yield f"CREATE TABLE {source.log} (action bigint NOT NULL, added boolean NOT NULL, {made})"
    yield f"CREATE INDEX log_{source.number}_action ON {source.log} {_BRIN}"
    yield f"COMMENT ON TABLE {source.log} IS {literal(f'Images of rows of {source.table}')}"
    truncated = f"INSERT INTO {source.log} (action, added, {into}) SELECT $1, false, {before.replace('%', '%%')} FROM ONLY %I.%I o"
    yield _FUNCTION.format(
        function=source.log, log=source.log, into=into, before=before, after=after, number=source.number,
        fingerprint=_FINGERPRINT.format("TG_RELID"), truncated=literal(truncated), setting=runs.SETTING,
    )  # fmt: skip


def take_down(session: Session, structure: catalog.Structure) -> None:
    """Log a table no longer; what was logged stays until it is purged."""
    for member in catalog.read(session, [structure.table, *structure.partitions]).values():
        for name in _TRIGGERS:
            session.execute(f"DROP TRIGGER IF EXISTS {name} ON {member.table.sql}")
    session.execute(
        f"UPDATE {SCHEMA}.logged SET ended = clock_timestamp() WHERE ended IS NULL AND (schema, name) = (%s, %s)",
        [*structure.table],
    )


def is_logged(structure: catalog.Structure) -> bool:
    """Whether a table has any of the log's triggers."""
    return any(trigger.name in _TRIGGERS for trigger in structure.triggers)


def set_mark(session: Session, name: str, stamp: runs.Stamp) -> bool:
    """Name this point of the log; return False when the name is taken already, which changes nothing.

    Waits for every transaction that is writing to a logged table and keeps others from beginning to, so that none is on both sides.
    """
    runs.check_id(name)
    with session.transaction():
        tables = sorted({source.table for source in sources(session) if source.now})
        if not tables:
            raise DataError("no table is logged: a mark would mark nothing")
        present = sorted(catalog.read(session, tables))
        if present:
            session.execute(f"LOCK TABLE {', '.join(table.sql for table in present)} IN SHARE MODE")
        return (
            session.execute(
                f"INSERT INTO {SCHEMA}.mark (name, action, actor, reason, version)"
                f" SELECT %s, nextval('{SCHEMA}.action_number'), %s, %s, %s"
                f" WHERE NOT EXISTS (SELECT FROM {SCHEMA}.mark WHERE name = %s) ON CONFLICT DO NOTHING",
                [name, stamp.actor, stamp.reason, stamp.version, name],
            ).rowcount
            == 1
        )


# A run goes as a whole, or an undo of the rest would be wrong; one that is not over stays.
_OLD = f"""
SELECT a.id FROM {SCHEMA}.action a WHERE a.at < %(before)s AND (a.run IS NULL OR NOT EXISTS (
    SELECT FROM {SCHEMA}.action later WHERE later.run = a.run AND later.at >= %(before)s
) AND NOT EXISTS (SELECT FROM {SCHEMA}.run r WHERE r.id = a.run AND r.state IN ('{runs.PENDING}', '{runs.REVERTING}')))
"""


def old_actions(session: Session, keep_days: int) -> int:
    """Return how many statements are older than the log keeps."""
    return int(session.value(f"SELECT count(*) FROM ({_OLD}) old", {"before": _cutoff(session, keep_days)}))


def _cutoff(session: Session, keep_days: int) -> Any:
    return session.value("SELECT now() - make_interval(days => %s)", [keep_days])


def purge(session: Session, keep_days: int) -> int:
    """Delete what is older than *keep_days* days, its marks too; return how many images went. Tables nobody logs now go when empty."""
    before = _cutoff(session, keep_days)
    with session.transaction():
        session.execute("CREATE TEMP TABLE plano_old (id bigint PRIMARY KEY) ON COMMIT DROP")
        session.execute(f"INSERT INTO pg_temp.plano_old {_OLD}", {"before": before})
        gone = 0
        for source in sources(session):
            gone += session.execute(
                f"DELETE FROM {source.log} l USING pg_temp.plano_old o WHERE l.action = o.id"
            ).rowcount
        gone += session.execute(
            f"DELETE FROM {SCHEMA}.log_other l USING pg_temp.plano_old o WHERE l.action = o.id"
        ).rowcount
        session.execute(f"DELETE FROM {SCHEMA}.action a USING pg_temp.plano_old o WHERE a.id = o.id")
        session.execute(f"DELETE FROM {SCHEMA}.mark WHERE at < %s", [before])
        for source in sources(session):
            if not source.now and not session.value(
                f"SELECT 1 FROM {SCHEMA}.action WHERE source = %s"
                " UNION ALL SELECT 1 FROM pg_trigger WHERE tgfoid = to_regproc(%s) LIMIT 1",
                [source.number, source.log],
            ):
                session.execute(f"DROP TABLE {source.log}")
                session.execute(f"DROP FUNCTION {source.log}()")
                session.execute(f"DELETE FROM {SCHEMA}.logged WHERE id = %s", [source.number])
    return gone


def erase(session: Session, table: Table, key: Mapping[str, str]) -> int:
    """Remove every image of the row of *table* with this key; return how many there were. Their statements stay, without images."""
    count = 0
    known = [source for source in sources(session) if source.table == table]
    if not known:
        raise DataError(f"nothing is logged of {table}: see its name, and whether it was logged under another one")
    for source in known:
        if set(key) != set(source.key):
            raise DataError(f"{table}: give a value for each column of its key: {', '.join(source.key)}")
        columns = {column.name: column for column in source.columns}
        typed = " AND ".join(f"l.{columns[name].sql} = %s::{columns[name].base}" for name in source.key)
        other = " AND ".join(
            f"(l.image ->> %s)::{columns[name].base} = %s::{columns[name].base}" for name in source.key
        )
        values = [str(key[name]) for name in source.key]
        count += session.execute(f"DELETE FROM {source.log} l WHERE {typed}", values).rowcount
        count += session.execute(
            f"DELETE FROM {SCHEMA}.log_other l WHERE l.action IN (SELECT id FROM {SCHEMA}.action WHERE source = %s AND structure IS NOT NULL) AND {other}",
            [source.number, *(word for name in source.key for word in (name, str(key[name])))],
        ).rowcount
    return count


def note_erasure(session: Session, tables: Sequence[Table], images: int, stamp: runs.Stamp) -> None:
    """Write down that images were erased, not whose."""
    session.execute(
        f"INSERT INTO {SCHEMA}.log_erasure (tables, images, actor, reason) VALUES (%s, %s, %s, %s)",
        [[str(table) for table in tables], images, stamp.actor, stamp.reason],
    )


def sizes(session: Session) -> dict[Table, tuple[int, int]]:
    """Return each table's bytes of images on disk and how many its statements have left, erased ones included."""
    found: dict[Table, tuple[int, int]] = {}
    rows = dict(session.rows(f"SELECT source, sum(rows)::bigint FROM {SCHEMA}.action GROUP BY source"))
    for source in sources(session):
        size = session.value("SELECT pg_total_relation_size(%s::regclass)", [source.log])
        before = found.get(source.table, (0, 0))
        found[source.table] = (before[0] + size, before[1] + rows.get(source.number, 0))
    return found
