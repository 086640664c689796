# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules put to the server, with as few scans as there can be."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Sequence

from . import catalog, home, rules, violations
from .errors import ServerError
from .names import Table, identifiers
from .rules import Finding, Known, Place, Rule, Shape
from .session import Session
from .violations import MOST, Violation

# Counting duplicates of a million rows wants its hash table in memory; compiling such statements costs more than it saves.
SETTINGS = {"work_mem": "64MB", "jit": "off"}
# A user's own query may take this long, in seconds.
QUERY_SECONDS = 60.0
# Errors of one rule: of its data, its names, its limits. All others are the server's and end everything.
_RULES_OWN = ("22", "42", "21", "25006", "57014")


class Eyes:
    """Looks tables up, each once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._found: dict[Table, Shape | None] = {}

    def __call__(self, table: Table) -> Shape | None:
        if table not in self._found:
            self._found[table] = shape(self._session, table)
        return self._found[table]


def shape(session: Session, table: Table) -> Shape | None:
    """Return what rules may know of a table or view, None when there is none."""
    found = session.rows(
        "SELECT c.relkind::text, a.attname, format_type(a.atttypid, -1) FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY a.attnum",
        [table.schema, table.name],
    )
    if not found:
        return None
    columns = {name: type_of for _kind, name, type_of in found}
    if found[0][0] not in "rp":
        return Shape(columns)
    structure = catalog.read_one(session, table)
    kept = [unique for unique in structure.uniques if unique.whole and not unique.deferrable]
    return Shape(
        columns,
        structure.key.columns if structure.key else (),
        frozenset(frozenset(unique.columns) for unique in kept),
    )


@contextlib.contextmanager
def quickly(session: Session) -> Iterator[None]:
    """A transaction, or a part of one, with what makes counting quick."""
    with session.transaction():
        for name, setting in SETTINGS.items():
            session.execute("SELECT set_config(%s, %s, true)", [name, setting])
        yield


def evaluate(
    session: Session,
    asked: Sequence[Rule],
    place_of: Callable[[Rule], Place],
    known: Callable[[Rule], Known | None] = lambda _rule: None,
) -> list[Finding]:
    """Judge rules at their places, in the order they are given. Raises ServerError when the server itself fails."""
    found: dict[str, Finding] = {}
    together: dict[str, list[Rule]] = {}
    for rule in asked:
        place = place_of(rule)
        if rules.scanned(rule, place) or rules.figure(rule) is not None:
            together.setdefault(place.sql, []).append(rule)
    totals: dict[str, int] = {}
    with quickly(session):
        for group in together.values():
            for finding in _scan(session, group, place_of, known):
                found[finding.rule.name] = finding
                if not finding.fault:
                    totals[place_of(finding.rule).sql] = finding.total
        for rule in asked:
            if rule.name not in found:
                found[rule.name] = _look(session, rule, place_of(rule), known, totals)
    return [found[rule.name] for rule in asked]


def failing(session: Session, finding: Finding, place: Place, most: int) -> list[Violation]:
    """Return the keys of at most *most* rows that break a rule."""
    rule = finding.rule
    statement = None if finding.fault or not finding.failures else rules.keys(rule, place, most)
    if statement is None:
        return []
    with quickly(session):
        found = _user_rows(session, statement) if rule.check == "query" else session.rows(statement)
    if rule.check == "query":
        found = [(key[1:-1] if key.startswith("(") else key, row) for key, row in found]
    return [Violation(rule.name, rule.severity, rule.subject, finding.where, key, row) for key, row in found]


def content(session: Session, place: Place) -> Known:
    """Return how many rows a table has and a checksum of them that does not depend on their order."""
    text = f'ROW({identifiers(place.shape.columns, "t.")})::text COLLATE "C"'
    sums = ", ".join(f"coalesce(sum(hashtextextended(r.line, {seed})), 0)::text" for seed in (1, 2))
    row = session.rows(
        f"SELECT count(*), {sums} FROM {place.sql} t CROSS JOIN LATERAL (SELECT {text} AS line OFFSET 0) r"
    )[0]
    return Known(row[0], f"{row[1]} {row[2]}")


def before(session: Session, asked: Sequence[Rule], place_of: Callable[[Rule], Place]) -> Mapping[Table, Known]:
    """Return what the tables of the rules that compare with the time before are like now."""
    found: dict[Table, Known] = {}
    with quickly(session):
        for rule in asked:
            if rule.options.get("against") != rules.BEFORE:
                continue
            if rule.check == "checksum_unchanged":
                found[rule.table] = content(session, place_of(rule))
            elif rule.table not in found:
                found[rule.table] = Known(int(session.value(f"SELECT count(*) FROM {place_of(rule).sql}")))
    return found


def _scan(
    session: Session, group: Sequence[Rule], place_of: Callable[[Rule], Place], known: Callable[[Rule], Known | None]
) -> list[Finding]:
    """Judge all rules of one relation in one scan; when that fails, each by itself, so that the one at fault is named."""
    place = place_of(group[0])
    figures = [_figure(rule, place) for rule in group]
    try:
        with session.transaction():
            row = session.rows(f"SELECT count(*), {', '.join(figures)} FROM {place.sql} t")[0]
    except ServerError as error:
        if not _is_rules_own(error):
            raise
        if len(group) == 1:
            return [Finding(group[0], place.where, 0, 0, str(error))]
        return [finding for rule in group for finding in _scan(session, [rule], place_of, known)]
    total, findings = int(row[0]), []
    for rule, value in zip(group, row[1:]):
        if rules.figure(rule) is None:
            findings.append(Finding(rule, place.where, int(value), total))
        else:
            failures, fault = rules.judge(rule, value, known(rule))
            findings.append(Finding(rule, place.where, failures, total, fault))
    return findings


def _figure(rule: Rule, place: Place) -> str:
    return rules.figure(rule) or f"count(*) FILTER (WHERE {rules.condition(rule, place)})"


def _look(
    session: Session,
    rule: Rule,
    place: Place,
    known: Callable[[Rule], Known | None],
    totals: dict[str, int],
) -> Finding:
    try:
        with session.transaction():
            total = totals.get(place.sql)
            if total is None and place.sql:
                total = totals[place.sql] = int(session.value(f"SELECT count(*) FROM {place.sql}"))
            if rule.check == "checksum_unchanged":
                return _unchanged(session, rule, place, known(rule))
            if rules.vouched(rule, place) or (rule.check == "unique" and _none_twice(session, rule, place)):
                return Finding(rule, place.where, 0, total or 0)
            statement = rules.question(rule, place)
            rows = _user_rows(session, statement) if rule.check == "query" else session.rows(statement)
            return Finding(rule, place.where, int(rows[0][0]), total if total is not None else int(rows[0][0]))
    except ServerError as error:
        if not _is_rules_own(error):
            raise
        return Finding(rule, place.where, 0, 0, str(error))


def _none_twice(session: Session, rule: Rule, place: Place) -> bool:
    try:
        with session.transaction():
            return bool(session.value(rules.none_twice(rule, place)) == 0)
    except ServerError as error:
        if error.state != "42883":  # a type that has no hash function
            raise
        return False


def _unchanged(session: Session, rule: Rule, place: Place, known: Known | None) -> Finding:
    now = content(session, place)
    if known is None or not known.checksum:
        return Finding(rule, place.where, 0, now.rows, f"the checksum at the {rule.options['against']} is not known")
    # Which rows differ is not known from sums; at least as many as there are more or fewer of.
    failures = 0 if now == known else max(1, abs(now.rows - known.rows))
    return Finding(rule, place.where, failures, now.rows)


class _Done(Exception):
    pass


def _user_rows(session: Session, statement: str) -> list[Any]:
    """Run what a user wrote, read only and for a limited time; whatever it set goes with it."""
    found: list[Any] = []
    with contextlib.suppress(_Done), session.transaction():
        session.execute("SELECT set_config('transaction_read_only', 'on', true)")
        session.execute("SELECT set_config('statement_timeout', %s, true)", [f"{round(_seconds(session) * 1000)}ms"])
        found = session.rows(statement)
        raise _Done
    return found


def _seconds(session: Session) -> float:
    most = session.login.statement_seconds
    return min(most, QUERY_SECONDS) if most else QUERY_SECONDS


def _is_rules_own(error: ServerError) -> bool:
    return error.state.startswith(_RULES_OWN)


@dataclass(frozen=True)
class Report:
    """What a look at live tables has found."""

    findings: list[Finding]
    kept: int = 0
    changed: bool = False

    @property
    def broken(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.breaks]


def look(
    session: Session,
    items: Any,
    checkpoint: Mapping[Table, Known],
    keep_as: str = "",
    most: int = MOST,
    write: bool = True,
) -> Report:
    """Judge rules on live tables. With *keep_as* the keys of failing rows are written down under that name, unless not *write*.

    Raises RuleError, ServerError.
    """
    eyes = Eyes(session)
    asked = rules.parse(items, eyes)
    before = [rule.name for rule in asked if rule.options.get("against") == rules.BEFORE]
    if before:
        raise rules.RuleError(
            [f"rule {name}: against before is for an import; here it is against: checkpoint" for name in before]
        )

    def place_of(rule: Rule) -> Place:
        if not rule.table.schema:
            return Place(rule.table, "", Shape({}))
        return Place(rule.table, rule.table.sql, eyes(rule.table) or Shape({}))

    findings = evaluate(session, asked, place_of, lambda rule: checkpoint.get(rule.table))
    keys = [
        key
        for finding in findings
        if keep_as and not finding.passed
        for key in failing(session, finding, place_of(finding.rule), most)
    ]
    if not keep_as:
        return Report(findings)
    known = set(violations.kept(session, keep_as)) if home.exists(session) else set()
    changed = known != set(keys)
    if changed and write:
        home.ensure(session)
        with session.transaction():
            violations.clear(session, keep_as)
            violations.keep(session, keep_as, keys)
    return Report(findings, len(keys), changed)
