# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that client data must keep: read from plain data, judged as a whole, and turned into SQL that counts.

Everything here is pure. A rule has one of three forms in SQL, in the order of what it costs:

- a condition that a failing row meets: all conditions of a table are counted in one scan of it;
- one figure of the whole table (its newest date, its number of rows), taken in that same scan;
- a question of its own: duplicates, missing parents, overlaps, and the SQL that a user wrote.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from .errors import DataError
from .names import Table, identifier, identifiers, literal, parse_table

WARN, CRITICAL = "warn", "critical"
STAGING, LIVE, BOTH = "staging", "live", "both"
BEFORE, CHECKPOINT = "before", "checkpoint"
COMMON = ("name", "check", "table", "severity", "max_failures", "on")


class Check(NamedTuple):
    """What a check asks of its rule, and where it looks when the rule does not say."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    on: str


# `columns` may also be written `column` with one name.
CHECKS = {
    "not_null": Check(("columns",), (), STAGING),
    "unique": Check(("columns",), (), BOTH),
    "foreign_key": Check(("columns", "references"), (), STAGING),
    "accepted_values": Check(("column", "values"), (), STAGING),
    "matches": Check(("column", "pattern"), (), STAGING),
    "range": Check(("column",), ("min", "max"), STAGING),
    "valid_period": Check(("from", "to"), ("key", "bounds", "at"), BOTH),
    "freshness": Check(("column", "max_age"), (), LIVE),
    "row_count": Check((), ("min", "max"), STAGING),
    "row_count_change": Check((), ("min", "max", "against"), LIVE),
    "checksum_unchanged": Check((), ("against",), LIVE),
    "query": Check(("sql",), (), LIVE),
}
# What names columns of the rule's own table.
_COLUMN_KEYS = ("columns", "column", "from", "to", "key")
_PERIOD_TYPES = ("date", "timestamp without time zone", "timestamp with time zone")
_PERCENT = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*%")
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_AGE_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_REFERENCES = re.compile(r"(.+?)\s*\((.+)\)\s*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class RuleError(DataError):
    """Rules that cannot be used; every fault of all of them is listed."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = list(faults)


