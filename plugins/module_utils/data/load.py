# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guarded import: a file is staged, judged, published in one transaction, judged again before anybody sees it, and confirmed or gone.

    read ──> stage ──> rules on staging ──> publish ┐ rules on live ──> commit ──> checks ──> accepted
      └ failed           └ held                     └ reverted (rolled back)         └ reverted (undone by the log)

Killed or cut off at any moment, live data is old or new: the run's state moves in the transaction that publishes, and the next import with
the same id reads there how the last one ended.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Iterator, Mapping, Sequence

from ..engine import health
from ..engine.systemd import Host
from . import catalog, checks, home, rules, runs, violations
from .book import Book, Page
from .catalog import Column, Structure, Unique
from .errors import DataError, ServerError
from .names import Table, identifier, identifiers, literal
from .rules import LIVE, STAGING, Finding, Known, Limit, Place, Rule, RuleError, Shape
from .session import Login, Session, connect
from .source import Dialect, Reader, Source
from .staging import Item, Loaded, Staging, load, name_of, sweep
from .violations import Violation

INSERT, UPSERT = "insert", "upsert"
MODES = (INSERT, UPSERT)
FAIL, QUARANTINE = "fail", "quarantine"
ACCEPTED, HELD, REVERTED, FAILED = "accepted", "held", "reverted", "failed"
# The ids of runs without one: the same file for the same table is the same run.
NAMESPACE = uuid.UUID("6f1a53cc-5d3c-5b8e-9d5c-6b1f6f0d9c11")
# Staging, live data and the write-ahead log each take about as much as the file.
ROOM = 3
# How long to wait for a server that was lost before giving up to learn how the run ended, in seconds.
SETTLE_SECONDS = 10.0
# Types whose equality is that of their values and is found without a search path; all others are compared as text.
_COMPARED = frozenset(
    (
        *(
            "smallint",
            "integer",
            "bigint",
            "numeric",
            "real",
            "double precision",
            "boolean",
            "text",
            "character varying",
            "uuid",
        ),
        *(
            "date",
            "timestamp without time zone",
            "timestamp with time zone",
            "interval",
            "bytea",
            "jsonb",
            "inet",
            "cidr",
        ),
    )
)


Undo = Callable[[Session, str], Any]


@dataclass(frozen=True)
class Job:
    """What to import where, and under which rules. The maps say: field of the file to column, column to constant."""

    source: Source
    target: Table
    dialect: Dialect = field(default_factory=Dialect)
    run: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    ignore: Sequence[str] = ()
    key: Sequence[str] = ()
    mode: str = UPSERT
    delete_missing: bool = False
    constants: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    after: Sequence[str] = ()
    rules: Any = ()
    checkpoint: Mapping[Table, Known] = field(default_factory=dict)
    on_bad_row: str = FAIL
    max_bad_rows: Limit = field(default_factory=Limit)
    checks: Sequence[dict[str, Any]] = ()
    checks_seconds: float = 10.0
    keys: int = violations.MOST
    retention_days: float = 30.0


@dataclass(frozen=True)
class Plan:
    """A job that fits its table."""

    structure: Structure
    items: tuple[Item, ...]
    key: Unique | None
    rules: tuple[Rule, ...]
    implied: tuple[Rule, ...]

    @property
    def table(self) -> Table:
        return self.structure.table

    @property
    def staged(self) -> tuple[Column, ...]:
        return tuple(item.column for item in self.items if item.column)


