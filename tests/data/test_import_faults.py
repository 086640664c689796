# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports that are killed, or lose their server, at any moment: live data is old or new, and the same command again finishes them."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import replace
from typing import Any

import pytest
from imports import ANA, BEA, HEADER, RUN, WHO, Importer, clients, leftovers, of
from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import load, runs, staging
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError, ServerError
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session

# How many statements apart the server is lost; every one of about sixty takes ten times as long and finds no more.
STEP = int(os.environ.get("PLANO_IMPORT_STEP", "9"))
KILLS = int(os.environ.get("PLANO_IMPORT_KILLS", "5"))


def settled(session: Session, importer: Importer, run: str, text: str, before: list[Any]) -> None:
    """See that data is old or new and agrees with the log, then finish the run and see that nothing is left."""
    found = runs.find(session, run)
    new = clients(session) != before
    assert new == bool(found and found.state == runs.CONFIRMED), (found, new)
    again = importer(text, run=run)
    assert again.outcome == "accepted"
    assert again.changed == (not new)
    assert clients(session) != before
    assert leftovers(session) == []
    ends = [entry["state"] for entry in importer.book.entries() if entry["release"] == run]
    assert ends[-1] == "accepted"
    assert ends.count("accepted") == 1


def test_the_server_is_lost_before_any_statement(
    importer: Importer, session: Session, server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    importer(HEADER + ANA, run=of(0))
    real = Session.execute
    count, at = 0, 0

    with server.session(database, "data", "") as killer:

        def execute(self: Session, *given: Any) -> Any:
            nonlocal count
            if self not in (killer, session):
                count += 1
                if count == at:
                    real(killer, "SELECT pg_terminate_backend(%s)", [self.connection.info.backend_pid])
            return real(self, *given)

        at, lost = 15, 0
        while at:
            count = 0
            before = clients(session)
            text, run = HEADER + ANA + f"x{at},New,n@example.org,2026-01-01,\n", f"{RUN[:-3]}{at:03d}"
            with monkeypatch.context() as patch:
                patch.setattr(Session, "execute", execute)
                try:
                    importer(text, run=run)
                    at = 0 if count < at else at
                except ServerError as error:
                    assert "run the same command again" in str(error)
                    lost += 1
            if at:
                settled(session, importer, run, text, before)
                at += STEP
    assert lost >= 40 // STEP


def test_the_server_is_lost_within_the_copy(
    importer: Importer, session: Session, server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = clients(session)
    with server.session(database, "data", "") as killer, monkeypatch.context() as patch:

        def lost(*_given: Any) -> Any:
            pid = killer.value(
                "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY %' AND datname = current_database()"
            )
            killer.execute("SELECT pg_terminate_backend(%s)", [pid])
            time.sleep(0.05)
            for _number in range(200):
                yield b"c1,Ana,ana@example.org,2026-01-01,\n" * 2000

        patch.setattr(load.Reader, "direct", lost)
        with pytest.raises(ServerError, match="run the same command again"):
            importer(HEADER + ANA)
    settled(session, importer, RUN, HEADER + ANA, before)


def test_a_commit_whose_answer_is_lost_counts(
    importer: Importer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = load._Import._publish

    def publish(self: Any, *given: Any) -> Any:
        real(self, *given)
        self.session.connection.close()
        raise ServerError("the connection was lost", "")

    with monkeypatch.context() as patch:
        patch.setattr(load._Import, "_publish", publish)
        result = importer(HEADER + ANA)
    assert (result.outcome, result.changed, result.rows["inserted"]) == ("accepted", True, 1)
    assert importer.states() == ["1 begun", "1 accepted"]


def test_a_server_that_does_not_come_back(
    importer: Importer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_login: Any) -> Any:
        raise ServerError("the server is gone", "")

    def load_nothing(self: Any, *_given: Any) -> Any:
        self.connection.close()
        monkeypatch.setattr(load, "connect", never)
        raise ServerError("the connection was lost", "")

    with monkeypatch.context() as patch:
        patch.setattr(load, "SETTLE_SECONDS", 0.3)
        patch.setattr(load, "load", load_nothing)
        with pytest.raises(
            DataError, match="How the run ended is not known yet: run the same command again, it looks first"
        ):
            importer(HEADER + ANA)
    monkeypatch.undo()
    assert importer.states() == ["1 begun", "1 failed"]
    settled(session, importer, RUN, HEADER + ANA, [])


def test_killed_at_random_moments(importer: Importer, session: Session) -> None:
    chance = random.Random(5)
    rows = "".join(f"k{number},Kim,k{number}@example.org,2026-01-01,\n" for number in range(5000))
    began = time.monotonic()
    importer(HEADER + rows, run=of(0))
    longest = time.monotonic() - began
    killed = number = 0
    while killed < KILLS and number < 10 * KILLS:
        number += 1
        before = clients(session)
        text, run = (
            HEADER + rows.replace("Kim", f"Kim {number}") + ANA.replace("c1", f"c{number}"),
            f"{RUN[:-3]}{number:03d}",
        )
        child = os.fork()
        if not child:
            try:
                importer(text, run=run)
            finally:
                os._exit(0)
        time.sleep(chance.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        _pid, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        else:
            longest *= 0.7  # the first one was slower than those after it
        # The server ends what it was at when it misses its client.
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and session.value(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ):
            time.sleep(0.02)
        settled(session, importer, run, text, before)
    assert killed == KILLS


def test_a_file_that_is_still_being_written(
    importer: Importer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = load.load

    def slow(*given: Any) -> Any:
        with (importer.folder / "clients.csv").open("a") as out:
            out.write(BEA)
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(load, "load", slow)
        with pytest.raises(DataError, match=r"clients.csv was changed while it was read"):
            importer(HEADER + ANA)
    assert clients(session) == []
    assert leftovers(session) == []


def test_a_disk_without_room(
    importer: Importer, session: Session, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.sql("GRANT pg_read_all_settings TO owner")
    local = replace(server.login(importer.database), host="", socket=str(server.folder))
    monkeypatch.setattr(load, "ROOM", 1 << 50)
    with pytest.raises(DataError, match=r"/data has \d+ MiB free, and .*clients.csv wants \d+"):
        load.import_file(local, importer.job(HEADER + ANA), WHO, importer.book)
    assert importer.book.entries() == []


def test_what_was_staged_for_nothing_is_swept(importer: Importer, session: Session) -> None:
    importer(HEADER + ANA)
    session.execute(f"CREATE TABLE {staging.name_of('gone').sql} (a int)")
    importer(HEADER + ANA + BEA, run=of(2))
    assert leftovers(session) == []
