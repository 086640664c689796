# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of a database, and what is told of it to Prometheus."""

from __future__ import annotations

import argparse
import json
import shutil

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError
from ansible_collections.plano.delivery.plugins.module_utils.engine import cli, data
from ansible_collections.plano.delivery.plugins.module_utils.engine.lock import Busy, Lock
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout

BOTH = {"database": "db1", "datname": "shop"}
FAILURES = [
    {"rule": "email", "severity": "warn", "rows": 2},
    {"rule": "email", "severity": "warn", "rows": 3},
    {"rule": "dates", "severity": "critical", "rows": 1},
]


class Story:
    """Entries as the ledger has them, a minute apart."""

    def __init__(self):
        self.entries = []

    def add(self, operation, state, what="r1", **detail):
        seq = len(self.entries) + 1
        time = f"2026-11-27T10:{seq:02}:00.000000Z"
        entry = {"seq": seq, "time": time, "operation": operation, "state": state, "release": what, **detail}
        self.entries.append({**entry, "server": "db1"})
        return self

    def samples(self):
        """Return the samples as a dictionary by name and the labels beside those that all have; times as minutes."""
        found = {}
        text = data.exposition("shop", self.entries)
        for line in text.splitlines():
            if not line.startswith("#"):
                name, _space, value = line.rpartition(" ")
                common = 'database="db1",datname="shop"'
                assert common in name, name
                number = float(value)
                start = 1795773600  # 2026-11-27T10:00:00Z
                key = name.replace(common, "").replace("{,", "{").replace("{}", "")
                assert key not in found, "the same sample twice: node_exporter refuses the whole file"
                found[key] = (number - start) / 60 if "timestamp" in name and number else number
        return found


def test_an_import_is_told_while_it_runs_and_when_it_has_ended():
    story = Story().add("import", "begun", target="public.clients")
    assert story.samples() == {
        'plano_import_started_timestamp_seconds{target="public.clients"}': 1,
        "plano_run_pending_timestamp_seconds": 1,
    }
    rows = {"read": 9, "inserted": 4, "updated": 2, "unchanged": 2, "quarantined": 1}
    story.add("import", "accepted", target="public.clients", rows=rows, failures=FAILURES, seconds=1.5)
    assert story.samples() == {
        'plano_import_started_timestamp_seconds{target="public.clients"}': 0,
        'plano_import_last_run_timestamp_seconds{target="public.clients"}': 2,
        **{
            f'plano_import_outcome{{target="public.clients",outcome="{outcome}"}}': float(outcome == "accepted")
            for outcome in ("accepted", "held", "reverted", "failed")
        },
        'plano_import_rule_failures{target="public.clients",rule="email",severity="warn"}': 5,
        'plano_import_rule_failures{target="public.clients",rule="dates",severity="critical"}': 1,
        **{f'plano_import_rows{{target="public.clients",state="{state}"}}': count for state, count in rows.items()},
        'plano_import_duration_seconds{target="public.clients"}': 1.5,
        "plano_run_pending_timestamp_seconds": 0,
    }


@pytest.mark.parametrize("outcome", ["held", "reverted", "failed"])
def test_the_outcome_of_the_last_import_counts_each_target_by_itself(outcome):
    story = Story().add("import", "begun", target="a.b").add("import", "accepted", target="a.b", failures=FAILURES)
    story.add("import", "begun", "r2", target="c.d").add("import", outcome, "r2", target="c.d", reason="it says")
    found = story.samples()
    assert found['plano_import_outcome{target="a.b",outcome="accepted"}'] == 1
    assert found[f'plano_import_outcome{{target="c.d",outcome="{outcome}"}}'] == 1
    assert found['plano_import_outcome{target="c.d",outcome="accepted"}'] == 0
    story.add("import", "begun", "r3", target="a.b").add("import", "accepted", "r3", target="a.b", failures=[])
    assert not [name for name in story.samples() if "rule_failures" in name], "what no longer fails must resolve"


