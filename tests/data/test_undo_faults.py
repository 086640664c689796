# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An undo that is killed, cut off or kept waiting: the data is old or new, and the same call again ends it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from logbook import WHO, content, log_tables, undo_run, write
from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import runs, undo
from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import BusyError, DataError, ServerError
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

MANY = 20_000
HOST = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from ansible_collections.plano.delivery.plugins.module_utils.data import runs, undo
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Login
print("ready", flush=True)
undo.carry_out(Login(**{login!r}), undo.Request(run="r1"), runs.Stamp("ana"), root=Path({root!r}))
"""


@pytest.fixture
def many(session: Session) -> Session:
    session.execute(
        f"CREATE TABLE public.t (id int PRIMARY KEY, a int); INSERT INTO public.t SELECT g, 0 FROM generate_series(1, {MANY}) g"
    )
    log_tables(session, "t")
    more = f"INSERT INTO public.t SELECT g, 1 FROM generate_series({MANY + 1}, {2 * MANY}) g"
    write(session, "r1", "UPDATE public.t SET a = 1 WHERE id % 2 = 0", more)
    return session


def sums(session: Session) -> tuple[int, int]:
    return session.rows("SELECT count(*)::int, sum(a)::int FROM public.t")[0]


NEW, OLD = (2 * MANY, MANY // 2 + MANY), (MANY, 0)


def settle(session: Session, server: Server, database: str, root: Path) -> None:
    """After a fault: everything is old or new, and the same call ends it."""
    states = {run: found and found.state for run in ("r1", "undo-r1-1") for found in [runs.find(session, run)]}
    if sums(session) == OLD:
        assert states == {"r1": "reverted", "undo-r1-1": "confirmed"}
    else:
        assert sums(session) == NEW
        assert states["r1"] in (None, "confirmed", "reverting")
        assert states["undo-r1-1"] in (None, "pending", "failed")
    outcome = undo.carry_out(server.login(database), undo.Request(run="r1"), WHO, root=root, wait=10)
    assert outcome.changed == (states.get("undo-r1-1") != "confirmed")
    assert sums(session) == OLD
    assert (runs.find(session, "r1").state, runs.find(session, "undo-r1-1").state) == ("reverted", "confirmed")
    undo_run(session, "undo-r1-1")
    assert sums(session) == NEW


@pytest.mark.parametrize("seed", range(int(os.environ.get("PLANO_KILLS", "5"))))
def test_a_process_that_is_killed(many: Session, server: Server, database: str, tmp_path: Path, seed: int) -> None:
    script = HOST.format(paths=sys.path, login=server.login(database).__dict__, root=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.0, 0.8))
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20  # the server notices that its client is gone at the end of a statement
    while time.monotonic() < deadline and many.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ):
        time.sleep(0.05)
    settle(many, server, database, tmp_path)


@pytest.mark.parametrize("seed", range(int(os.environ.get("PLANO_KILLS", "5"))))
def test_a_connection_that_is_cut(many: Session, server: Server, database: str, tmp_path: Path, seed: int) -> None:
    ended: list[Any] = []

    def work() -> None:
        try:
            ended.append(undo.carry_out(server.login(database), undo.Request(run="r1"), WHO, root=tmp_path))
        except DataError as error:
            ended.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(random.Random(seed).uniform(0.0, 0.6))
    server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'data' AND datname = current_database()"
        f" AND pid <> {many.connection.info.backend_pid}",
        database,
    )
    worker.join(30)
    if isinstance(ended[0], DataError):
        assert "What was not committed is undone" in str(ended[0])
        assert sums(many) == NEW
        assert {found.state for found in [runs.find(many, "r1")] if found} <= {"confirmed"}
    settle(many, server, database, tmp_path)


def test_a_lock_that_is_not_given_in_time(
    many: Session, server: Server, database: str, application: Session, tmp_path: Path
) -> None:
    with application.transaction():
        application.execute("UPDATE public.t SET a = a WHERE id = 1")
        with pytest.raises(ServerError, match=r"The lock was not given within 0\.3 s"):
            undo.carry_out(server.login(database, lock_seconds=0.3), undo.Request(run="r1"), WHO, root=tmp_path)
    assert runs.find(many, "r1").state == "confirmed"
    assert [entry["state"] for entry in Book(database, tmp_path).entries()] == ["begun", "failed"]
    settle(many, server, database, tmp_path)
    assert [entry["state"] for entry in Book(database, tmp_path).entries()] == ["begun", "failed", "begun", "confirmed"]


def test_one_undo_at_a_time_or_the_second_waits(many: Session, server: Server, database: str, tmp_path: Path) -> None:
    with many.alone(undo.LOCK):
        with pytest.raises(BusyError, match="is at work in another session"):
            undo.carry_out(server.login(database), undo.Request(run="r1"), WHO, root=tmp_path)
        waiting = threading.Thread(
            target=lambda: undo.carry_out(server.login(database), undo.Request(run="r1"), WHO, root=tmp_path, wait=20)
        )
        waiting.start()
        time.sleep(0.5)
        assert sums(many) == NEW
    waiting.join(30)
    assert sums(many) == OLD


def test_others_write_while_an_undo_is_at_work(many: Session, server: Server, database: str, tmp_path: Path) -> None:
    stop = threading.Event()
    wrote: list[int] = []
    errors: list[Exception] = []

    def work(first: int) -> None:
        try:
            with server.session(database, "app", "", lock_seconds=60) as other:
                number = first
                while not stop.is_set():
                    number += 2
                    with other.transaction():
                        runs.mark_session(other, f"other-{first}")
                        other.execute("INSERT INTO public.t VALUES (%s, 7)", [10 * MANY + number])
                        other.execute("UPDATE public.t SET a = a + 1 WHERE id = %s", [number % 1000 * 2 + 1])
                    wrote.append(number)
        except Exception as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(first,)) for first in (0, 1)]
    for worker in workers:
        worker.start()
    time.sleep(0.3)
    outcome = undo.carry_out(server.login(database), undo.Request(run="r1"), WHO, root=tmp_path, wait=10)
    time.sleep(0.3)
    stop.set()
    for worker in workers:
        worker.join(30)
    assert errors == []
    assert outcome.rows == MANY + MANY // 2
    assert many.value("SELECT count(*) FROM public.t WHERE mod(id, 2) = 0 AND id <= %s AND a <> 0", [MANY]) == 0
    assert many.value("SELECT count(*) FROM public.t WHERE id > %s AND id <= %s", [MANY, 2 * MANY]) == 0
    assert many.value("SELECT count(*) FROM public.t WHERE a = 7") == len(wrote)
    assert many.value("SELECT sum(a) FROM public.t WHERE a <> 7 OR id < %s", [MANY]) == len(wrote)


def test_check_mode_keeps_nobody_waiting_and_leaves_nothing(
    many: Session, server: Server, database: str, application: Session, tmp_path: Path
) -> None:
    with application.transaction():
        application.execute("UPDATE public.t SET a = a WHERE id = 1")
        outcome = undo.carry_out(server.login(database), undo.Request(run="r1"), WHO, check=True, root=tmp_path)
    assert (outcome.changed, outcome.rows, outcome.run_id) == (True, MANY + MANY // 2, "undo-r1-1")
    assert outcome.seconds > 0
    assert runs.find(many, "r1") is None
    assert not list(tmp_path.iterdir())
    application.execute("UPDATE public.t SET a = 9 WHERE id = 2")
    refused = undo.carry_out(server.login(database), undo.Request(run="r1"), WHO, check=True, root=tmp_path)
    assert (refused.changed, refused.conflict_rows) == (False, 1)
    assert "1 row(s) cannot go back" in refused.why


def test_the_ledger_on_the_host_tells_what_was_undone(
    many: Session, server: Server, database: str, application: Session, tmp_path: Path
) -> None:
    application.execute("UPDATE public.t SET a = 9 WHERE id = 2")
    with pytest.raises(undo.ConflictError):
        undo.carry_out(server.login(database), undo.Request(run="r1"), WHO, root=tmp_path)
    undo.carry_out(server.login(database), undo.Request(run="r1", skip=True), WHO, root=tmp_path)
    entries = Book(database, tmp_path).entries()
    assert [(e["release"], e["operation"], e["state"]) for e in entries] == [
        ("undo-r1-1", "undo", "begun"),
        ("undo-r1-1", "undo", "failed"),
        ("undo-r1-1", "undo", "begun"),
        ("undo-r1-1", "undo", "confirmed"),
    ]
    assert (entries[1]["conflicts"], entries[3]["reverts"], entries[3]["skipped"]) == (1, "run r1", 1)
    assert entries[3]["rows"] == MANY + MANY // 2 - 1
    assert content(many, "t").count("(2,9)") == 1
