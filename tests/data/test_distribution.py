# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from logbook import WHO, content, log_tables, undo_run
from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import distribution, runs, tools
from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

T = Table("public", "t")
# What a user's own program is: it commits as it goes, and knows nothing of the log.
PROGRAM = """
import os, sys, time
import psycopg
with psycopg.connect(autocommit=True) as connection:
    for number in range(5):
        connection.execute("INSERT INTO public.t VALUES (%s, %s)", [number, os.environ["PLANO_RUN_ID"]])
        print("wrote", number, flush=True)
        time.sleep(float(os.environ.get("PAUSE", "0")))
    connection.execute("UPDATE public.t SET a = a || '!' WHERE id = 0")
sys.exit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture
def table(session: Session) -> Session:
    session.execute("CREATE TABLE public.t (id int PRIMARY KEY, a text); INSERT INTO public.t VALUES (100, 'old')")
    log_tables(session, "t")
    return session


@pytest.fixture
def go(server: Server, database: str, tmp_path: Path) -> Any:
    def call(run: str = "r1", check: bool = False, **work: Any) -> distribution.Outcome:
        if not work.keys() & {"sql", "argv"}:
            work["argv"] = (sys.executable, "-c", PROGRAM)
        task = distribution.Work(run=run, target="shares", tables=(T,), **work)
        return distribution.carry_out(server.login(database), task, WHO, check=check, root=tmp_path)

    return call


def told(database: str, root: Path) -> list[tuple[str, str]]:
    return [(entry["operation"], entry["state"]) for entry in Book(database, root).entries()]


def test_sql_is_confirmed_with_its_data_and_not_done_twice(
    table: Session, go: Any, database: str, tmp_path: Path
) -> None:
    sql = "INSERT INTO t VALUES (1, 'x'); UPDATE t SET a = 'y' WHERE id = 100"
    assert go(check=True, sql=sql).changed
    assert runs.find(table, "r1") is None
    done = go(sql=sql)
    assert (done.changed, done.state, done.rows) == (True, "confirmed", 2)
    again = go(sql=sql)
    assert (again.changed, again.state, again.rows) == (False, "confirmed", 2)
    assert told(database, tmp_path) == [("distribution", "begun"), ("distribution", "confirmed")]
    undo_run(table, "r1")
    assert content(table, "t") == ["(100,old)"]
    with pytest.raises(DataError, match="run r1 is reverted already; a new one needs another id"):
        go(sql=sql)


def test_sql_takes_values(table: Session, go: Any) -> None:
    go(
        sql="INSERT INTO t VALUES (%(n)s, %(a)s); UPDATE t SET a = a || '%%' || %(run)s WHERE id = %(n)s",
        values={"n": 7, "a": "it's; 50 %"},
    )
    assert content(table, "t") == ["(100,old)", '(7,"it\'s; 50 %%r1")']


def test_sql_that_fails_changes_nothing_and_can_be_run_again(
    table: Session, go: Any, database: str, tmp_path: Path
) -> None:
    with pytest.raises(distribution.WorkError, match=r"run r1 of shares: .*duplicate key.*It has changed no row"):
        go(sql="INSERT INTO t VALUES (1, 'secret'), (1, 'secret')")
    assert (runs.find(table, "r1").state, content(table, "t")) == ("failed", ["(100,old)"])
    assert go(sql="INSERT INTO t VALUES (1, 'x')").state == "confirmed"
    assert [state for _operation, state in told(database, tmp_path)] == ["begun", "failed", "begun", "confirmed"]


def test_sql_that_ends_its_transaction_is_taken_back(table: Session, go: Any) -> None:
    with pytest.raises(distribution.WorkError, match="ends its transaction by itself"):
        go(sql="INSERT INTO public.t VALUES (1, 'x'); COMMIT; INSERT INTO public.t VALUES (2, 'y')")
    assert runs.find(table, "r1").state == "reverted"
    assert content(table, "t") == ["(100,old)"]


def test_a_command_that_ends_well_is_confirmed(table: Session, go: Any) -> None:
    done = go()
    assert (done.state, done.rows, done.code, done.output) == ("confirmed", 6, 0, [])
    assert content(table, "t") == ["(0,r1!)", "(1,r1)", "(100,old)", "(2,r1)", "(3,r1)", "(4,r1)"]
    assert not go().changed
    undo_run(table, "r1")
    assert content(table, "t") == ["(100,old)"]


def test_what_a_failing_command_has_committed_is_taken_back(
    table: Session, go: Any, database: str, tmp_path: Path
) -> None:
    with pytest.raises(
        distribution.WorkError, match=r"ended with 3\. All it had committed \(5 row\(s\)\) was undone"
    ) as caught:
        go(environment={"CODE": "3"}, lines=2)
    assert caught.value.details["output"] == ["wrote 3", "wrote 4"]
    assert (caught.value.details["state"], caught.value.details["rc"]) == ("reverted", 3)
    assert content(table, "t") == ["(100,old)"]
    assert runs.find(table, "r1").state == "reverted"
    assert [state for _operation, state in told(database, tmp_path)] == ["begun", "failed"]


def test_a_command_that_takes_too_long(table: Session, go: Any) -> None:
    with pytest.raises(distribution.WorkError, match=r"took longer than 5 s and was stopped\. All it had committed"):
        go(environment={"PAUSE": "60"}, timeout=5.0)
    assert content(table, "t") == ["(100,old)"]


def test_a_command_whose_parent_died_before_it_began_never_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    die = tools.die_with_parent(signal.SIGKILL)
    child = os.fork()
    if not child:
        monkeypatch.setattr(os, "getppid", lambda: 0)
        try:
            die()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_command_that_is_not_there_or_changes_nothing(table: Session, go: Any) -> None:
    with pytest.raises(distribution.WorkError, match=r"/no/such: No such file or directory\. It has changed no row"):
        go(argv=("/no/such",))
    with pytest.raises(distribution.WorkError, match=r"ended with 1\. It has changed no row"):
        go("r2", argv=("/bin/false",))
    assert {runs.find(table, run).state for run in ("r1", "r2")} == {"failed"}


def test_what_others_changed_since_is_not_taken_back_but_told(table: Session, go: Any, application: Session) -> None:
    script = PROGRAM.replace("sys.exit", "connection2 = psycopg.connect(autocommit=True, options=''); connection2.execute('SET plano.run_id TO DEFAULT');"
                             " connection2.execute('SET ROLE owner'); connection2.execute(\"SELECT set_config('plano.run_id', 'other', false)\");"
                             " connection2.execute(\"UPDATE public.t SET a = 'theirs' WHERE id = 3\"); sys.exit")  # fmt: skip
    with pytest.raises(distribution.WorkError, match=r"could not be undone: .*1 row\(s\) cannot go back"):
        go(environment={"CODE": "3"}, argv=(sys.executable, "-c", script))
    assert runs.find(table, "r1").state == "failed"
    outcome = undo_run(table, "r1", skip=True)
    assert (outcome.rows, outcome.conflict_rows) == (4, 1)
    assert content(table, "t") == ["(100,old)", "(3,theirs)"]
    assert runs.find(table, "r1").state == "reverted"


def test_a_table_that_is_not_logged_is_refused_before_anything(table: Session, go: Any) -> None:
    table.execute("DROP TRIGGER plano_log_insert ON public.t; DROP TRIGGER plano_log_update ON public.t;"
                  "DROP TRIGGER plano_log_delete ON public.t; DROP TRIGGER plano_log_truncate ON public.t")  # fmt: skip
    with pytest.raises(DataError, match=r"public\.t is not logged"):
        go()
    assert runs.find(table, "r1") is None


HOST = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from ansible_collections.plano.delivery.plugins.module_utils.data import distribution, runs
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Login
task = distribution.Work(run="r1", target="shares", tables=(Table("public", "t"),), argv=(sys.executable, "-c", {program!r}),
                         environment={{"PAUSE": "0.1"}})
distribution.carry_out(Login(**{login!r}), task, runs.Stamp("ana"), root=Path({root!r}))
"""


@pytest.mark.parametrize("seconds", [0.6, 0.9, 1.2])
def test_a_killed_run_is_taken_back_and_run_again(
    table: Session, go: Any, server: Server, database: str, tmp_path: Path, seconds: float
) -> None:
    script = HOST.format(paths=sys.path, program=PROGRAM, login=server.login(database).__dict__, root=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script])
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.3)
    before = content(table, "t")
    time.sleep(0.3)
    assert content(table, "t") == before  # its command is gone, too
    found = runs.find(table, "r1")
    assert found is None or found.state in ("pending", "confirmed")
    done = go()
    assert (done.state, done.rows) == ("confirmed", 6)
    assert content(table, "t") == ["(0,r1!)", "(1,r1)", "(100,old)", "(2,r1)", "(3,r1)", "(4,r1)"]
    undo_run(table, "r1")
    assert content(table, "t") == ["(100,old)"]
