"""After imports, distributions, an undo and a restore: the right rows, each change in the log, metrics and reports."""

from __future__ import annotations

import json
import re

import pytest

testinfra_hosts = ["ansible://data"]
FIRST, SECOND = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def ask(host):
    """Ask the server as its superuser; the answer is a list of rows of text."""

    def run(statement):
        answer = host.check_output(
            "cd / && runuser -u postgres -- psql -XAtq -F '|' -v ON_ERROR_STOP=1 -d backend -c %s", statement
        )
        return [line.split("|") for line in answer.splitlines()]

    return run


def test_only_the_good_file_is_live(ask):
    assert ask("SELECT string_agg(external_id, ' ' ORDER BY external_id) FROM public.clients") == [
        ["C-001 C-002 C-003 C-004 C-005 C-006"]
    ]
    assert ask("SELECT file, rows, inserted, updated FROM public.imports") == [["clients.csv", "6", "6", "0"]]


def test_the_restore_has_brought_back_the_right_distribution_alone(ask):
    assert ask("SELECT run_id, total_cents, recipients FROM public.distributions") == [[SECOND, "10000", "6"]]
    assert ask("SELECT count(*), sum(share_cents) FROM public.results") == [["6", "10000"]]


def test_every_run_is_in_the_log_with_how_it_ended(ask):
    found = ask("SELECT kind, state, count(*) FROM plano_delivery.run GROUP BY 1, 2 ORDER BY 1, 2")
    assert found == [
        ["distribution", "reverted", "2"],
        ["import", "confirmed", "1"],
        ["import", "held", "1"],
        ["import", "reverted", "1"],
        ["restore", "confirmed", "1"],
        ["undo", "confirmed", "2"],
    ]
    assert ask(f"SELECT reason, version FROM plano_delivery.run WHERE reverts = '{FIRST}'") == [
        ["wrong total", "1.0.0"]
    ]


def test_the_log_goes_on_after_the_restore(ask):
    assert ask(
        "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'plano_log_%' AND tgrelid = 'public.clients'::regclass"
    ) == [["4"]]
    ask("UPDATE public.clients SET name = name || '' WHERE external_id = 'C-001'")
    assert ask("SELECT verb, rows, run IS NULL FROM plano_delivery.action ORDER BY id DESC LIMIT 1") == [
        ["U", "2", "t"]
    ]


def test_the_application_sees_nothing_of_it(sql):
    with pytest.raises(Exception, match="permission denied for schema plano_delivery"):
        sql("backend", "application", "SELECT 1 FROM plano_delivery.action")


def test_failing_keys_are_kept_and_no_values(ask):
    found = ask("SELECT rule, key FROM plano_delivery.violation ORDER BY 1, 2")
    assert sorted({rule for rule, key in found if "C-011" in key or "C-001" in key}) == ["one_mail_one_client"]
    assert not any("@" in key for _rule, key in found)


def test_prometheus_is_told(host):
    text = host.file("/var/lib/plano/metrics/plano_data_backend.prom").content_string
    for line in (
        r'plano_import_outcome\{[^}]*outcome="reverted"[^}]*\} 1',
        r"plano_checkpoint_verified\{[^}]*\} 1",
        r"plano_restore_success\{[^}]*\} 1",
        r"plano_restore_drill_timestamp_seconds\{[^}]*\} 1\d+",
        r"plano_run_pending_timestamp_seconds\{[^}]*\} 0",
    ):
        assert re.search(f"^{line}", text, re.MULTILINE), f"{line} is not in\n{text}"


def test_the_ledger_outside_the_database_tells_it_too(host):
    said = host.check_output("/opt/plano/bin/plano history data/backend")
    assert all(word in said for word in ("import", "held", "reverted", "undo", "restore", "drill"))
    assert host.run("/opt/plano/bin/plano verify").rc == 0


def test_each_revert_has_a_report_for_root_alone(host):
    folder = host.file("/var/lib/plano/reports")
    assert (folder.user, folder.mode & 0o007) == ("root", 0)
    names = host.check_output("ls /var/lib/plano/reports").split()
    assert f"run-{FIRST}.html" in names
    report = host.file(f"/var/lib/plano/reports/run-{FIRST}.md").content_string
    assert FIRST in report
    assert "@example.org" not in report


def test_checkpoints_are_for_root_alone(host):
    assert host.file("/var/lib/plano/checkpoints").mode == 0o700
    found = json.loads(host.file("/var/lib/plano/checkpoints/backend/molecule/manifest.json").content_string)
    assert {table["name"]: table["rows"] for table in found["tables"]}["clients"] == 6


def test_nothing_is_left_behind(host, ask):
    assert host.check_output("ls -A /var/lib/plano/incoming") == ""
    assert (
        ask("SELECT datname FROM pg_database WHERE datname NOT IN ('backend', 'postgres', 'template0', 'template1')")
        == []
    )
    names = host.check_output("ls -A /var/lib/plano/checkpoints/backend").split()
    assert not [name for name in names if name.endswith(".tmp")]
