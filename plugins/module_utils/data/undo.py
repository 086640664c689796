# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undo one run, or all that came after a mark, with the action log: its rows go back, everything else stays, and it is itself a run."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

from . import book, catalog, home, log, net, runs
from .errors import BusyError, DataError
from .names import Table
from .session import Login, Session, connect

LOCK = "the undo"
# Rows a second to guess by when no undo was timed here yet.
_RATE = 60_000.0


@dataclass(frozen=True)
class Request:
    """What to undo: a *run* or everything after a *mark*; *run_id* is the undo's own id, derived when empty."""

    run: str = ""
    mark: str = ""
    run_id: str = ""
    skip: bool = False
    conflict_rows: int = 20
    shown_rows: int = 0

    @property
    def what(self) -> str:
        return f"run {self.run}" if self.run else f"mark {self.mark}"


@dataclass
class Outcome:
    """What an undo does or would do. *changed* is false when there is nothing to undo (any more), *why* says so."""

    run_id: str = ""
    reverts: str = ""
    changed: bool = False
    why: str = ""
    tables: list[net.Tally] = field(default_factory=list)
    conflicts: list[net.Conflict] = field(default_factory=list)
    conflict_rows: int = 0
    silenced: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    seconds: float = 0.0
    shown: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    def result(self) -> dict[str, Any]:
        """Return it as a module tells it."""
        return {
            "changed": self.changed,
            "run_id": self.run_id,
            "reverts": self.reverts,
            "runs": self.runs,
            "rows": self.rows,
            "skipped": self.conflict_rows,
            "seconds": round(self.seconds, 3),
            "tables": [{**asdict(table), "table": str(table.table)} for table in self.tables],
            "conflicts": [{**asdict(item), "table": str(item.table)} for item in self.conflicts],
            "silenced_triggers": self.silenced,
            **({"msg": self.why} if self.why else {}),
        }


class ConflictError(DataError):
    """Rows cannot go back; nothing was changed. *details* lists them as far as they were asked for."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.details = {"conflicts": outcome.result()["conflicts"], "conflict_rows": outcome.conflict_rows}
        reasons = sorted({f"{item.table}: {item.reason}" for item in outcome.conflicts})
        listed = f" ({'; '.join(reasons[:5])})" if reasons else ""
        super().__init__(
            f"{outcome.reverts}: {outcome.conflict_rows} row(s) cannot go back{listed}. Nothing was changed; undo what came later first,"
            " or leave these rows as they are with on_conflict: skip"
        )


@dataclass(frozen=True)
class Target:
    """Which actions are undone, and the runs that are over then. *found* is None for what runs have in common: a mark."""

    name: str
    condition: str
    values: dict[str, Any]
    found: runs.Run | None
    members: tuple[runs.Run, ...]
    registered: bool = True


@contextlib.contextmanager
def alone(session: Session, what: str, wait: float) -> Iterator[None]:
    """Hold the database-wide lock on *what*, waiting up to *wait* seconds for it. Raises BusyError."""
    deadline = time.monotonic() + wait
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(session.alone(what))
                break
            except BusyError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.1)
        yield


def find(session: Session, request: Request) -> tuple[Target | None, str]:
    """Return what *request* means now, or None and why there is nothing to do. Raises DataError. Stands under the undo's lock."""
    if not home.exists(session) or not session.value("SELECT to_regclass('plano_delivery.action')"):
        raise DataError(f"nothing is logged in {session.login.place}: there is nothing to undo with")
    return _find_run(session, request) if request.run else _find_mark(session, request)


def _find_run(session: Session, request: Request) -> tuple[Target | None, str]:
    wanted = runs.check_id(request.run)
    found = runs.find(session, wanted)
    if found is None:
        seen = _unregistered(session, wanted)
        return _target(seen, registered=False), ""
    while found.state == runs.REVERTED:
        by = _reverter(session, found.id)
        if by is None or by.state == runs.CONFIRMED:
            return None, f"run {wanted} is undone already{f', by {by.id}' if by else ''}"
        again = _reverter(session, by.id)
        if by.state != runs.REVERTED or again is None:
            raise DataError(
                f"the undo {by.id} of run {found.id} is {by.state}: let it end first, by the same call again"
            )
        found = again  # the undo was undone, so that the run's rows are in force again, through this one
    if found.state == runs.PENDING:
        raise DataError(
            f"run {found.id} is pending: it is at work, or its process has died. Run it again with the same id to let it end, then undo it"
        )
    return _target(found), ""


