# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run somebody's SQL or command as a distribution: written down before it begins, confirmed when it ends well, else taken back.

SQL is confirmed in the same transaction as its data. A command commits as it goes; what it has committed when it fails is undone by the
action log at once, and what a killed one has committed is undone before it is run again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

from . import book, catalog, home, log, runs, undo
from .errors import DataError
from .names import Table
from .session import Login, Session, connect
from .tools import die_with_parent

_TAIL_BYTES = 65536


@dataclass(frozen=True)
class Work:
    """What to do as the run *run*: *sql* (with *values*, its parameters) or the command *argv*. *tables* must be logged; *timeout* is in seconds, 0 is none."""

    run: str
    target: str
    tables: tuple[Table, ...] = ()
    sql: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    argv: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    search_path: str = "public"
    timeout: float = 0.0
    lines: int = 20
    always_lines: bool = False


@dataclass
class Outcome:
    """How it ended. *rows* counts what the log has of it; *taken_back* what of that went back."""

    run: str
    state: str
    changed: bool = False
    rows: int = 0
    taken_back: int = 0
    seconds: float = 0.0
    code: int | None = None
    output: list[str] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """Return it as a module tells it."""
        return {
            "changed": self.changed,
            "run_id": self.run,
            "state": self.state,
            "rows": self.rows,
            "rows_taken_back": self.taken_back,
            "seconds": round(self.seconds, 3),
            **({} if self.code is None else {"rc": self.code}),
            **({"output": self.output} if self.output else {}),
        }


class WorkError(DataError):
    """The work has failed; *details* says how, and what became of what it had done."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.details = {key: value for key, value in outcome.result().items() if key != "changed"}


def carry_out(
    login: Login, work: Work, stamp: runs.Stamp, wait: float = 0.0, check: bool = False, root: Path = book.ROOT
) -> Outcome:
    """Do *work* unless it is confirmed already; with *check* only say whether it would be done. Raises WorkError, DataError."""
    runs.check_id(work.run)
    with connect(login) as session, undo.alone(session, f"the run of {work.target}", wait):
        found = runs.find(session, work.run) if home.exists(session) else None
        if found is not None and (found.kind, found.target) != (runs.DISTRIBUTION, work.target):
            raise DataError(
                f"run {work.run} is another one already: {found.kind} of {found.target}; give this one another id"
            )
        if found is not None and found.state == runs.CONFIRMED:
            return Outcome(work.run, found.state, rows=int(found.details.get("rows", 0)))
        if found is not None and found.state not in (runs.PENDING, runs.FAILED):
            raise DataError(f"run {work.run} is {found.state} already; a new one needs another id")
        _check_logged(session, work)
        if check:
            return Outcome(work.run, runs.PENDING, changed=True)
        home.ensure(session)
        with book.Book(login.database, root, stamp.server).change(
            work.run, runs.DISTRIBUTION, stamp.change, wait
        ) as page:
            page.write("begun", target=work.target)
            started = time.monotonic()
            try:
                outcome = _do(session, work, stamp, found is not None)
            except BaseException as error:
                taken = error.outcome.taken_back if isinstance(error, WorkError) else 0
                page.write("failed", target=work.target, reason=undo.reason(error), taken_back=taken)
                raise
            outcome.seconds = time.monotonic() - started
            page.write("confirmed", target=work.target, rows=outcome.rows)
            return outcome


def _check_logged(session: Session, work: Work) -> None:
    structures = catalog.read(session, work.tables)
    for table in work.tables:
        if table not in structures:
            raise DataError(f"{session.login.place} has no table {table}")
        if not log.is_logged(structures[table]):
            raise DataError(
                f"{table} is not logged, so that a distribution could not be undone: set it up with data_log first"
            )


def _do(session: Session, work: Work, stamp: runs.Stamp, again: bool) -> Outcome:
    if again:
        _take_back(session, work, stamp, stays=True)  # what an earlier attempt had committed when it died
    runs.begin(session, work.run, runs.DISTRIBUTION, work.target, stamp)
    outcome = Outcome(work.run, runs.PENDING, changed=True)
    try:
        if work.argv:
            _run_command(session.login, work, outcome)
            with session.transaction():
                _confirm(session, work, outcome)
        else:
            _run_sql(session, work, outcome)
    except BaseException as error:
        _fail(session, work, stamp, outcome, error)
        raise
    outcome.state = runs.CONFIRMED
    return outcome


def _confirm(session: Session, work: Work, outcome: Outcome) -> None:
    outcome.rows = rows_of(session, work.run)
    runs.finish(session, work.run, runs.CONFIRMED, {"rows": outcome.rows})


def rows_of(session: Session, run: str) -> int:
    """Return how many rows a run has written to logged tables, but for those of attempts that were taken back."""
    return int(
        session.value(
            "SELECT coalesce(sum(CASE a.verb WHEN 'U' THEN a.rows / 2 ELSE a.rows END), 0) FROM plano_delivery.action a"
            " JOIN plano_delivery.run r ON r.id = a.run WHERE a.run = %s AND a.id > coalesce((r.details ->> 'taken_back')::bigint, 0)",
            [run],
        )
    )


def _run_sql(session: Session, work: Work, outcome: Outcome) -> None:
    # For the session, not the transaction: SQL that ends its transaction, which is refused too late, must not lose the id.
    runs.mark_session(session, work.run, local=False)
    try:
        with session.transaction():
            session.execute("SELECT set_config('search_path', %s, true)", [work.search_path])
            if work.timeout:
                limit = f"{round(work.timeout * 1000)}ms"
                session.execute("SELECT set_config('statement_timeout', %s, true)", [limit])
            mine = session.value("SELECT pg_catalog.pg_current_xact_id()::text")
            if work.values:
                session.script(work.sql, {**work.values, "run": work.run})
            else:
                session.execute(work.sql)
            if session.value("SELECT pg_catalog.pg_current_xact_id()::text") != mine:
                raise DataError("the SQL ends its transaction by itself (COMMIT or ROLLBACK): leave that out")
            session.execute("SET LOCAL search_path = pg_catalog")
            _confirm(session, work, outcome)
    finally:
        if not session.connection.closed and not session.connection.broken:
            runs.mark_session(session, "", local=False)


def _run_command(login: Login, work: Work, outcome: Outcome) -> None:
    with (
        tempfile.TemporaryFile()
    ) as output:  # not a pipe: a command that leaves something behind must not keep this waiting
        try:
            process = subprocess.Popen(
                work.argv,
                cwd=work.folder or None,
                env=environment(login, work),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # What it had committed is then known to be all.
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        except OSError as error:
            raise DataError(f"command {work.argv[0]}: {error.strerror}") from None
        why = ""
        try:
            outcome.code = process.wait(work.timeout or None)
        except subprocess.TimeoutExpired:
            why = f"took longer than {work.timeout:g} s and was stopped"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if outcome.code or why or work.always_lines:
            outcome.output = _tail(output.fileno(), work.lines)
        if outcome.code or why:
            raise DataError(f"command {work.argv[0]} {why or f'ended with {outcome.code}'}")


def environment(login: Login, work: Work) -> dict[str, str]:
    """Return the command's environment: libpq's settings with the run's id, so that whatever it connects with is logged as the run."""
    words = [os.environ.get("PGOPTIONS", ""), f"-c {runs.SETTING}={work.run}"]
    if login.role:
        words.append("-c role=" + login.role.replace("\\", "\\\\").replace(" ", "\\ "))
    return {
        **os.environ,
        **login.environment(),
        **work.environment,
        "PLANO_RUN_ID": work.run,
        "PGOPTIONS": " ".join(word for word in words if word),
    }