def test_a_checkpoint_is_as_old_as_its_beginning_and_as_good_as_its_last_check():
    story = Story().add("checkpoint", "begun", "c1").add("checkpoint", "confirmed", "c1", seconds=3, verified=True)
    found = story.samples()
    assert (found["plano_checkpoint_timestamp_seconds"], found["plano_checkpoint_verified"]) == (1, 1)
    story.add("checkpoint", "begun", "c2").add("checkpoint", "failed", "c2", reason="disk")
    found = story.samples()
    assert (found["plano_checkpoint_timestamp_seconds"], found["plano_checkpoint_verified"]) == (1, 1)
    assert found['plano_operation_failed_timestamp_seconds{operation="checkpoint"}'] == 4
    story.add("verify", "damaged", "c1", reason="one bit")
    assert story.samples()["plano_checkpoint_verified"] == 0
    story.add("verify", "verified", "c1")
    assert story.samples()["plano_checkpoint_verified"] == 1
    story.add("checkpoint", "begun", "c3").add("checkpoint", "confirmed", "c3", verified=True)
    story.add("verify", "damaged", "c1", reason="an old one")
    found = story.samples()
    assert (found["plano_checkpoint_timestamp_seconds"], found["plano_checkpoint_verified"]) == (7, 1)
    assert found['plano_operation_failed_timestamp_seconds{operation="checkpoint"}'] == 0


def test_restores_and_drills():
    story = Story().add("restore", "begun", "c1")
    assert "plano_restore_success" not in story.samples()
    assert story.add("restore", "failed", "c1", reason="x").samples()["plano_restore_success"] == 0
    assert story.add("restore", "confirmed", "c1", seconds=2).samples()["plano_restore_success"] == 1
    story.add("drill", "begun", "c1").add("drill", "confirmed", "c1", seconds=9)
    assert story.samples()["plano_restore_drill_timestamp_seconds"] == 5
    story.add("drill", "failed", "c1", reason="x")
    found = story.samples()
    assert found["plano_restore_drill_timestamp_seconds"] == 5
    assert found['plano_operation_failed_timestamp_seconds{operation="drill"}'] == 6


def test_an_undo_that_was_refused_is_told_until_one_succeeds():
    story = Story().add("undo", "begun", "u1").add("undo", "failed", "u1", reason="others came later", conflicts=3)
    assert story.samples()['plano_operation_failed_timestamp_seconds{operation="undo"}'] == 2
    story.add("undo", "begun", "u2").add("undo", "confirmed", "u2", reverts="r1", rows=4, skipped=3)
    assert story.samples()['plano_operation_failed_timestamp_seconds{operation="undo"}'] == 0


def test_the_oldest_run_that_never_ended_is_pending():
    story = Story().add("distribution", "begun", "d1").add("import", "begun", "r1", target="a.b")
    story.add("checkpoint", "begun", "c1")
    assert story.samples()["plano_run_pending_timestamp_seconds"] == 1
    story.add("distribution", "confirmed", "d1", rows=1)
    assert story.samples()["plano_run_pending_timestamp_seconds"] == 2
    assert story.add("import", "failed", "r1", target="a.b").samples()["plano_run_pending_timestamp_seconds"] == 0


def test_every_metric_that_is_told_has_words_and_the_other_way_round():
    story = Story().add("import", "accepted", target="a.b", rows={"read": 1}, failures=FAILURES, seconds=1)
    story.add("checkpoint", "confirmed", "c").add("restore", "failed").add("drill", "confirmed")
    assert {name.partition("{")[0] for name in story.samples()} == set(data.HELP)


# -- on the host -------------------------------------------------------------------------------------


@pytest.fixture
def var(tmp_path, monkeypatch):
    monkeypatch.setattr(Layout, "__init__", Layout.__init__)
    monkeypatch.setattr(Layout.__init__, "__defaults__", (tmp_path / "opt", tmp_path / "var", tmp_path / "run"))
    return tmp_path / "var"


@pytest.fixture
def book(var):
    return Book("shop", var / "data", "db1")


