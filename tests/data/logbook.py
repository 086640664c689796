# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the action log and of the undo have in common."""

from __future__ import annotations

from typing import Any

from ansible_collections.plano.delivery.plugins.module_utils.data import catalog, home, log, runs, undo
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

WHO = runs.Stamp("ana", "a wrong file", "c1", "1.0.0")


def log_tables(session: Session, *names: str, truncate: str = "log") -> None:
    """Log these tables of the schema public."""
    home.ensure(session)
    with session.transaction():
        for name in names:
            log.set_up(session, catalog.read_one(session, Table("public", name)), truncate)


def write(session: Session, run: str, *statements: str) -> None:
    """Run statements in one transaction, as an application does that sets the run id by itself."""
    with session.transaction():
        runs.mark_session(session, run)
        for statement in statements:
            session.execute(statement)


def undo_run(session: Session, run: str = "", **more: Any) -> undo.Outcome:
    """Undo a run, or what *more* says."""
    request = undo.Request(run=run, **more)
    target, why = undo.find(session, request)
    if target is None:
        return undo.Outcome(reverts=request.what, why=why)
    return undo.run(session, target, request, undo.own_id(session, target, request), WHO)


def plan_undo(session: Session, run: str = "", **more: Any) -> undo.Outcome:
    """Return the plan of an undo."""
    request = undo.Request(run=run, **more)
    target, why = undo.find(session, request)
    return undo.plan(session, target, request) if target else undo.Outcome(reverts=request.what, why=why)


def content(session: Session, name: str) -> list[str]:
    """Return a table's rows as text, in no order that matters."""
    return sorted(row[0] for row in session.rows(f'SELECT t::text FROM public."{name}" t'))


def images(session: Session, name: str) -> list[tuple[Any, ...]]:
    """Return what the log has of a table: run, verb, whether the image came, and the image."""
    found = []
    for source in log.sources(session):
        if source.table == Table("public", name):
            found += session.rows(
                f"SELECT a.run, a.verb::text, l.added, l::text FROM {source.log} l JOIN plano_delivery.action a ON a.id = l.action ORDER BY a.id"
            )
    return found
