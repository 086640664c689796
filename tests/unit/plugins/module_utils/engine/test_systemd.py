# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Done, Host


def test_an_unchanged_unit_is_not_written_again(host):
    assert host.write_unit("app.service", "[Unit]\n") is True
    assert host.write_unit("app.service", "[Unit]\n") is False
    assert host.ran("systemctl daemon-reload") == 1


def test_a_unit_whose_reload_was_cut_off_is_reloaded(host):
    host.write_unit("app.service", "[Unit]\n")
    host.answers["systemctl show"] = lambda: Done([], 0, "NeedDaemonReload=yes\n", "")
    assert host.write_unit("app.service", "[Unit]\n") is False
    assert host.ran("systemctl daemon-reload") == 2


def test_what_a_command_says_and_how_it_ends_is_told(tmp_path):
    done = Host(tmp_path).run(["sh", "-c", "echo out; echo wrong >&2; exit 3"])
    assert (done.code, done.stdout, done.stderr, done.why) == (3, "out\n", "wrong\n", "wrong")


def test_a_command_without_a_word_is_told_by_its_exit_code(tmp_path):
    assert Host(tmp_path).run(["false"]).why == "exit code 1 without a word"


def test_only_the_last_words_of_a_command_are_told(tmp_path):
    done = Host(tmp_path).run(["sh", "-c", "seq 1 9; exit 1"])
    assert done.why == "4 | 5 | 6 | 7 | 8 | 9"


def test_words_that_are_no_text_do_no_harm(tmp_path):
    assert Host(tmp_path).run(["printf", r"\377\n"]).stdout == "\N{REPLACEMENT CHARACTER}\n"


def test_a_program_that_is_missing_is_an_exit_code(tmp_path):
    done = Host(tmp_path).run(["plano-no-such-program", "now"])
    assert (done.code, done.why) == (127, "plano-no-such-program is not installed")


def test_a_command_that_takes_too_long_is_ended(tmp_path):
    done = Host(tmp_path).run(["sleep", "60"], timeout=0.05)
    assert (done.code, done.why) == (124, "sleep did not end within 0 s")


def test_a_command_gets_the_environment_of_the_engine_and_what_is_added(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANO_OURS", "ours")
    done = Host(tmp_path).run(["sh", "-c", "echo $PLANO_OURS $PLANO_MORE $LC_ALL"], env={"PLANO_MORE": "more"})
    assert done.stdout == "ours more C.UTF-8\n"


def test_a_command_that_must_succeed_is_told_with_its_own_words(tmp_path):
    assert Host(tmp_path).must(["echo", "fine"]).stdout == "fine\n"
    with pytest.raises(EngineError, match=r"'sh -c echo broken; exit 1' failed: broken"):
        Host(tmp_path).must(["sh", "-c", "echo broken; exit 1"])


def test_properties_are_read_whatever_they_hold(host):
    host.says("systemctl show app.service --property=Environment,Id", "Environment=A=1 B=2\n\nId=app.service\n")
    assert host.show("app.service", "Environment", "Id") == {"Environment": "A=1 B=2", "Id": "app.service"}


def test_the_variables_of_a_process_are_those_it_was_started_with(tmp_path, monkeypatch):
    host = Host(tmp_path)
    monkeypatch.setattr(host, "proc", tmp_path)
    monkeypatch.setattr(host, "show", lambda *_names: {"MainPID": "7"})
    assert host.environment("app.service") == {}
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "environ").write_bytes(b"PLANO_UNIT=abc\0A=b=c\0odd\0")
    assert host.environment("app.service") == {"PLANO_UNIT": "abc", "A": "b=c"}


def test_a_service_that_reloads_is_active(host):
    host.says("systemctl show", "ActiveState=reloading\n")
    assert host.is_active("app.service") is True
    host.says("systemctl show", "ActiveState=activating\n")
    assert host.is_active("app.service") is False


def test_a_unit_that_does_not_start_is_told_with_the_last_words_of_its_latest_run(host):
    host.begin("app.service")
    host.refuses("systemctl start app.service", "Job failed")
    run = host.show("app.service")["InvocationID"]
    host.says(f"journalctl _SYSTEMD_INVOCATION_ID={run} ", "Traceback\nno such table\n\n")
    with pytest.raises(EngineError) as caught:
        host.start("app.service")
    assert str(caught.value) == (
        "app.service did not start: Job failed\nLast words of app.service:\nTraceback\nno such table"
    )


def test_a_unit_that_never_ran_is_looked_up_by_its_name(host):
    host.says("journalctl --unit app.service ", "refused by its condition\n")
    assert host.journal("app.service") == "\nLast words of app.service:\nrefused by its condition"
    host.says("journalctl --unit app.service ", "\n")
    assert host.journal("app.service") == ""


def test_a_run_that_said_nothing_yet_leaves_the_word_to_the_one_before(host):
    host.begin("app.service")
    run = host.show("app.service")["InvocationID"]
    host.says(f"journalctl _SYSTEMD_INVOCATION_ID={run} ", "\n")
    host.says("journalctl --unit app.service ", "Traceback\n")
    assert host.journal("app.service") == "\nLast words of app.service:\nTraceback"
    # While it has said something itself, nobody else's words are taken for its own.
    host.says(f"journalctl _SYSTEMD_INVOCATION_ID={run} ", "started\n")
    assert host.journal("app.service") == "\nLast words of app.service:\nstarted"


def test_a_unit_is_enabled_once_and_disabled_without_a_trace(host):
    host.enable("app.service")
    link = host.unit_dir / "multi-user.target.wants" / "app.service"
    assert os.readlink(link) == str(host.unit_dir / "app.service")
    before = link.lstat().st_ino
    host.enable("app.service")
    assert link.lstat().st_ino == before
    host.disable("app.service")
    host.disable("app.service")
    assert host.enabled() == []
    assert host.ran("systemctl") == 0


def test_a_plan_replaces_the_one_before_and_can_be_forgotten(host):
    host.later("plano-app-retire", 900.4, ["/opt/plano/bin/plano", "retire", "app"])
    assert host.is_planned("plano-app-retire") is True
    assert host.calls[:3] == [
        ["systemctl", "stop", "plano-app-retire.timer", "plano-app-retire.service"],
        ["systemctl", "reset-failed", "plano-app-retire.timer", "plano-app-retire.service"],
        [
            "systemd-run",
            "--quiet",
            "--collect",
            "--unit=plano-app-retire",
            "--on-active=900",
            "/opt/plano/bin/plano",
            "retire",
            "app",
        ],
    ]
    host.forget("plano-app-retire")
    assert host.is_planned("plano-app-retire") is False


def test_a_unit_file_that_is_not_there_is_nothing(host):
    assert host.unit_text("app.service") is None
