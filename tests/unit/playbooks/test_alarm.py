"""An alarm that reaches nobody is told, and fails nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TASKS = ROOT / "playbooks" / "tasks" / "alarm.yml"


@pytest.fixture
def play(tmp_path: Path):
    def run(children: dict[str, Any], **variables: Any) -> tuple[int, str]:
        plays = [{"hosts": "db", "gather_facts": False, "tasks": [{"ansible.builtin.import_tasks": str(TASKS)}]}]
        about = {
            "__alarm": "ImportHeld",
            "__alarm_labels": {"database": "db", "datname": "shop", "target": "public.clients"},
            "__alarm_reason": "dates: 3 rows",
        }
        plays[0]["vars"] = {**about, **variables}
        (tmp_path / "play.yml").write_text(yaml.safe_dump(plays))
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"db": None}, "children": children}}))
        become = "ansible_become=false ansible_connection=local"
        extra = ["-e", f"{become} monitoring_password=S3CRET ansible_python_interpreter={sys.executable}"]
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", *extra, tmp_path / "play.yml"],
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"},
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


def test_where_nobody_watches_nobody_is_told(play):
    code, said = play({})
    assert code == 0, said
    assert "skipped=2" in said


def test_an_alertmanager_that_is_away_is_told_and_fails_nothing(play):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # it does not listen
        code, said = play({"monitoring": {"hosts": {"mon": {"alertmanager_port": nobody.getsockname()[1]}}}})
    assert code == 0, said
    assert "Alertmanager did not take ImportHeld: " in said
    assert "S3CRET" not in said


def test_an_alarm_that_no_rule_would_fire_is_told(play):
    _code, said = play({"monitoring": {"hosts": {"mon": None}}}, __alarm="Nonsense")
    assert "the alert 'Nonsense' is none of" in said, said
