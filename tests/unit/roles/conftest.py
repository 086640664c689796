# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the collection in which a test may put other tasks into a role, and Ansible run in it on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

WRITE_DOWN = """
- name: Write down what was asked for
  ansible.builtin.copy:
    content: "{{ {PAIRS} | to_json }}"
    dest: "{{ written }}"
    mode: "0600"
"""
COLLECTION = Path(__file__).resolve().parents[3]


class Copy:
    """The copy, and what to run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "ansible_collections" / "plano" / "delivery"
        for path in ("plugins", "meta", "roles"):
            shutil.copytree(COLLECTION / path, self.root / path)

    def tasks(self, role: str, text: str, name: str = "main") -> None:
        """Let a role do this, and need no other role."""
        folder = self.root / "roles" / role
        (folder / "tasks" / f"{name}.yml").write_text(text)
        (folder / "meta" / "main.yml").write_text("dependencies: []\n")

    def handing_over(self, role: str, names: list[str], good: dict[str, Any]) -> Callable[..., Any]:
        """Return what checks the inputs of *role* and runs it for one host.

        It returns the exit code, all that was said, and which of *names* the role `service` was given.
        """
        pairs = "{" + ", ".join(f"'{name}': service_{name}" for name in names) + "}"
        self.tasks("service", WRITE_DOWN.replace("{PAIRS}", pairs))
        written = self.folder / "written.json"
        check = {"plano.delivery.preflight": {"roles": {"all": [role]}}, "run_once": True}
        play = {"hosts": "all", "gather_facts": False, "pre_tasks": [check], "roles": [f"plano.delivery.{role}"]}

        def run(text: str = "", **changed: Any) -> tuple[int, str, dict[str, Any]]:
            written.unlink(missing_ok=True)
            variables = self.folder / "host_vars" / "mon.yml"
            variables.parent.mkdir(exist_ok=True)
            variables.write_text(yaml.safe_dump({**good, **changed, "written": str(written)}) + text)
            code, said = self.run([play], {"hosts": {"mon": None}})
            return code, said, json.loads(written.read_text()) if written.exists() else {}

        return run

    def run(self, plays: list[dict[str, Any]], inventory: dict[str, Any] | Path) -> tuple[int, str]:
        """Return the exit code and all that was said."""
        (self.folder / "play.yml").write_text(yaml.safe_dump(plays))
        hosts = inventory if isinstance(inventory, Path) else self.folder / "hosts.yml"
        if isinstance(inventory, dict):
            hosts.write_text(yaml.safe_dump({"all": inventory}))
        done = subprocess.run(
            [
                Path(sys.executable).parent / "ansible-playbook",
                "-i",
                hosts,
                "-e",
                f"ansible_connection=local ansible_python_interpreter={sys.executable}",
                self.folder / "play.yml",
            ],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "ANSIBLE_CONFIG": str(COLLECTION / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(self.folder),
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
                "ANSIBLE_RESULT_FORMAT": "yaml",
                "ANSIBLE_NOCOLOR": "1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def collection(tmp_path: Path) -> Copy:
    return Copy(tmp_path)