def _target(found: runs.Run, registered: bool = True) -> Target:
    return Target(
        f"run {found.id}",
        "a.run = %(run)s AND a.id > %(after)s",
        {"run": found.id, "after": int(found.details.get("taken_back", 0))},
        found,
        (found,),
        registered,
    )


def _unregistered(session: Session, run: str) -> runs.Run:
    """Describe a run that only its rows tell of: an application sets the run id by itself."""
    row = session.rows(
        "SELECT min(a.at), max(a.at), string_agg(DISTINCT a.role, ', '), string_agg(DISTINCT s.schema || '.' || s.name, ', ')"
        " FROM plano_delivery.action a JOIN plano_delivery.logged s ON s.id = a.source WHERE a.run = %s",
        [run],
    )[0]
    if row[0] is None:
        raise DataError(f"run {run} is not in the log of {session.login.place}: no change of a row carries its id")
    return runs.Run(run, runs.DISTRIBUTION, runs.CONFIRMED, row[3], row[2], "", "", "", row[0], row[1], None, {"registered": "by its undo"})  # fmt: skip


def _register(session: Session, run: runs.Run) -> None:
    session.execute(
        "INSERT INTO plano_delivery.run (id, kind, state, target, actor, reason, change, version, began, ended, details)"
        " VALUES (%s, %s, %s, %s, %s, '', '', '', %s, %s, '{\"registered\": \"by its undo\"}') ON CONFLICT (id) DO NOTHING",
        [run.id, run.kind, run.state, run.target, run.actor, run.began, run.ended],
    )


def _reverter(session: Session, run: str) -> runs.Run | None:
    """Return the last run that has undone this one."""
    row = session.value(
        "SELECT id FROM plano_delivery.run WHERE kind = 'undo' AND state IN ('confirmed', 'reverting', 'reverted')"
        " AND (reverts = %s OR details -> 'runs' ? %s) ORDER BY ended DESC NULLS LAST, began DESC LIMIT 1",
        [run, run],
    )
    return runs.find(session, row) if row else None


def _find_mark(session: Session, request: Request) -> tuple[Target | None, str]:
    after = session.value("SELECT action FROM plano_delivery.mark WHERE name = %s", [runs.check_id(request.mark)])
    if after is None:
        known = [row[0] for row in session.rows("SELECT name FROM plano_delivery.mark ORDER BY at DESC LIMIT 5")]
        raise DataError(
            f"there is no mark {request.mark} in {session.login.place}; the last ones are: {', '.join(known) or 'none'}"
        )
    done = session.value(
        "SELECT id FROM plano_delivery.run WHERE kind = 'undo' AND state = 'confirmed' AND target = %s ORDER BY ended DESC LIMIT 1",
        [request.what],
    )
    last, last_of_undo = session.rows(
        "SELECT coalesce(max(id), 0), coalesce(max(id) FILTER (WHERE run = %s), 0) FROM plano_delivery.action WHERE id > %s",
        [done, after],
    )[0]
    if not last or (done and last == last_of_undo):
        return None, f"nothing was written after mark {request.mark}" + (", but its undo" if done else "")
    names = session.rows(
        "SELECT run, EXISTS (SELECT FROM plano_delivery.action b WHERE b.run = a.run AND b.id <= %s)"
        " FROM (SELECT DISTINCT run FROM plano_delivery.action WHERE id > %s AND run IS NOT NULL) a ORDER BY run",
        [after, after],
    )
    split = [run for run, both in names if both]
    if split:
        raise DataError(
            f"mark {request.mark} stands in the middle of run(s) {', '.join(split)}: undo them as a whole first, or choose another mark"
        )
    members = [found for run, _both in names for found in [runs.find(session, run)] if found]
    open_ = [run.id for run in members if run.state == runs.PENDING]
    if open_:
        raise DataError(f"run(s) {', '.join(open_)} are pending after mark {request.mark}: let them end first")
    return (
        Target(
            request.what,
            "a.id > %(after)s",
            {"after": after},
            None,
            tuple(run for run in members if run.state in (runs.CONFIRMED, runs.REVERTING)),
        ),
        "",
    )