@dataclass
class Result:
    """How an import ended, in names and counts."""

    run: str
    target: Table
    outcome: str = ""
    changed: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    staging: str = ""
    planned: bool = False

    @property
    def failures(self) -> list[dict[str, Any]]:
        return failures(self.findings)

    def told(self) -> dict[str, Any]:
        """Return it as a module's result."""
        return {
            "changed": self.changed,
            "run": self.run,
            "target": str(self.target),
            "outcome": self.outcome,
            "rows": self.rows,
            "rules": [finding.told() for finding in self.findings],
            "failures": self.failures,
            "seconds": {phase: round(seconds, 3) for phase, seconds in self.seconds.items()},
            "reason": self.reason,
            "staging": self.staging,
        }

    def diff(self) -> dict[str, str]:
        """Return what changes in live data, in counts."""
        told = [
            f"{name}: {self.rows[name]}\n"
            for name in ("inserted", "updated", "deleted")
            if self.changed and self.rows.get(name)
        ]
        return {
            "before_header": str(self.target),
            "after_header": str(self.target),
            "before": "",
            "after": "".join(told),
        }

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began


def failures(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return the broken ones as the log and the ledger keep them."""
    return [
        {"rule": finding.rule.name, "severity": finding.rule.severity, "rows": finding.failures}
        for finding in findings
        if not finding.passed
    ]


class _Broken(Exception):
    """Rules were broken by rows that nobody has seen; the transaction goes with it."""

    def __init__(self, findings: list[Finding], found: list[Violation]) -> None:
        super().__init__()
        self.findings = findings
        self.found = found


# --- planning ------------------------------------------------------------------------------------------------------------------


def plan(session: Session, job: Job, fields: Sequence[str]) -> Plan:
    """Fit *job* and the file's *fields* to the table. Raises DataError with everything that does not fit."""
    structure = catalog.read_one(session, job.target)
    name = job.source.name
    faults = [f"mode {job.mode!r} is unknown; known are {', '.join(MODES)}"] if job.mode not in MODES else []
    columns = {column.name: column for column in structure.columns}
    items = []
    for place, found in enumerate(fields):
        if found in fields[:place]:
            faults.append(f"{name}:1: column {found!r} stands there more than once")
            continue
        column = columns.get(job.columns.get(found, found))
        if found in job.ignore:
            column = None
        elif column is None:
            faults.append(
                f"{name}:1: column {found!r} is no column of {job.target}; it has {', '.join(columns)}. Map it with columns, or ignore it"
            )
        elif column.generated:
            faults.append(f"{name}:1: column {found!r} is generated by {job.target} and cannot be given")
        items.append(Item(found, column))
    staged = [item.name for item in items if item.column]
    faults += [
        f"{name}:1: column {found!r} is missing in the file"
        for found in (*job.columns, *job.ignore)
        if found not in fields
    ]
    faults += [
        f"{name}:1: column {twice} of {job.target} is given by more than one column"
        for twice in dict.fromkeys(staged)
        if staged.count(twice) > 1
    ]
    for constant in job.constants:
        if constant not in columns:
            faults.append(f"set {constant}: is no column of {job.target}")
        elif constant in staged:
            faults.append(f"set {constant}: the file gives this column too")
    faults += [
        f"{name}:1: column {column.name!r} is missing: {job.target} needs a value there, and neither the file nor set has one"
        for column in structure.columns
        if column.not_null
        and not (
            column.default
            or column.generated
            or column.identity
            or column.name in staged
            or column.name in job.constants
        )
    ]
    key = _key(structure, job, staged, faults)
    found_rules: list[Rule] = []
    try:
        found_rules = rules.parse(list(job.rules), checks.Eyes(session), job.target)
    except RuleError as error:
        faults += error.faults
    faults += _unstaged(found_rules, staged, job.target)
    if faults:
        raise DataError("; ".join(faults))
    sound = tuple(items)
    implied = _implied(session, structure, [item.column for item in sound if item.column], key, found_rules)
    return Plan(structure, sound, key, tuple(found_rules), implied)


def _key(structure: Structure, job: Job, staged: Sequence[str], faults: list[str]) -> Unique | None:
    """Return the unique index that tells which row of the file is which of the table."""
    able = [unique for unique in structure.uniques if unique.whole and not unique.deferrable]
    wanted = list(job.key)
    if wanted:
        found = next((unique for unique in able if set(unique.columns) == set(wanted) or [unique.name] == wanted), None)
        if found is None:
            known = "; ".join(f"{unique.name} ({', '.join(unique.columns)})" for unique in able) or "none"
            faults.append(f"key {', '.join(wanted)}: {job.target} has no such unique constraint; it has {known}")
    else:
        found = next((unique for unique in able if unique.primary), None)
        if found is None and job.mode == UPSERT:
            faults.append(f"{job.target} has no primary key: name a unique constraint with key, or use mode insert")
    missing = [name for name in (found.columns if found else ()) if name not in staged]
    if missing and job.mode == UPSERT:
        faults.append(
            f"{job.source.name}:1: column {', '.join(missing)} of the key is not in the file; name another key"
        )
    if job.delete_missing and job.mode != UPSERT:
        faults.append("delete_missing needs mode upsert")
    return found if found and not missing else None


def _unstaged(asked: Sequence[Rule], staged: Sequence[str], target: Table) -> list[str]:
    faults = []
    for rule in asked:
        if rule.table != target or rule.on == LIVE or rule.check == "query":
            continue
        named = [rule.options[key] for key in ("column", "from", "to") if key in rule.options]
        named += [*rule.options.get("columns", []), *rule.options.get("key", [])]
        faults += [
            f"rule {rule.name}: column {name} is not in the file; judge it with `on: live`"
            for name in named
            if name not in staged
        ]
    return faults


def _implied(
    session: Session, structure: Structure, staged: Sequence[Column], key: Unique | None, given: Sequence[Rule]
) -> tuple[Rule, ...]:
    """Return the rules that the table itself has, so that what it would refuse is found with its keys before it is published."""
    names = [column.name for column in staged]
    found = [
        Rule(
            f"{column.name} must not be null",
            "not_null",
            structure.table,
            on=STAGING,
            options={"columns": [column.name]},
        )
        for column in staged
        if column.not_null or (key and column.name in key.columns)
    ]
    for constraint, expression, columns in session.rows(
        "SELECT c.conname, pg_get_expr(c.conbin, c.conrelid), ARRAY(SELECT a.attname::text FROM pg_attribute a"
        " WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey))"
        " FROM pg_constraint c WHERE c.conrelid = %s AND c.contype = 'c' ORDER BY c.conname",
        [structure.oid],
    ):
        if set(columns) <= set(names):
            found.append(
                Rule(f"constraint {constraint}", "constraint", structure.table, on=STAGING, options={"sql": expression})
            )
    covered = {frozenset(rule.options["columns"]) for rule in given if rule.check == "unique" and rule.on != LIVE}
    if key and frozenset(key.columns) not in covered:
        found.append(
            Rule(
                f"key {', '.join(key.columns)} must be unique",
                "unique",
                structure.table,
                on=STAGING,
                options={"columns": list(key.columns)},
            )
        )
    return tuple(found)


def preview(session: Session, made: Plan, job: Job, staging: Staging) -> dict[str, int]:
    """Count what publishing would do, without doing it."""
    staged = int(session.value(f"SELECT count(*) FROM {staging.sql}"))
    if job.mode == INSERT or made.key is None:
        return {"inserted": staged, "updated": 0, "unchanged": 0, "deleted": 0}
    same = _same(made.key)
    matched, updated = session.rows(
        f"SELECT count(*), count(*) FILTER (WHERE {_differs(made)}) FROM {made.table.sql} t JOIN {staging.sql} s ON {same}"
    )[0]
    deleted = 0
    if job.delete_missing:
        deleted = int(session.value(f"SELECT count(*) FROM {made.table.sql} t WHERE {_missing(made.key, staging)}"))
    return {"inserted": staged - matched, "updated": updated, "unchanged": matched - updated, "deleted": deleted}


# --- publishing ----------------------------------------------------------------------------------------------------------------


def publish(session: Session, made: Plan, job: Job, staging: Staging, words: Mapping[str, str]) -> dict[str, int]:
    """Bring the staged rows to the table, which nobody else writes to meanwhile; rows that are the same are not touched."""
    columns = [column.name for column in made.staged]
    constants = {
        name: _constant(made.structure.column(name), _filled(text, words)) for name, text in job.constants.items()
    }
    system = " OVERRIDING SYSTEM VALUE" if any(column.identity == "a" for column in made.staged) else ""
    insert = (
        f"INSERT INTO {made.table.sql} ({identifiers([*columns, *constants])}){system}"
        f" SELECT {', '.join([*(f's.{identifier(name)}' for name in columns), *constants.values()])} FROM {staging.sql} s"
    )
    # In the order of the key: its index then grows at its end, which saves about a quarter of the time.
    order = f" ORDER BY {identifiers(made.key.columns, 's.')}" if made.key else ""
    staged = int(session.value(f"SELECT count(*) FROM {staging.sql}"))
    if job.mode == INSERT or made.key is None or not session.value(f"SELECT EXISTS (SELECT FROM {made.table.sql})"):
        inserted = session.execute(insert + order).rowcount
        return {"inserted": inserted, "updated": 0, "unchanged": 0, "deleted": 0}
    session.execute(f"ANALYZE {staging.sql}")
    deleted = updated = 0
    if job.delete_missing:
        deleted = session.execute(f"DELETE FROM {made.table.sql} t WHERE {_missing(made.key, staging)}").rowcount
    settable = [name for name in columns if name not in made.key.columns]
    if settable:
        changes = [f"{identifier(name)} = s.{identifier(name)}" for name in settable]
        changes += [f"{identifier(name)} = {value}" for name, value in constants.items()]
        updated = session.execute(
            f"UPDATE {made.table.sql} AS t SET {', '.join(changes)} FROM {staging.sql} s WHERE {_same(made.key)} AND ({_differs(made)})"
        ).rowcount
    new = f" WHERE NOT EXISTS (SELECT FROM {made.table.sql} t WHERE {_same(made.key)})"
    inserted = session.execute(insert + new + order).rowcount
    return {"inserted": inserted, "updated": updated, "unchanged": staged - inserted - updated, "deleted": deleted}


def _same(key: Unique) -> str:
    return " AND ".join(
        f"t.{identifier(name)} {operator} s.{identifier(name)}" for name, operator in zip(key.columns, key.operators)
    )


def _missing(key: Unique, staging: Staging) -> str:
    return f"NOT EXISTS (SELECT FROM {staging.sql} s WHERE {_same(key)})"


def _differs(made: Plan) -> str:
    keys = made.key.columns if made.key else ()
    compared = [column for column in made.staged if column.name not in keys]
    sides = [
        ", ".join(f"{alias}.{column.sql}" + ("" if _bare(column) in _COMPARED else "::text") for column in compared)
        for alias in "ts"
    ]
    return f"ROW({sides[0]}) IS DISTINCT FROM ROW({sides[1]})" if compared else "false"


def _bare(column: Column) -> str:
    return re.sub(r"\([^)]*\)", "", column.type)


def _constant(column: Column, text: str) -> str:
    return f"CAST({literal(text)} AS {_bare(column)})"


def _filled(text: str, words: Mapping[str, str]) -> str:
    for name, word in words.items():
        text = text.replace(f"%({name})s", word)
    return text


# --- the import ----------------------------------------------------------------------------------------------------------------


@dataclass
class _Import:
    """One import at work."""

    login: Login
    job: Job
    stamp: runs.Stamp
    undo: Undo | None
    host: Host
    result: Result
    digest: str
    reader: Reader
    session: Session
    made: Plan

    @property
    def words(self) -> dict[str, str]:
        return {"run": self.result.run, "file": os.path.basename(self.job.source.name)}

    def place(self, staging: Staging | None) -> Callable[[Rule], Place]:
        """Return what tells where a rule looks: at the staged rows when *staging* is given, else at live tables."""
        eyes = checks.Eyes(self.session)
        types = (eyes(self.job.target) or Shape({})).columns

        def find(rule: Rule) -> Place:
            if staging is not None:
                columns = {item.name: types.get(item.name, "text") for item in self.made.items}
                key = self.made.key or self.made.structure.key
                shape = Shape(columns, key.columns if key and set(key.columns) <= set(columns) else ())
                return Place(rule.table, staging.sql, shape, STAGING)
            if not rule.table.schema:
                return Place(rule.table, "", Shape({}))
            shape = eyes(rule.table) or Shape({})
            if rule.table == self.job.target and self.made.key:
                # What the file calls its rows by: a number that a row has only until it is rolled back helps nobody.
                shape = replace(shape, key=self.made.key.columns)
            return Place(rule.table, rule.table.sql, shape)

        return find

    def staged_rules(self) -> list[Rule]:
        return [*(rule for rule in self.made.rules if STAGING in rules.places_of(rule)), *self.made.implied]

    def judge(
        self, asked: Sequence[Rule], staging: Staging | None, known: Mapping[Table, Known]
    ) -> tuple[list[Finding], list[Violation]]:
        """Judge rules; return what is found of those a user gave and of those that are broken, and the failing keys."""
        place = self.place(staging)
        found = checks.evaluate(self.session, asked, place, lambda rule: known_at(rule, known, self.job.checkpoint))
        keys = [
            violation
            for finding in found
            if finding.failures and not finding.passed
            for violation in checks.failing(self.session, finding, place(finding.rule), self.job.keys)
        ]
        return [finding for finding in found if not finding.passed or finding.rule not in self.made.implied], keys

    # -- steps

    def preview(self) -> None:
        """Do everything up to publishing in a transaction that is rolled back, and count what publishing would do."""
        result, staging = (
            self.result,
            Staging('pg_temp."plano_staging"', self.made.items, self.job.target, lasting=False),
        )
        with contextlib.suppress(_Rollback), self.session.transaction():
            with result.phase("stage"):
                loaded = load(self.session, self.reader, staging, "", None if self.job.on_bad_row == FAIL else _let_be)
            with result.phase("rules"):
                result.findings, _keys = self.judge(self.staged_rules(), staging, {})
            self._count_bad(loaded)
            result.rows = {
                "read": loaded.read,
                "quarantined": loaded.bad,
                **preview(self.session, self.made, self.job, staging),
            }
            raise _Rollback
        result.outcome = HELD if any(finding.breaks for finding in result.findings) else ACCEPTED
        result.reason = _reason(result.findings)
        result.changed = result.outcome == ACCEPTED
        result.planned = True

    def run(self, page: Page) -> None:
        """Import, and write down how it ended."""
        result, run = self.result, self.result.run
        table = name_of(run)
        staging = Staging(table.sql, self.made.items, self.job.target)
        self._prepare(run)
        before = self.job.source.stamp()
        with result.phase("stage"):
            set_aside = None if self.job.on_bad_row == FAIL else self._set_aside
            loaded = load(self.session, self.reader, staging, f"run {run}: {self.job.target}", set_aside)
        if self.job.source.stamp() != before:
            raise DataError(
                f"{self.job.source.name} was changed while it was read; let whoever writes it finish, then run again"
            )
        with result.phase("rules"):
            result.findings, keys = self.judge(self.staged_rules(), staging, {})
        self._count_bad(loaded)
        result.rows = {
            "read": loaded.read,
            "inserted": 0,
            "updated": 0,
            "unchanged": 0,
            "deleted": 0,
            "quarantined": loaded.bad,
        }
        if self.job.delete_missing and not loaded.staged:
            raise DataError(
                f"{self.job.source.name} has no rows, and with delete_missing all of {self.job.target} would go; nothing was done"
            )
        if any(finding.breaks for finding in result.findings):
            self._hold(page, keys, str(table))
            return
        try:
            with result.phase("publish"):
                live = self._publish(staging, keys)
        except _Broken as broken:
            result.findings += broken.findings
            self._end(
                page,
                runs.REVERTED,
                REVERTED,
                keys + broken.found,
                _reason(result.findings) + "; it was rolled back before anybody saw it",
            )
            return
        except ServerError as error:
            broken_constraint = self._constraint(error, staging)
            if broken_constraint is None:
                raise
            finding, more = broken_constraint
            result.findings.append(finding)
            self._hold(page, keys + more, str(table))
            return
        result.findings += live
        result.outcome, result.changed = ACCEPTED, True
        self._write(page)
        with result.phase("analyze"):
            self.session.execute(f"ANALYZE {self.made.table.sql}")
        if self.job.checks:
            self._verify(page)

    def _prepare(self, run: str) -> None:
        session = self.session
        with session.transaction():
            runs.begin(session, run, runs.IMPORT, str(self.job.target), self.stamp)
            session.execute(
                "UPDATE plano_delivery.run SET details = details || jsonb_build_object('sha256', %s::text, 'file', %s::text) WHERE id = %s",
                [self.digest, self.words["file"], run],
            )
            violations.clear(session, run)
        violations.purge(session, self.job.retention_days)
        sweep(session, self.job.retention_days)

    def _set_aside(self, session: Session, table: str) -> None:
        session.execute(
            f"INSERT INTO plano_delivery.quarantine (run, target, line, reason, fields) SELECT %s, %s, line, reason, fields FROM {table}",
            [self.result.run, str(self.job.target)],
        )

    def _count_bad(self, loaded: Loaded) -> None:
        if loaded.bad:
            rule = Rule("readable", "readable", self.job.target, limit=self.job.max_bad_rows, on=STAGING)
            self.result.findings.insert(0, Finding(rule, STAGING, loaded.bad, loaded.read))

    def _publish(self, staging: Staging, keys: list[Violation]) -> list[Finding]:
        session, result, job = self.session, self.result, self.job
        live = [rule for rule in self.made.rules if LIVE in rules.places_of(rule)]
        with session.transaction():
            runs.mark_session(session, result.run)
            session.execute(f"LOCK TABLE {self.made.table.sql} IN SHARE ROW EXCLUSIVE MODE")
            known = checks.before(session, live, self.place(None))
            for statement in job.before:
                session.execute(statement, self.words)
            with checks.quickly(session):
                counts = publish(session, self.made, job, staging, self.words)
            result.rows.update(counts)
            for statement in job.after:
                session.execute(statement, {**self.words, **result.rows})
            with result.phase("live rules"):
                found, more = self.judge(live, None, known)
            if any(finding.breaks for finding in found):
                raise _Broken(found, more)
            violations.keep(session, result.run, keys + more)
            runs.finish(
                session,
                result.run,
                runs.CONFIRMED,
                {"rows": result.rows, "failures": failures(result.findings + found)},
            )
            session.execute(f"DROP TABLE {staging.sql}")
        return found

    def _verify(self, page: Page) -> None:
        """Ask the application whether it is well with what was published; if not, take the run back by the action log."""
        with self.result.phase("checks"):
            fault = health.wait(self.host, self.job.checks, self.job.checks_seconds)
        if fault is None or self.undo is None:  # checks without an undo were refused before anything began
            return
        with self.result.phase("undo"):
            self.undo(self.session, self.result.run)
        self.result.outcome = REVERTED
        self.result.reason = f"{fault}; the run was undone"
        self._write(page)

    def _constraint(self, error: ServerError, staging: Staging) -> tuple[Finding, list[Violation]] | None:
        """Find the staged rows that broke a constraint of the target, None when that is not what went wrong."""
        structure = self.made.structure
        target, name = structure.table, error.constraint
        if not name or error.table not in ("", *map(str, (target, *structure.partitions))):
            return None
        rule = Rule(f"constraint {name}", "constraint", target, on=STAGING)
        staged = {column.name for column in self.made.staged}
        suspects: list[Rule] = []
        for foreign in structure.foreign_keys:
            if foreign.name == name and set(foreign.columns) <= staged:
                options: dict[str, Any] = {
                    "columns": foreign.columns,
                    "references": (foreign.target, foreign.target_columns),
                }
                suspects.append(replace(rule, check="foreign_key", options=options))
        for unique in structure.uniques:
            if unique.name == name and set(unique.columns) <= staged:
                suspects.append(replace(rule, check="unique", options={"columns": unique.columns}))
                suspects.append(replace(rule, options={"sql": f"NOT EXISTS ({self._rivals(unique)})"}))
        for suspect in suspects:
            findings, found = self.judge([suspect], staging, {})
            if findings[0].failures:
                return findings[0], found
        return Finding(rule, STAGING, 1, self.result.rows["read"], str(error)), []

    def _rivals(self, unique: Unique) -> str:
        """Return the SELECT of live rows that stand in the way of the staged row t: those it does not itself replace."""
        same = " AND ".join(
            f"o.{identifier(name)} {operator} t.{identifier(name)}"
            for name, operator in zip(unique.columns, unique.operators)
        )
        key = self.made.key
        itself = ""
        if key and self.job.mode == UPSERT:
            itself = (
                " AND NOT ("
                + " AND ".join(
                    f"o.{identifier(name)} {operator} t.{identifier(name)}"
                    for name, operator in zip(key.columns, key.operators)
                )
                + ")"
            )
        return f"SELECT FROM {self.made.table.sql} o WHERE {same}{itself}"

    def _hold(self, page: Page, keys: list[Violation], table: str) -> None:
        self.result.staging = table
        self._end(
            page,
            runs.HELD,
            HELD,
            keys,
            _reason(self.result.findings) + f"; nothing was published, the rows are in {table}",
        )

    def _end(self, page: Page, state: str, outcome: str, keys: list[Violation], reason: str) -> None:
        """Write down an end without a change of live data."""
        result = self.result
        result.outcome, result.reason, result.changed = outcome, reason, False
        result.rows.update(inserted=0, updated=0, unchanged=0, deleted=0)
        with self.session.transaction():
            violations.keep(self.session, result.run, keys)
            runs.finish(self.session, result.run, state, {**self._details(), "reason": reason})
            if state != runs.HELD:
                self.session.execute(f"DROP TABLE IF EXISTS {name_of(result.run).sql}")
        self._write(page)

    def _details(self) -> dict[str, Any]:
        return {"rows": self.result.rows, "failures": self.result.failures}

    def _write(self, page: Page) -> None:
        result = self.result
        page.write(
            result.outcome,
            target=str(result.target),
            rows={name: count for name, count in result.rows.items() if name != "deleted" or count},
            failures=result.failures,
            seconds=round(sum(result.seconds.values()), 3),
            reason=result.reason or None,
        )

    def settle(self, page: Page, error: DataError) -> None:
        """After an error, learn how the run really ended, and write it down. Raises the error unless the run is confirmed after all."""
        result = self.result
        result.reason = str(error)
        state = ""
        with contextlib.suppress(DataError), _again(self.session, self.login, str(self.job.target)) as session:
            found = runs.find(session, result.run)
            state = found.state if found else ""
            if found and state == runs.PENDING:
                runs.finish(session, result.run, runs.FAILED, {"reason": str(error)})
                session.execute(f"DROP TABLE IF EXISTS {name_of(result.run).sql}")
            elif found and state == runs.CONFIRMED:
                result.rows = found.details.get("rows", result.rows)
        if state == runs.CONFIRMED and result.outcome != ACCEPTED:
            result.outcome, result.changed, result.reason = ACCEPTED, True, ""
            self._write(page)
            return
        if result.outcome != ACCEPTED:
            result.outcome = FAILED
            self._write(page)
        if not state:
            error.args = (f"{error}. How the run ended is not known yet: run the same command again, it looks first",)
        error.details = {**result.told(), "changed": result.changed}  # type: ignore[attr-defined]
        raise error


class _Rollback(Exception):
    pass


def import_file(
    login: Login,
    job: Job,
    stamp: runs.Stamp,
    book: Book,
    undo: Undo | None = None,
    check: bool = False,
    host: Host | None = None,
) -> Result:
    """Import a file as *job* says; with *check* only tell what would come of it. Raises DataError, Busy.

    *undo* takes a run of the target back by its action log, and is needed for checks after the commit.
    """
    if job.checks and undo is None:
        raise DataError(
            f"checks need the action log of {job.target}, by which the run is undone when they fail; log the table first"
        )
    if job.run:
        runs.check_id(job.run)
    reader = Reader(job.source, job.dialect)
    result = Result(job.run, job.target)
    with result.phase("read"):
        digest, size = job.source.digest()
    result.run = job.run or str(uuid.uuid5(NAMESPACE, f"{job.target} {digest}"))
    with connect(login) as session:
        past = runs.find(session, result.run) if home.exists(session) else None
        if past and past.details.get("sha256") not in (None, digest):
            raise DataError(f"run {result.run} was begun with another file; give this one another id")
        made = plan(session, job, reader.fields)
        at_work = _Import(login, job, stamp, undo, host or Host(), result, digest, reader, session, made)
        _room(session, job, size)
        if check:
            if past and _is_over(past, job):
                return _repeat(result, past)
            at_work.preview()
            return result
        with book.change(result.run, "import", stamp.change) as page, session.alone(f"import {job.target}"):
            home.ensure(session)
            past = runs.find(session, result.run)
            if past and _is_over(past, job):
                _mend_book(book, page, result, past)
                return _repeat(result, past)
            page.write("begun", target=str(job.target))
            try:
                at_work.run(page)
            except DataError as error:
                at_work.settle(page, error)
    return result


def _is_over(past: runs.Run | None, job: Job) -> bool:
    return bool(past and past.state == runs.CONFIRMED and (past.kind, past.target) == (runs.IMPORT, str(job.target)))


def _repeat(result: Result, past: runs.Run) -> Result:
    result.outcome, result.rows = ACCEPTED, past.details.get("rows", {})
    return result


def _mend_book(book: Book, page: Page, result: Result, past: runs.Run) -> None:
    """Write the end of a run whose process was killed between its commit and its entry."""
    mine = [
        entry for entry in book.entries() if entry.get("release") == result.run and entry.get("operation") == "import"
    ]
    if mine and mine[-1]["state"] in ("begun", FAILED):
        page.write(
            ACCEPTED,
            target=past.target,
            rows=past.details.get("rows", {}),
            failures=past.details.get("failures", []),
            seconds=0.0,
        )


def known_at(rule: Rule, before: Mapping[Table, Known], checkpoint: Mapping[Table, Known]) -> Known | None:
    """Return what *rule*'s table was like at the time that the rule compares with."""
    return (checkpoint if rule.options.get("against") == rules.CHECKPOINT else before).get(rule.table)


def _let_be(_session: Session, _table: str) -> None:
    """Leave bad rows out, which is all there is to do when nothing is kept."""


def _reason(findings: Sequence[Finding]) -> str:
    return "; ".join(str(finding) for finding in findings if finding.breaks)


@contextlib.contextmanager
def _again(session: Session, login: Login, target: str) -> Iterator[Session]:
    """Yield the session if it lives, else a new one that waits until the server has let go of the old. Raises DataError."""
    if not (session.connection.closed or session.connection.broken):
        yield session
        return
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            with connect(login) as fresh, fresh.alone(f"import {target}"):
                yield fresh
                return
        except DataError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _room(session: Session, job: Job, size: int) -> None:
    """Refuse at once what the server's disk cannot take, where that is this host's and it tells. Raises DataError."""
    if session.login.host:
        return
    folder = session.value(
        "SELECT current_setting('data_directory', true) WHERE pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')"
    )
    with contextlib.suppress(OSError, TypeError):
        found = os.statvfs(folder)
        if found.f_bavail * found.f_frsize < ROOM * size:
            raise DataError(
                f"{folder} has {found.f_bavail * found.f_frsize >> 20} MiB free, and {job.source.name} wants {ROOM * size >> 20}"
                f" ({ROOM} times its size: staging, live data and log); nothing was done"
            )
