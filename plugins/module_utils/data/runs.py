# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs: one import, distribution, undo or restore, written down as pending before it changes anything, and how it ended.

    pending ──> confirmed ──> reverting ──> reverted
       ├──> held                  └──> confirmed      (the undo failed: nothing was undone)
       ├──> failed
       └──> reverted                                  (taken back before anybody saw it)

The state changes in the same transaction as the data: what the server has confirmed is in the log, and the other way round.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Mapping, Sequence

from .errors import DataError
from .session import Session

PENDING, CONFIRMED, HELD, FAILED, REVERTING, REVERTED = (
    "pending",
    "confirmed",
    "held",
    "failed",
    "reverting",
    "reverted",
)
STATES = (PENDING, CONFIRMED, HELD, FAILED, REVERTING, REVERTED)
IMPORT, DISTRIBUTION, UNDO, RESTORE = "import", "distribution", "undo", "restore"
KINDS = (IMPORT, DISTRIBUTION, UNDO, RESTORE)
NEXT = {
    PENDING: (CONFIRMED, HELD, FAILED, REVERTED),
    HELD: (PENDING,),
    FAILED: (PENDING,),
    CONFIRMED: (REVERTING,),
    REVERTING: (REVERTED, CONFIRMED),
    REVERTED: (),
}
# The setting that carries a run's id into triggers; the sample backend and every other application sets it in the same way.
SETTING = "plano.run_id"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")

DDL = f"""
CREATE TABLE IF NOT EXISTS plano_delivery.run (
    id text PRIMARY KEY CHECK (id ~ '^{_ID.pattern}$'),
    kind text NOT NULL CHECK (kind IN ({", ".join(f"'{kind}'" for kind in KINDS)})),
    state text NOT NULL CHECK (state IN ({", ".join(f"'{state}'" for state in STATES)})),
    target text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    change text NOT NULL,
    version text NOT NULL,
    began timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended timestamptz,
    reverts text REFERENCES plano_delivery.run (id),
    details jsonb NOT NULL DEFAULT '{{}}'
);
CREATE INDEX IF NOT EXISTS run_pending ON plano_delivery.run (began) WHERE state IN ('{PENDING}', '{REVERTING}');
COMMENT ON TABLE plano_delivery.run IS 'One import, distribution, undo or restore, and how it ended';
"""
_COLUMNS = "id, kind, state, target, actor, reason, change, version, began, ended, reverts, details"


@dataclass(frozen=True)
class Run:
    """One run as the log knows it. *details* holds counts and names, never a client's values."""

    id: str
    kind: str
    state: str
    target: str
    actor: str
    reason: str
    change: str
    version: str
    began: datetime
    ended: datetime | None
    reverts: str | None
    details: dict[str, Any]

    def told(self) -> dict[str, Any]:
        """Return it as plain data, its times as text."""
        times = {name: _text(getattr(self, name)) for name in ("began", "ended")}
        return {**self.__dict__, **times}


@dataclass(frozen=True)
class Stamp:
    """Who asks for a change and why; all but *actor* may be empty.

    *version* is the application's that runs now, *server* what monitoring calls the database's server (Book).
    """

    actor: str
    reason: str = ""
    change: str = ""
    version: str = ""
    server: str = ""


def check_id(run: str) -> str:
    """Return *run* if it can be a run's id. Raises DataError."""
    if not _ID.fullmatch(run):
        raise DataError(
            f"run {run!r}: a run's id is 1 to 100 letters, digits, dots, dashes, underscores or colons, the first a letter or digit"
        )
    return run


def find(session: Session, run: str) -> Run | None:
    """Return the run with this id, None without one."""
    rows = session.rows(f"SELECT {_COLUMNS} FROM plano_delivery.run WHERE id = %s", [run])
    return Run(*rows[0]) if rows else None


def listing(session: Session, ids: Sequence[str], states: Sequence[str], limit: int) -> list[Run]:
    """Return the newest runs, those with these ids and in these states where such are named."""
    rows = session.rows(
        f"SELECT {_COLUMNS} FROM plano_delivery.run WHERE (cardinality(%s::text[]) = 0 OR id = ANY (%s::text[]))"
        " AND (cardinality(%s::text[]) = 0 OR state = ANY (%s::text[])) ORDER BY began DESC, id LIMIT %s",
        [list(ids), list(ids), list(states), list(states), limit],
    )
    return [Run(*row) for row in rows]


def begin(session: Session, run: str, kind: str, target: str, stamp: Stamp, reverts: str | None = None) -> Run:
    """Write a run down as pending, at once and for good, and return it.

    One that was held or failed begins again; one that is still pending is taken up again (its process has died: hold the lock on the
    target). Raises DataError when the id belongs to another kind or target, or to a run that is over.
    """
    check_id(run)
    with session.transaction():
        session.execute(
            "INSERT INTO plano_delivery.run (id, kind, state, target, actor, reason, change, version, reverts)"
            " VALUES (%s, %s, 'pending', %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
            [run, kind, target, stamp.actor, stamp.reason, stamp.change, stamp.version, reverts],
        )
        found = find(session, run)
        if found is None or (found.kind, found.target) != (kind, target):
            raise DataError(
                f"run {run} is another one already: {found and found.kind} of {found and found.target}; give this one another id"
            )
        if found.state in (HELD, FAILED):
            _move(session, found, PENDING, {})
        elif found.state != PENDING:
            raise DataError(f"run {run} is {found.state} already; a new one needs another id")
    return found


def finish(session: Session, run: str, state: str, details: Mapping[str, Any] | None = None) -> None:
    """Move a run on to *state*, adding to its details; stands in the transaction of the data it speaks of."""
    found = find(session, run)
    if found is None:
        raise DataError(f"run {run} is not in the log of {session.login.place}")
    if found.state != state:
        _move(session, found, state, details or {})


def _move(session: Session, run: Run, state: str, details: Mapping[str, Any]) -> None:
    if state not in NEXT[run.state]:
        raise DataError(f"run {run.id} is {run.state} and cannot become {state}")
    moved = session.execute(
        "UPDATE plano_delivery.run SET state = %s, ended = CASE WHEN %s IN ('pending', 'reverting') THEN NULL ELSE clock_timestamp() END,"
        " details = details || %s::jsonb WHERE id = %s AND state = %s",
        [state, state, json.dumps(details), run.id, run.state],
    ).rowcount
    if moved != 1:
        raise DataError(
            f"run {run.id} is no longer {run.state}: another session has changed it. Nothing was done; look at it again"
        )


def mark_session(session: Session, run: str, local: bool = True) -> None:
    """Let what this transaction (or, not *local*, this session) writes carry the id of *run*."""
    session.execute("SELECT set_config(%s, %s, %s)", [SETTING, run, local])


def pending_since(session: Session) -> datetime | None:
    """Return when the oldest run began that is neither over nor taken back."""
    found: datetime | None = session.value(
        "SELECT min(began) FROM plano_delivery.run WHERE state IN ('pending', 'reverting')"
    )
    return found


def _text(time: datetime | None) -> str | None:
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if time else None