def test_each_entry_is_told_at_once_and_anew_by_the_command(book, var, capsys):
    path = var / "metrics" / "plano_data_shop.prom"
    with book.change("r1", "import", "c-1") as page:
        page.write("begun", target="public.clients")
        assert 'plano_import_started_timestamp_seconds{database="db1",datname="shop"' in path.read_text()
        page.write("accepted", target="public.clients", rows={"read": 1}, failures=[], seconds=0.1)
    text = path.read_text()
    assert 'outcome="accepted"} 1' in text
    path.unlink()
    assert cli.COMMANDS["metrics"](argparse.Namespace(command="metrics")) == cli.EXIT_OK
    assert path.read_text() == text
    assert [entry["state"] for entry in book.entries()] == ["begun", "accepted"]


def test_an_entry_stands_whether_its_metrics_can_be_written_or_not(book, var):
    var.mkdir()
    (var / "metrics").write_text("in the way")
    with book.change("r1", "import", "c-1") as page:
        page.write("begun", target="public.clients")
    assert [entry["state"] for entry in book.entries()] == ["begun"]


def test_the_command_leaves_a_database_at_work_alone_and_tells_a_damaged_ledger(book, var, capsys):
    with book.change("r1", "import", "c-1") as page:
        page.write("begun", target="a.b")
        shutil.rmtree(var / "metrics")
        assert cli.main(["metrics"]) == cli.EXIT_OK
        assert not (var / "metrics" / "plano_data_shop.prom").exists()
    book.path.write_bytes(book.path.read_bytes().replace(b"begun", b"ended"))
    assert cli.main(["metrics"]) == cli.EXIT_FAULT
    complaint = capsys.readouterr().err
    assert "'plano history data/shop'" in complaint
    assert "recover shop" not in complaint, "that would rebuild a component's ledger"


def test_one_operation_at_a_time_but_the_metrics_timer_is_waited_for(book, monkeypatch):
    busy = pytest.raises(Busy, match="being changed by change c-1")
    with book.change("r1", "import", "c-1"), busy, book.change("r2", "import", "c-2"):
        pass
    timer = Lock(book.folder / "lock", "metrics")
    timer.acquire({"change": "metrics", "release": ""})

    def sleep(_seconds):
        timer.release()

    monkeypatch.setattr("time.sleep", sleep)
    with book.change("r2", "import", "c-2") as page:
        page.write("begun", target="a.b")
    assert len(book.entries()) == 1


def test_history_and_verify_know_it_and_what_is_for_releases_does_not(book, capsys):
    with book.change("r1", "import", "c-1") as page:
        page.write("begun", target="public.clients")
        page.write("held", target="public.clients", reason="dates: 1 row\nmore")
    assert cli.main(["history", "data/shop"]) == cli.EXIT_OK
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["SEQ", "TIME", "OPERATION", "STATE", "WHAT", "TARGET", "CHANGE", "REASON"]
    assert [line[3:] for line in lines[1:]] == [
        ["import", "begun", "r1", "public.clients", "c-1"],
        ["import", "held", "r1", "public.clients", "c-1", "dates:", "1", "row"],
    ]
    assert cli.main(["history", "data/shop", "--json"]) == cli.EXIT_OK
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == book.entries()
    assert cli.main(["verify"]) == cli.EXIT_OK
    assert "data/shop: ledger of 2 entries holds" in capsys.readouterr().out
    for command in ("rollback", "retire", "verify", "recover"):
        assert cli.main([command, "data/shop"]) == cli.EXIT_REFUSED
    assert cli.main(["history", "shop"]) == cli.EXIT_REFUSED
    assert "component shop is not on this host" in capsys.readouterr().err
    assert cli.main(["status"]) == cli.EXIT_OK


def test_a_ledger_that_was_altered_is_shown_as_far_as_it_proves_itself(book, capsys):
    with book.change("r1", "import", "c-1") as page:
        page.write("begun", target="a.b")
        page.write("held", target="a.b")
    book.path.write_bytes(book.path.read_bytes().replace(b"held", b"hold"))
    assert cli.main(["history", "data/shop"]) == cli.EXIT_FAULT
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert "line 2 does not match its hash" in said.err
    assert cli.main(["verify"]) == cli.EXIT_FAULT


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 64])
def test_a_name_that_is_no_folder_is_refused(name, var):
    with pytest.raises(DataError, match="its name also names a folder"):
        Book(name, var)
