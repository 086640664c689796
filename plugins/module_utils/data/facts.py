# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of one run, from the database's log and from the ledger on the host, for its report: counts and names, never values."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from ..engine.metrics import seconds
from . import runs
from .errors import DataError
from .names import Table, parse_table
from .session import Session


class Moment(NamedTuple):
    """Something that happened: to which run or checkpoint, by which operation, in which state, and why."""

    at: datetime
    what: str
    operation: str
    state: str
    why: str = ""


class Broken(NamedTuple):
    """A rule and how many rows broke it."""

    rule: str
    severity: str
    rows: int


class Change(NamedTuple):
    """How many rows of a table a run has written."""

    run: str
    table: str
    inserted: int
    updated: int
    deleted: int


class Count(NamedTuple):
    """Rows of a table in the last checkpoint before the run, and now; None where that is not known."""

    table: str
    before: int | None
    now: int | None


class Conflict(NamedTuple):
    """Rows of a table that could not go back, why, and their keys where somebody has asked for them."""

    table: str
    reason: str
    rows: int
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """All of it. *related* are the runs that have taken this one back, or that it has taken back."""

    run: runs.Run
    related: tuple[runs.Run, ...] = ()
    place: str = ""
    timeline: tuple[Moment, ...] = ()
    rules: tuple[Broken, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    counts: tuple[Count, ...] = ()
    checkpoint: str = ""
    conflicts: tuple[Conflict, ...] = ()
    told: Mapping[str, int] = field(default_factory=dict)


def gather(
    session: Session,
    run: str,
    entries: Sequence[Mapping[str, Any]] = (),
    conflicts: Sequence[Mapping[str, Any]] = (),
    show_keys: bool = False,
) -> Facts:
    """Return what is known of *run*; *entries* are the host's ledger, *conflicts* what an undo has returned. Raises DataError.

    All that is read of the database is of one moment. What other parts keep is read where it is there.
    """
    login = session.login
    with session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        there = {
            name
            for name in ("run", "action", "logged", "checkpoint", "message")
            if session.value("SELECT to_regclass(%s)", [f"plano_delivery.{name}"])
        }
        found = runs.find(session, run) if "run" in there else None
        if found is None:
            raise DataError(f"run {run} is not in the log of {login.place}")
        related = _related(session, found)
        names = [found.id, *(each.id for each in related)]
        changes = _changes(session, names) if there >= {"action", "logged"} else []
        checkpoint, before = _checkpoint(session, found) if "checkpoint" in there else ("", {})
        told, told_at = _told(session, names) if "message" in there else ({}, [])
        return Facts(
            run=found,
            related=tuple(related),
            place=f"{login.database} ({login.host or login.socket}:{login.port})",
            timeline=tuple(sorted([*_past([found, *related], entries, checkpoint), *told_at])),
            rules=tuple(_broken(found.details)),
            rows={name: count for name, count in (found.details.get("rows") or {}).items() if isinstance(count, int)}
            if isinstance(found.details.get("rows"), dict)
            else {},
            changes=tuple(changes),
            counts=tuple(_counts(session, found, changes, before)),
            checkpoint=checkpoint,
            conflicts=tuple(_conflicts(conflicts, show_keys)),
            told=told,
        )


def _related(session: Session, run: runs.Run) -> list[runs.Run]:
    rows = session.rows(
        "SELECT id FROM plano_delivery.run WHERE reverts = %s OR id = %s ORDER BY began", [run.id, run.reverts or ""]
    )
    return [each for (name,) in rows if (each := runs.find(session, name))]


def _changes(session: Session, names: list[str]) -> list[Change]:
    # An update leaves two images, the old row and the new one.
    rows = session.rows(
        "SELECT a.run, l.schema, l.name, coalesce(sum(a.rows) FILTER (WHERE a.verb = 'I'), 0),"
        " coalesce(sum(a.rows) FILTER (WHERE a.verb = 'U'), 0) / 2, coalesce(sum(a.rows) FILTER (WHERE a.verb IN ('D', 'T')), 0)"
        " FROM plano_delivery.action a JOIN plano_delivery.logged l ON l.id = a.source WHERE a.run = ANY(%s)"
        " GROUP BY 1, 2, 3 ORDER BY min(a.id)",
        [names],
    )
    return [
        Change(run, str(Table(schema, name)), int(inserted), int(updated), int(deleted))
        for run, schema, name, inserted, updated, deleted in rows
    ]


def _checkpoint(session: Session, run: runs.Run) -> tuple[str, dict[str, int]]:
    """Return the name of the newest checkpoint before the run, and its tables' rows."""
    rows = session.rows(
        "SELECT name, manifest FROM plano_delivery.checkpoint WHERE taken <= %s ORDER BY taken DESC LIMIT 1",
        [run.began],
    )
    if not rows:
        return "", {}
    name, manifest = rows[0]
    return name, {str(Table(each["schema"], each["name"])): each["rows"] for each in manifest.get("tables") or []}


def _told(session: Session, names: list[str]) -> tuple[dict[str, int], list[Moment]]:
    rows = session.rows(
        "SELECT run, event, language, count(*), min(at) FROM plano_delivery.message WHERE run = ANY(%s) AND state = 'sent'"
        " GROUP BY 1, 2, 3 ORDER BY 5",
        [names],
    )
    told: dict[str, int] = {}
    for _run, _event, language, count, _at in rows:
        told[language] = told.get(language, 0) + count
    first = rows[:1]
    return told, [Moment(at, run, "message", "sent") for run, _event, _language, _count, at in first]


def _past(all_runs: Iterable[runs.Run], entries: Sequence[Mapping[str, Any]], checkpoint: str) -> list[Moment]:
    """Return what happened to each run: as the ledger has it, else as the log of the database has it."""
    past = []
    for run in all_runs:
        own = [entry for entry in entries if entry.get("release") == run.id]
        past += [_moment(entry) for entry in own]
        if not own:
            past.append(Moment(run.began, run.id, run.kind, "begun"))
            if run.ended:
                past.append(Moment(run.ended, run.id, run.kind, run.state, str(run.details.get("reason") or "")))
    made = [entry for entry in entries if entry.get("release") == checkpoint and entry.get("operation") == "checkpoint"]
    return past + [_moment(entry) for entry in made]


def _moment(entry: Mapping[str, Any]) -> Moment:
    at = datetime.fromtimestamp(seconds(entry["time"]), timezone.utc)
    return Moment(at, entry["release"], entry.get("operation", ""), entry["state"], entry.get("reason") or "")


def _broken(details: Mapping[str, Any]) -> list[Broken]:
    found = [Broken(each["rule"], each["severity"], each["rows"]) for each in details.get("failures") or []]
    return sorted(found, key=lambda each: (each.severity, -each.rows, each.rule))


def _counts(session: Session, run: runs.Run, changes: Sequence[Change], before: Mapping[str, int]) -> list[Count]:
    names = [change.table for change in changes]
    with contextlib.suppress(DataError):  # a distribution's target is a name of the user's
        names.append(str(parse_table(run.target)))
    found = []
    for name in dict.fromkeys(names):
        schema, _dot, table = name.partition(".")
        sql = Table(schema, table).sql
        kind = session.value("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", [sql])
        now = session.value(f"SELECT count(*) FROM {sql}") if kind in ("r", "p") else None
        if now is not None or name in before:
            found.append(Count(name, before.get(name), now))
    return found


def _conflicts(given: Sequence[Mapping[str, Any]], show_keys: bool) -> list[Conflict]:
    keys: dict[tuple[str, str], list[str]] = {}
    for each in given:
        key = each.get("key") or {}
        shown = ", ".join(f"{name}={value}" for name, value in key.items()) if isinstance(key, Mapping) else str(key)
        keys.setdefault((str(each.get("table", "")), str(each.get("reason", ""))), []).append(shown)
    return [
        Conflict(table, reason, len(found), tuple(found) if show_keys else ())
        for (table, reason), found in keys.items()
    ]