def own_id(session: Session, target: Target, request: Request) -> str:
    """Return the id of the undo's run: the one asked for, else that of an attempt that has failed or died, else a new one."""
    if request.run_id:
        return runs.check_id(request.run_id)
    earlier = session.rows(
        "SELECT id, state FROM plano_delivery.run WHERE kind = 'undo' AND target = %s ORDER BY began, id", [target.name]
    )
    for run, state in earlier:
        if state in (runs.PENDING, runs.FAILED):
            return str(run)
    stem = f"undo-{target.found.id if target.found else request.mark}"
    return f"{stem[:90]}-{len(earlier) + 1}"


def prepare(session: Session, target: Target, skip: bool, locked: bool) -> list[net.Change]:
    """Work out the net effect of the target's actions and what keeps rows from going back, for the rest of the transaction."""
    session.execute("SET LOCAL row_security = off")  # a policy then is an error, and never hides a row
    session.execute(
        "SELECT set_config('work_mem', greatest(setting::int, 65536)::text, true) FROM pg_settings WHERE name = 'work_mem'"
    )
    held: set[Any] = set()
    while True:
        net.choose_actions(session, target.condition, target.values)
        tables = net.tables(session)
        structures = catalog.read(session, tables)
        gone = [str(table) for table in tables if table not in structures]
        if gone:
            raise DataError(f"{', '.join(gone)} is gone or has another name since: its rows cannot go back")
        if not locked or held >= set(tables):
            break
        net.lock(session, tables, structures)
        held = set(tables)
    changes = net.read(session, structures)
    for change in changes:
        net.build(session, change)
    for change in changes:
        net.find_changed(session, change)
    # A row that stays may keep others from going back; without skip the first are enough, nothing goes back then.
    while net.find_held(session, changes) and skip:
        pass
    return changes


def describe(session: Session, target: Target, changes: Sequence[net.Change], request: Request) -> Outcome:
    """Return what would be done, with an estimate of the seconds it takes."""
    outcome = Outcome(reverts=target.name, runs=[run.id for run in target.members])
    outcome.tables = [net.tally(session, change) for change in changes]
    outcome.conflict_rows = sum(table.skipped for table in outcome.tables)
    outcome.conflicts = net.conflicts(session, changes, request.conflict_rows)
    outcome.silenced = [
        f"{trigger.name} on {table}" for change in changes for table, trigger in net.silenced(session, change)
    ]
    rate = session.value(
        "SELECT (details ->> 'rows')::float8 / nullif((details ->> 'seconds')::float8, 0) FROM plano_delivery.run"
        " WHERE kind = 'undo' AND (details ->> 'rows')::float8 > 1000 AND details ? 'seconds' ORDER BY ended DESC LIMIT 1"
    )
    outcome.seconds = outcome.rows / (rate or _RATE)
    outcome.changed = outcome.rows > 0
    outcome.shown = [row for change in changes for row in net.shown(session, change, request.shown_rows)]
    return outcome


def plan(session: Session, target: Target, request: Request) -> Outcome:
    """Return what an undo would do, from one snapshot; nothing of it stays, and nobody is kept from writing."""
    with session.unchanged():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return describe(session, target, prepare(session, target, request.skip, locked=False), request)


def run(session: Session, target: Target, request: Request, run_id: str, stamp: runs.Stamp) -> Outcome:
    """Undo *target* as the run *run_id*. Raises ConflictError or what went wrong; the target is then confirmed as before."""
    started = time.monotonic()
    with session.transaction():
        for member in target.members:
            if not target.registered:
                _register(session, member)
            if member.state == runs.CONFIRMED:
                runs.finish(session, member.id, runs.REVERTING)
        runs.begin(session, run_id, runs.UNDO, target.name, stamp, target.found.id if target.found else None)
    try:
        with session.transaction():
            runs.mark_session(session, run_id)
            outcome = take_back(session, target, request)
            for member in target.members:
                if member.state == runs.FAILED:
                    runs.finish(session, member.id, runs.PENDING)
                runs.finish(session, member.id, runs.REVERTED)
            outcome.run_id, outcome.seconds = run_id, time.monotonic() - started
            runs.finish(session, run_id, runs.CONFIRMED, details(outcome, target))
    except BaseException as error:
        if _settle(session, target, run_id, error):
            return Outcome(run_id, target.name, True, "the connection was lost as the undo was confirmed; it is done")
        raise
    outcome.changed = True
    return outcome


