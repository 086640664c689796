# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the action log as asked for: which tables it covers, a mark, what is too old, what must be erased."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from . import catalog, home, log, runs, undo
from .errors import DataError
from .names import Table
from .session import Login, Session, connect

LOCK = "the action log"


@dataclass(frozen=True)
class Wanted:
    """What the log should be. *keep_days* 0 keeps all; *erase* names rows by table and key."""

    tables: tuple[Table, ...]
    present: bool = True
    truncate: str = "log"
    keep_days: int = 0
    mark: str = ""
    erase: tuple[tuple[Table, Mapping[str, str]], ...] = ()


@dataclass
class Outcome:
    """What was (or would be) changed, in words, and what the log is now."""

    steps: list[str] = field(default_factory=list)
    drift: list[str] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    erased: int = 0

    def result(self) -> dict[str, Any]:
        """Return it as a module tells it."""
        return {
            "changed": bool(self.steps),
            "steps": self.steps,
            "drift": self.drift,
            "tables": self.tables,
            "erased": self.erased,
        }


def carry_out(login: Login, wanted: Wanted, stamp: runs.Stamp, check: bool = False, wait: float = 0.0) -> Outcome:
    """Bring the log to what is *wanted*; with *check* only say what would change. Raises DataError, then nothing has changed."""
    with connect(login) as session:
        structures = catalog.read(session, wanted.tables)
        _check(session, wanted, structures)
        if check:
            with session.unchanged():  # the log's own schema is made, looked at, and never seen by anybody
                return _change(session, wanted, structures, stamp)
        if not wanted.present and not home.exists(session):
            return Outcome()
        with undo.alone(session, LOCK, wait), session.transaction():
            return _change(session, wanted, structures, stamp)


def _check(session: Session, wanted: Wanted, structures: Mapping[Table, catalog.Structure]) -> None:
    """Find all that is wrong before anything is touched."""
    faults = []
    for table in wanted.tables:
        if table not in structures:
            if wanted.present:
                faults.append(f"{session.login.place} has no table {table}")
        elif wanted.present and log.refusal(structures[table]):
            faults.append(log.refusal(structures[table]))
    if faults:
        raise DataError("; ".join(faults))


def _change(
    session: Session, wanted: Wanted, structures: Mapping[Table, catalog.Structure], stamp: runs.Stamp
) -> Outcome:
    outcome = Outcome()
    if home.ensure(session):
        outcome.steps.append(f"made the schema {home.SCHEMA}")
    if wanted.present:
        found = log.drift(session, structures, wanted.truncate)
        outcome.drift = [text for table in sorted(found) for text in found[table]]
        for table in sorted(found):
            if found[table]:
                log.set_up(session, structures[table], wanted.truncate)
                outcome.steps.append(
                    f"logged {table}" if found[table] == [f"{table} is not logged"] else f"set up {table} again"
                )
    else:
        for table in sorted(structures):
            if log.is_logged(structures[table]):
                log.take_down(session, structures[table])
                outcome.steps.append(f"no longer logged {table}")
    _erase(session, wanted, stamp, outcome)
    if wanted.keep_days and log.old_actions(session, wanted.keep_days):
        images = log.purge(session, wanted.keep_days)
        outcome.steps.append(f"purged {images} image(s) older than {wanted.keep_days} day(s)")
    if wanted.mark and log.set_mark(session, wanted.mark, stamp):
        outcome.steps.append(f"set mark {wanted.mark}")
    size, now = log.sizes(session), {source.table for source in log.sources(session) if source.now}
    outcome.tables = [
        {
            "table": str(table),
            "logged": table in now,
            "bytes": size[table][0],
            "images": size[table][1],
        }
        for table in sorted(size)
    ]
    return outcome


def _erase(session: Session, wanted: Wanted, stamp: runs.Stamp, outcome: Outcome) -> None:
    for table, key in wanted.erase:
        outcome.erased += log.erase(session, table, key)
    if outcome.erased:
        tables = sorted({table for table, _key in wanted.erase})
        log.note_erasure(session, tables, outcome.erased, stamp)
        outcome.steps.append(f"erased {outcome.erased} image(s) from the log of {', '.join(map(str, tables))}")