@dataclass(frozen=True)
class Shape:
    """What a rule may know of a table: its columns and their types, its key, and what the server itself keeps unique."""

    columns: Mapping[str, str]
    key: tuple[str, ...] = ()
    unique: frozenset[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class Limit:
    """How many rows may fail: a number, or a share of all rows."""

    rows: int = 0
    share: Decimal | None = None

    def holds(self, failures: int, total: int) -> bool:
        return failures <= (self.rows if self.share is None else self.share * total)

    def __str__(self) -> str:
        return str(self.rows) if self.share is None else f"{(self.share * 100).normalize():f}%"


@dataclass(frozen=True)
class Rule:
    """One rule, sound in itself and with the tables it names."""

    name: str
    check: str
    table: Table
    severity: str = CRITICAL
    limit: Limit = Limit()
    on: str = STAGING
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The table it is about, empty for a query that names none."""
        return str(self.table) if self.table.schema else ""


@dataclass(frozen=True)
class Finding:
    """What became of a rule: *failures* of *total* rows; *where* is the staged or the live table."""

    rule: Rule
    where: str
    failures: int
    total: int
    fault: str = ""

    @property
    def passed(self) -> bool:
        return not self.fault and self.rule.limit.holds(self.failures, self.total)

    @property
    def breaks(self) -> bool:
        """Whether this must stop what is under way."""
        return not self.passed and self.rule.severity == CRITICAL

    def told(self) -> dict[str, Any]:
        """Return it for a result: names and counts."""
        return {
            "rule": self.rule.name,
            "check": self.rule.check,
            "table": self.rule.subject,
            "where": self.where,
            "severity": self.rule.severity,
            "failures": self.failures,
            "total": self.total,
            "max_failures": str(self.rule.limit),
            "passed": self.passed,
            **({"fault": self.fault} if self.fault else {}),
        }

    def __str__(self) -> str:
        if self.fault:
            return f"rule {self.rule.name} cannot be judged: {self.fault}"
        of = self.rule.subject and f" of {self.rule.subject}"
        return (
            f"rule {self.rule.name} ({self.rule.check}{of}) is broken by {self.failures} of {self.total} rows,"
            f" {self.rule.limit} may"
        )


@dataclass(frozen=True)
class Known:
    """What a table was like at another time, for the rules that compare."""

    rows: int
    checksum: str = ""


# --- reading -------------------------------------------------------------------------------------------------------------------


def parse(items: Any, look_up: Callable[[Table], Shape | None], target: Table | None = None) -> list[Rule]:
    """Return the rules in *items*; *look_up* tells a table's shape, None when there is none of that name.

    A rule without a table is one of *target*. Raises RuleError with every fault of every rule.
    """
    if not isinstance(items, (list, tuple)):
        raise RuleError(["rules: a list of rules is needed, each with a name and a check"])
    faults: list[str] = []
    rules: list[Rule] = []
    for number, item in enumerate(items, start=1):
        reader = _Reader(item, number, look_up, target)
        rule = reader.rule()
        faults += reader.faults
        if rule is not None:
            rules.append(rule)
    names = [item.get("name") for item in items if isinstance(item, Mapping)]
    faults += [
        f"rule {name}: there are {names.count(name)} of this name"
        for name in dict.fromkeys(names)
        if name and names.count(name) > 1
    ]
    if faults:
        raise RuleError(faults)
    return rules


class _Reader:
    """Reads one rule and gathers its faults."""

    def __init__(self, item: Any, number: int, look_up: Callable[[Table], Shape | None], target: Table | None) -> None:
        self.item: Mapping[str, Any] = item if isinstance(item, Mapping) else {}
        self.title = f"rule {self.item.get('name') or number}"
        self.faults: list[str] = []
        self._look_up = look_up
        self._target = target
        if not isinstance(item, Mapping):
            self.fault("is no mapping with a name and a check")

    def fault(self, text: str) -> None:
        self.faults.append(f"{self.title}: {text}")

    def rule(self) -> Rule | None:
        if self.faults:
            return None
        name, check = self.item.get("name"), self.item.get("check")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.fault("name is missing, or is not 1 to 63 letters, digits, dots, dashes and underscores")
        if check not in CHECKS:
            self.fault(f"check {check!r} is unknown; known are {', '.join(CHECKS)}")
            return None
        wanted = CHECKS[check]
        options = self._options(check, wanted)
        table, shape = self._table(check)
        if shape is not None:
            self._columns(options, shape, table)
            self._types(check, options, shape)
        on = self._choice("on", (STAGING, LIVE, BOTH), self._default_on(check, options, table))
        if table is not None and table != self._target:
            if self.item.get("on") in (STAGING, BOTH):
                self.fault(f"on {on} is for the table that is imported; {table} is only there live")
            on = LIVE
        severity = self._choice("severity", (WARN, CRITICAL), CRITICAL)
        limit = self._limit()
        if self.faults or table is None:
            return None
        return Rule(str(name), check, table, severity, limit, on, options)

    def _default_on(self, check: str, options: Mapping[str, Any], table: Table | None) -> str:
        if check == "query" and table is not None and "{table}" in str(options.get("sql", "")):
            return BOTH
        return CHECKS[check].on

    def _options(self, check: str, wanted: Check) -> dict[str, Any]:
        known = [*wanted.required, *wanted.optional]
        if "columns" in known:
            known.append("column")
        for key in self.item:
            if key not in known and key not in COMMON:
                self.fault(f"{key} is unknown to {check}; known are {', '.join((*COMMON, *known))}")
        found = {key: self.item[key] for key in known if self.item.get(key) is not None}
        if "columns" in known and "columns" not in found and "column" in found:
            found["columns"] = found.pop("column")
        for key in ("columns", "key"):
            if key in found:
                found[key] = [found[key]] if isinstance(found[key], str) else list(found[key])
        missing = [key for key in wanted.required if found.get(key) in (None, [], "")]
        if missing:
            self.fault(f"{check} needs {', '.join(missing)}")
        reader = getattr(self, f"_read_{check}", None)
        if reader is not None and not missing:
            reader(found)
        return found

    def _table(self, check: str) -> tuple[Table | None, Shape | None]:
        given = self.item.get("table")
        if given is None:
            if self._target is None:
                if check == "query":
                    return Table("", "query"), None
                self.fault("table is missing")
                return None, None
            return self._target, self._look_up(self._target)
        try:
            table = parse_table(str(given))
        except DataError as error:
            self.fault(str(error))
            return None, None
        shape = self._look_up(table)
        if shape is None:
            self.fault(f"table {table} is not there, or the role in use may not see it")
        return table, shape

    def _columns(self, options: Mapping[str, Any], shape: Shape, table: Table | None) -> None:
        for key in _COLUMN_KEYS:
            names = options.get(key, [])
            for name in [names] if isinstance(names, str) else names:
                if name not in shape.columns:
                    self.fault(f"{key} {name} is no column of {table}; it has {', '.join(shape.columns)}")

    def _types(self, check: str, options: Mapping[str, Any], shape: Shape) -> None:
        if check != "valid_period":
            return
        for key in ("from", "to"):
            found = shape.columns.get(options.get(key, ""))
            if found and not re.sub(r"\(\d+\)", "", found).startswith(_PERIOD_TYPES):
                self.fault(f"{key} {options[key]} is of type {found}; a period has dates or timestamps")

    def _choice(self, key: str, choices: Sequence[str], default: str) -> str:
        found = self.item.get(key, default)
        # YAML reads the word `on` as true, but only as a bare key; a value that is no word is wrong in any case.
        if found not in choices:
            self.fault(f"{key} is {found!r}; it must be one of {', '.join(choices)}")
            return default
        return str(found)

    def _limit(self) -> Limit:
        given = self.item.get("max_failures", 0)
        try:
            return limit(given)
        except DataError as error:
            self.fault(f"max_failures {error}")
            return Limit()

    def _read_foreign_key(self, found: dict[str, Any]) -> None:
        match = _REFERENCES.fullmatch(str(found["references"]))
        if match is None:
            self.fault("references must read schema.table(column, ...)")
            return
        try:
            parent = parse_table(match[1])
        except DataError as error:
            self.fault(f"references: {error}")
            return
        columns = [name.strip() for name in match[2].split(",")]
        shape = self._look_up(parent)
        if shape is None:
            self.fault(f"references {parent}, which is not there, or the role in use may not see it")
            return
        for name in columns:
            if name not in shape.columns:
                self.fault(f"references column {name}, which {parent} does not have; it has {', '.join(shape.columns)}")
        if len(columns) != len(found["columns"]):
            self.fault(f"{len(found['columns'])} columns cannot reference {len(columns)}")
        found["references"] = (parent, tuple(columns))

    def _read_accepted_values(self, found: dict[str, Any]) -> None:
        if not isinstance(found["values"], (list, tuple)):
            self.fault("values must be a list")
            return
        found["values"] = [plain(value) for value in found["values"]]

    def _read_range(self, found: dict[str, Any]) -> None:
        if "min" not in found and "max" not in found:
            self.fault("range needs min, max or both")
        for key in ("min", "max"):
            if key in found:
                found[key] = plain(found[key])

    def _read_row_count(self, found: dict[str, Any]) -> None:
        if "min" not in found and "max" not in found:
            self.fault("row_count needs min, max or both")
        for key in ("min", "max"):
            if key in found and (isinstance(found[key], bool) or not isinstance(found[key], int) or found[key] < 0):
                self.fault(f"{key} is {found[key]!r}; it must be a number of rows")

    def _read_row_count_change(self, found: dict[str, Any]) -> None:
        if "min" not in found and "max" not in found:
            self.fault("row_count_change needs min, max or both, such as -1% and 20%")
        for key in ("min", "max"):
            if key in found:
                match = _PERCENT.fullmatch(str(found[key]).strip())
                if match is None:
                    self.fault(f"{key} is {found[key]!r}; it must be a percentage such as -1% or 20%")
                else:
                    found[key] = Decimal(match[1]) / 100
        self._against(found)

    def _read_checksum_unchanged(self, found: dict[str, Any]) -> None:
        self._against(found)

    def _against(self, found: dict[str, Any]) -> None:
        found.setdefault("against", BEFORE if self._target else CHECKPOINT)
        if found["against"] not in (BEFORE, CHECKPOINT):
            self.fault(f"against is {found['against']!r}; it must be {BEFORE} or {CHECKPOINT}")

    def _read_freshness(self, found: dict[str, Any]) -> None:
        match = _AGE.fullmatch(str(found["max_age"]).strip())
        if match is None:
            self.fault(f"max_age is {found['max_age']!r}; it must be a number with s, m, h, d or w, such as 36h")
        else:
            found["max_age"] = float(match[1]) * _AGE_SECONDS[match[2]]

    def _read_valid_period(self, found: dict[str, Any]) -> None:
        found.setdefault("bounds", "[)")
        if found["bounds"] not in ("[)", "[]"):
            self.fault(
                f"bounds is {found['bounds']!r}; it must be '[)' (valid until the day before `to`) or '[]' (`to` is the last valid day)"
            )
        if "at" in found:
            found["at"] = plain(found["at"])
            if found["at"] != "today" and not re.fullmatch(r"\d{4}-\d\d-\d\d.*", found["at"]):
                self.fault(f"at is {found['at']!r}; it must be today or a date such as 2026-01-31")

    def _read_query(self, found: dict[str, Any]) -> None:
        found["sql"] = str(found["sql"]).strip().rstrip(";").rstrip()
        if self._target is None and self.item.get("table") is None:
            if "{table}" in found["sql"]:
                self.fault("sql speaks of {table}, and the rule names none")
            if "%" in str(self.item.get("max_failures", "")):
                self.fault("max_failures is a share, and the rule names no table it is a share of")


def limit(given: Any) -> Limit:
    """Return how many rows may fail by a count or a percentage. Raises DataError."""
    if isinstance(given, bool):
        raise DataError(f"is {given!r}; it must be a number of rows or a percentage such as 0.5%")
    match = _PERCENT.fullmatch(str(given).strip())
    if match is not None and 0 <= Decimal(match[1]) <= 100:
        return Limit(share=Decimal(match[1]) / 100)
    if re.fullmatch(r"\d{1,15}", str(given)):
        return Limit(int(given))
    raise DataError(f"is {given!r}; it must be a number of rows or a percentage such as 0.5%")


def plain(value: Any) -> str:
    """Return a value of YAML as the text that PostgreSQL reads."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (date, datetime, time)):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return str(value)


# --- SQL -----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """The relation that a table's rules look at: *sql* spells it, *where* is `staging` or `live`.

    *live* is the table itself, when *sql* is the staged rows that are to go there.
    """

    table: Table
    sql: str
    shape: Shape
    where: str = LIVE
    live: str = ""


def condition(rule: Rule, place: Place) -> str | None:
    """Return the SQL condition that a failing row ``t`` meets, None for a check that does not judge row by row."""
    options = rule.options
    columns = [f"t.{identifier(name)}" for name in options.get("columns", [])]
    column = f"t.{identifier(options['column'])}" if "column" in options else ""
    type_of = place.shape.columns.get(options.get("column", ""), "text")
    if rule.check == "not_null":
        return " OR ".join(f"{name} IS NULL" for name in columns)
    if rule.check == "accepted_values":
        values = ", ".join(f"{literal(value)}::{type_of}" for value in options["values"])
        return f"{column} NOT IN ({values})"
    if rule.check == "matches":
        return f"{column}::text !~ {literal(options['pattern'])}"
    if rule.check == "range":
        bounds = (("min", "<"), ("max", ">"))
        return " OR ".join(
            f"{column} {sign} {literal(options[key])}::{type_of}" for key, sign in bounds if key in options
        )
    if rule.check == "constraint":
        return f"NOT ({options['sql']})"
    if rule.check == "foreign_key":
        return _orphan(rule, place, columns)
    if rule.check == "valid_period" and not _overlaps(rule, place):
        return _bad_period(rule, place)
    return None


def scanned(rule: Rule, place: Place) -> bool:
    """Whether *rule*'s condition is cheap enough to be counted together with others in one scan."""
    return rule.check != "foreign_key" and condition(rule, place) is not None


def figure(rule: Rule) -> str | None:
    """Return the SQL of the one figure that *rule* judges, None when it judges rows."""
    if rule.check == "freshness":
        column = f"t.{identifier(rule.options['column'])}"
        return f"EXTRACT(epoch FROM now() - max({column})::timestamptz)"
    return "count(*)" if rule.check in ("row_count", "row_count_change") else None


def judge(rule: Rule, found: Any, known: Known | None) -> tuple[int, str]:
    """Return how many rows fail by a figure, and what hinders judging. A stale table fails as one row."""
    options = rule.options
    if rule.check == "freshness":
        if found is None:
            return 1, ""  # no row at all is no evidence that the table is fresh
        return int(float(found) > options["max_age"]), ""
    least, most = options.get("min"), options.get("max")
    if rule.check == "row_count_change":
        if known is None:
            return 0, f"the rows at the {options['against']} are not known"
        least = None if least is None else known.rows + known.rows * least
        most = None if most is None else known.rows + known.rows * most
    short = 0 if least is None else max(0, math.ceil(least - found))
    over = 0 if most is None else max(0, math.ceil(found - most))
    return short + over, ""


def source(rule: Rule, place: Place) -> tuple[str, str]:
    """Return what to select failing rows ``t`` from and the condition they meet, for any check that knows rows."""
    options = rule.options
    if rule.check == "unique":
        keys = identifiers(options["columns"])
        present = " AND ".join(f"{identifier(name)} IS NOT NULL" for name in options["columns"])
        return (
            f'(SELECT *, count(*) OVER (PARTITION BY {keys}) AS "~same" FROM {_numbered(place)} n WHERE {present})',
            't."~same" > 1',
        )
    if rule.check == "valid_period" and _overlaps(rule, place):
        return _with_reach(rule, place, _numbered(place)), _bad_period(rule, place) + " OR " + _reached(rule)
    found = condition(rule, place)
    if found is None:
        raise DataError(f"rule {rule.name}: {rule.check} has no rows to name")
    return _numbered(place), found


def question(rule: Rule, place: Place) -> str:
    """Return the statement that counts the failing rows of a rule which takes a look of its own."""
    options = rule.options
    if rule.check == "unique":
        keys = identifiers(options["columns"])
        present = " AND ".join(f"{identifier(name)} IS NOT NULL" for name in options["columns"])
        groups = f"SELECT count(*) AS n FROM {place.sql} WHERE {present} GROUP BY {keys} HAVING count(*) > 1"
        return f"SELECT coalesce(sum(n), 0)::bigint FROM ({groups}) g"
    if rule.check == "valid_period":
        return f"SELECT count(*) FROM {_with_reach(rule, place, place.sql)} t WHERE {_bad_period(rule, place)} OR {_reached(rule)}"
    if rule.check == "query":
        return f"SELECT count(*) FROM (\n{_user_sql(rule, place)}\n) q"
    return f"SELECT count(*) FROM {place.sql} t WHERE {condition(rule, place)}"


def none_twice(rule: Rule, place: Place) -> str:
    """Return the statement whose 0 proves that a `unique` rule holds: sorting 64-bit hashes takes a fifth of grouping long texts.

    Any other number may come from two values of one hash, and calls for `question`.
    """
    present = " AND ".join(f"{identifier(name)} IS NOT NULL" for name in rule.options["columns"])
    hashes = f"SELECT hash_record_extended(ROW({identifiers(rule.options['columns'])}), 0) AS h FROM {place.sql} WHERE {present}"
    return f"SELECT count(h) - count(DISTINCT h) FROM ({hashes}) x"


def keys(rule: Rule, place: Place, most: int) -> str | None:
    """Return the statement that lists the keys of failing rows, with their row's number when they are staged; at most *most*."""
    if rule.check == "query":
        return f"SELECT q::text, NULL::bigint FROM (\n{_user_sql(rule, place)}\n) q LIMIT {most}"
    if figure(rule) is not None or rule.check == "checksum_unchanged":
        return None
    rows, failing = source(rule, place)
    number = 't."~row"' if place.where == STAGING else "NULL::bigint"
    return f"SELECT {key_text(place)}, {number} FROM {rows} t WHERE {failing} LIMIT {most}"


def key_text(place: Place) -> str:
    """Return the SQL of a row's key as one text; a composite one as (a,b), a row without any by its place in the file or table."""
    names = [name for name in place.shape.key if name in place.shape.columns]
    if not names:
        return "('row ' || t.\"~row\")" if place.where == STAGING else "'a row without a key'"
    if len(names) == 1:
        return f"coalesce(t.{identifier(names[0])}::text, '')"
    return f"ROW({identifiers(names, 't.')})::text"


def vouched(rule: Rule, place: Place) -> bool:
    """Whether a unique index of the server keeps this rule already, so that nobody needs to look."""
    if rule.check != "unique" or place.where != LIVE:
        return False
    return any(kept <= set(rule.options["columns"]) for kept in place.shape.unique)


def places_of(rule: Rule) -> Iterable[str]:
    """Return where *rule* looks: the staged rows, the live ones, or both."""
    return (STAGING, LIVE) if rule.on == BOTH else (rule.on,)


def _numbered(place: Place) -> str:
    # Staged rows lie in the order of the file: one COPY wrote them into an empty table.
    if place.where != STAGING:
        return place.sql
    return f'(SELECT *, row_number() OVER (ORDER BY ctid) AS "~row" FROM {place.sql})'


def _orphan(rule: Rule, place: Place, columns: Sequence[str]) -> str:
    parent, names = rule.options["references"]
    same = " AND ".join(f"p.{identifier(name)} = {column}" for name, column in zip(names, columns))
    lone = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    lone += f" AND NOT EXISTS (SELECT 1 FROM {parent.sql} p WHERE {same})"
    if place.where == STAGING and parent == place.table:
        # A tree: the parent may come in the same file.
        lone += f" AND NOT EXISTS (SELECT 1 FROM {place.sql} p WHERE {same})"
    return lone


def _bad_period(rule: Rule, place: Place) -> str:
    start, end = (f"t.{identifier(rule.options[key])}" for key in ("from", "to"))
    half_open = rule.options["bounds"] == "[)"
    failing = f"({start} IS NULL OR {start} {'>=' if half_open else '>'} {end}"
    if "at" in rule.options:
        at = rule.options["at"]
        day = "current_date" if at == "today" else f"{literal(at)}::{place.shape.columns[rule.options['to']]}"
        failing += f" OR {end} {'<=' if half_open else '<'} {day}"
    return failing + ")"


def _overlaps(rule: Rule, place: Place) -> bool:
    """Whether two periods of one key can be there at all: not when the server keeps the key unique."""
    kept = place.shape.unique if place.where == LIVE else ()
    return bool(rule.options.get("key")) and not any(names <= set(rule.options["key"]) for names in kept)


def _with_reach(rule: Rule, place: Place, rows: str) -> str:
    start, end = (identifier(rule.options[key]) for key in ("from", "to"))
    type_of = place.shape.columns[rule.options["to"]]
    return (
        f"(SELECT *, max(coalesce({end}, 'infinity'::{type_of})) OVER (PARTITION BY {identifiers(rule.options['key'])} ORDER BY {start}, {end}"
        f' ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS "~reach" FROM {rows} n)'
    )


def _reached(rule: Rule) -> str:
    sign = ">" if rule.options["bounds"] == "[)" else ">="
    return f't."~reach" {sign} t.{identifier(rule.options["from"])}'


def _user_sql(rule: Rule, place: Place) -> str:
    return str(rule.options["sql"]).replace("{table}", place.sql)