def take_back(session: Session, target: Target, request: Request) -> Outcome:
    """Bring the rows of *target* back within the caller's transaction."""
    changes = prepare(session, target, request.skip, locked=True)
    outcome = describe(session, target, changes, request)
    if outcome.conflict_rows and not request.skip:
        raise ConflictError(outcome)
    net.apply(session, changes)
    return outcome


def details(outcome: Outcome, target: Target) -> dict[str, Any]:
    """Return what an undo's run keeps of it."""
    return {
        "rows": outcome.rows,
        "skipped": outcome.conflict_rows,
        "seconds": round(outcome.seconds, 3),
        "runs": [run.id for run in target.members],
    }


def _settle(session: Session, target: Target, run_id: str, error: BaseException) -> bool:
    """After a failure: let the runs be what they were. Return whether the undo is confirmed all the same (the answer was lost)."""
    broken = session.connection.closed or session.connection.broken
    with contextlib.ExitStack() as opened:
        try:
            if broken:
                session = opened.enter_context(connect(session.login))
            with session.transaction():
                found = runs.find(session, run_id)
                if found is not None and found.state == runs.CONFIRMED:
                    return isinstance(error, Exception)
                for member in target.members:
                    now = runs.find(session, member.id)
                    if now is not None and now.state == runs.REVERTING:
                        runs.finish(session, member.id, runs.CONFIRMED)
                if found is not None and found.state == runs.PENDING:
                    runs.finish(session, run_id, runs.FAILED, {"reason": reason(error)})
        except DataError:
            pass  # the server is away: the same call again takes it up from here
    return False


def reason(error: BaseException) -> str:
    """Return why something failed, in one line without a value."""
    return str(error).splitlines()[0][:500] if isinstance(error, DataError) else type(error).__name__


def difference(outcome: Outcome) -> dict[str, Any]:
    """Return what a diff shows: counts a table, and the rows that were asked for."""
    counts = {
        str(table.table): {"insert": table.insert, "update": table.update, "delete": table.delete}
        for table in outcome.tables
    }
    return {
        "before": {"rows": [{"table": row["table"], "row": row["before"]} for row in outcome.shown]},
        "after": {"undone": counts, "rows": [{"table": row["table"], "row": row["after"]} for row in outcome.shown]},
    }


def of_an_import(login: Login, table: Table, stamp: runs.Stamp) -> Callable[[Session, str], Outcome] | None:
    """Return what undoes a run of *table* within an import, which holds the host's lock; None when the table is not logged."""
    with connect(login) as session:
        structure = catalog.read(session, [table]).get(table)
        if structure is None or not log.is_logged(structure):
            return None

    def undo(session: Session, run_: str) -> Outcome:
        request = Request(run=run_)
        target, why = find(session, request)
        if target is None:
            return Outcome(reverts=request.what, why=why)
        return run(session, target, request, own_id(session, target, request), stamp)

    return undo


def carry_out(
    login: Login, request: Request, stamp: runs.Stamp, wait: float = 0.0, check: bool = False, root: Path = book.ROOT
) -> Outcome:
    """Undo what *request* says, one undo at a time, and write it into the host's ledger; with *check* only plan it."""
    with connect(login) as session, alone(session, LOCK, wait):
        target, why = find(session, request)
        if target is None:
            return Outcome(reverts=request.what, why=why)
        run_id = own_id(session, target, request)
        if check:
            outcome = plan(session, target, request)
            outcome.run_id = run_id
            if outcome.conflict_rows and not request.skip:
                outcome.changed, outcome.why = False, str(ConflictError(outcome))
            return outcome
        with book.Book(login.database, root, stamp.server).change(run_id, runs.UNDO, stamp.change, wait) as page:
            page.write("begun", target=target.name)
            try:
                outcome = run(session, target, request, run_id, stamp)
            except BaseException as error:
                count = error.outcome.conflict_rows if isinstance(error, ConflictError) else 0
                page.write("failed", target=target.name, reason=reason(error), conflicts=count)
                raise
            page.write(
                "confirmed", target=target.name, reverts=target.name, rows=outcome.rows, skipped=outcome.conflict_rows
            )
            return outcome