def _tail(output: int, lines: int) -> list[str]:
    size = os.fstat(output).st_size
    text = os.pread(output, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode("utf-8", "replace")
    return text.splitlines()[-lines:] if lines > 0 else []


def _fail(session: Session, work: Work, stamp: runs.Stamp, outcome: Outcome, error: BaseException) -> None:
    """Take back what was committed, and write down how the run ended. Raises WorkError, which says both."""
    why = undo.reason(error)
    with contextlib.ExitStack() as opened:
        try:
            if session.connection.closed or session.connection.broken:
                session = opened.enter_context(connect(session.login))
            found = runs.find(session, work.run)
            if found is not None and found.state == runs.CONFIRMED:
                outcome.state = runs.CONFIRMED  # the answer was lost, not the work
                raise WorkError(
                    f"run {work.run} is confirmed, but the connection was lost then: run it again to see it so", outcome
                )
            outcome.taken_back = _take_back(session, work, stamp, stays=False, why=why)
            outcome.state = runs.REVERTED if outcome.taken_back else runs.FAILED
            told = (
                f"All it had committed ({outcome.taken_back} row(s)) was undone"
                if outcome.taken_back
                else "It has changed no row"
            )
        except WorkError:
            raise
        except DataError as second:
            outcome.state = runs.FAILED
            told = f"What it had committed could not be undone: {second}"
            with contextlib.suppress(DataError):
                runs.finish(session, work.run, runs.FAILED, {"reason": why})
    if not isinstance(error, Exception):
        return
    raise WorkError(f"run {work.run} of {work.target}: {why.rstrip('.')}. {told}", outcome) from None


def _take_back(session: Session, work: Work, stamp: runs.Stamp, stays: bool, why: str = "") -> int:
    """Undo what the run has committed so far; it *stays* pending then, to begin again, or is over. Return how many rows went back."""
    found = runs.find(session, work.run)
    if found is None:
        return 0
    target = undo.Target(
        f"run {work.run}",
        "a.run = %(run)s AND a.id > %(after)s",
        {"run": work.run, "after": int(found.details.get("taken_back", 0))},
        found,
        (found,),
    )
    request = undo.Request(run=work.run)
    wrote = session.value(
        "SELECT 1 FROM plano_delivery.action WHERE run = %s AND id > %s LIMIT 1", [work.run, target.values["after"]]
    )
    if not wrote:
        if not stays:
            runs.finish(session, work.run, runs.FAILED, {"reason": why})
        return 0
    with undo.alone(session, undo.LOCK, session.login.lock_seconds):
        own = undo.own_id(session, target, request)
        runs.begin(session, own, runs.UNDO, target.name, stamp, work.run)
        try:
            with session.transaction():
                runs.mark_session(session, own)
                outcome = undo.take_back(session, target, request)
                if stays:
                    session.execute(
                        "UPDATE plano_delivery.run SET details = details || jsonb_build_object('taken_back',"
                        " nextval('plano_delivery.action_number')) WHERE id = %s",
                        [work.run],
                    )
                else:
                    runs.finish(session, work.run, runs.REVERTED, {"reason": why})
                runs.finish(session, own, runs.CONFIRMED, undo.details(outcome, target))
        except DataError as error:
            with contextlib.suppress(DataError):
                runs.finish(session, own, runs.FAILED, {"reason": undo.reason(error)})
            raise
    return outcome.rows
