# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a killed restore or checkpoint has left: named in the database and the ledger before it was made, so that nothing else is touched."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Sequence

from . import home, runs
from .book import Book
from .errors import BusyError
from .names import identifier
from .runs import Stamp
from .session import Session, connect

# Everything that changes schemas as a whole stands in this lock.
RESTORE = "restore"
OPERATIONS = ("checkpoint", "restore", "drill")


def application(suffix: str) -> str:
    """Return the name that the programs of a restore give to the server."""
    return f"plano.delivery {suffix}"


def found(session: Session) -> list[str]:
    """Return what there is to be removed, while nobody restores."""
    rows = _rows(session)
    return [
        name
        for _suffix, scratch, schemas in rows
        for name in ([f"database {scratch}"] if scratch else []) + [f"schema {s}" for s in schemas]
    ]


def remove(session: Session) -> list[str]:
    """Remove it; the caller is in the lock RESTORE. Returns what was removed."""
    names = found(session)
    for suffix, scratch, schemas in _rows(session):
        drop(session, suffix, scratch, schemas)
    if home.exists(session):
        for (run,) in session.rows(
            "SELECT id FROM plano_delivery.run WHERE kind = %s AND state = %s", [runs.RESTORE, runs.PENDING]
        ):
            runs.finish(session, run, runs.FAILED, {"reason": "interrupted"})
    return names


def remove_if_idle(session: Session) -> list[str]:
    """Remove it unless a restore is under way, which then is no leftover."""
    if not _rows(session):
        return []
    try:
        with session.alone(RESTORE):
            return remove(session)
    except BusyError:
        return []


def drop(session: Session, suffix: str, scratch: str | None, schemas: Sequence[str]) -> None:
    """Remove what one restore has made beside the live schemas, and forget it."""
    with connect(
        dataclasses.replace(session.login, role="")
    ) as plain:  # sessions of a role may be ended by the role itself
        plain.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = session_user AND pid <> pg_backend_pid()"
            " AND (application_name = %s OR datname = %s)",
            [application(suffix), scratch],
        )
    if scratch:
        session.execute(f"DROP DATABASE IF EXISTS {identifier(scratch)}")
    for schema in schemas:
        session.execute(f"DROP SCHEMA IF EXISTS {identifier(schema)} CASCADE")
    session.execute("DELETE FROM plano_delivery.restore WHERE suffix = %s AND state = 'loading'", [suffix])


def settle(session: Session, book: Book, stamp: Stamp, standing: Callable[[str], dict[str, Any] | None]) -> None:
    """Let the ledger tell how operations ended whose process was killed.

    A checkpoint has ended well when *standing* knows it, and says how; a run when the database has it as confirmed. One that is under way
    holds the book, so that nobody calls it ended. Raises Busy.
    """
    for operation, what in _open(book):
        with book.change(what, operation, stamp.change) as page:
            if (operation, what) not in _open(book):  # it ended while this was looking
                continue
            good = (
                standing(what)
                if operation == "checkpoint"
                else _confirmed(session, what)
                if operation == "restore"
                else None
            )
            if good is not None:
                page.write("confirmed", **good)
            else:
                page.write("failed", reason="interrupted")


def _open(book: Book) -> list[tuple[str, str]]:
    """Return the operations of this part that have begun and not ended."""
    last = {(entry.get("operation", ""), entry["release"]): entry["state"] for entry in book.entries()}
    return [key for key, state in last.items() if key[0] in OPERATIONS and state == "begun"]


def _confirmed(session: Session, run: str) -> dict[str, Any] | None:
    found = runs.find(session, run) if home.exists(session) else None
    if found is None or found.state != runs.CONFIRMED or found.ended is None:
        return None
    return {
        "target": found.details.get("checkpoint"),
        "seconds": (found.ended - found.began).total_seconds(),
        "kept": found.details.get("kept") or None,
    }


def _rows(session: Session) -> list[Any]:
    if not session.value("SELECT to_regclass('plano_delivery.restore')"):
        return []
    rows = session.rows(
        "SELECT suffix, scratch, schemas FROM plano_delivery.restore WHERE state = 'loading' ORDER BY began"
    )
    return [
        (suffix, scratch, sorted(names["aside"] for names in schemas.values())) for suffix, scratch, schemas in rows
    ]
