# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend's repository as a workflow has it checked out, and the steps of the pipeline run in it as a runner would.

The steps, Ansible, the playbooks, git, ssh-agent and ssh-keygen are the real ones. The roles write down what they were given instead of
releasing anything, and ssh runs on this machine what it was to run on a host, after writing down how it was called.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import yaml
from moto_server import REGION, Moto

COLLECTION = Path(__file__).resolve().parents[2]
BUCKET = "example-artifacts"
HOST_KEY = "prod-app-1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOKhjGRUHXLOzUXdKJKVB4Rm3lvvm2v5Y2wqJ1bG0aXs\n"
NOTHING = "---\n- name: Do nothing\n  ansible.builtin.meta: noop\n"
RELEASE = """---
- name: Write down what is to be released
  ansible.builtin.shell: >-
    echo '{{ inventory_hostname }} {{ backend_version }} {{ plano_change_id }} {{ release_allow_rejected }} {{ plano_reason }}' >> {{ log }}
  changed_when: true

- name: Fail where it is broken
  ansible.builtin.fail: {msg: "the release does not answer"}
  when: broken | default(false)
"""
GO_BACK = """
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        asked = {name: self._task.args.get(name) for name in ("component", "to", "revert_change", "allow_rejected")}
        with open(task_vars["log"], "a") as log:
            log.write(f"{task_vars['inventory_hostname']} {asked} {self._templar.template(task_vars['plano_reason'])}\\n")
        return {"changed": True, "rolled_back": [{"component": "backend", "changed": True}], "change": "x"}
"""
# Every program of the steps is called by way of this: no secret may be among the words of any.
SHIM = """#!/bin/bash
printf '%s %s\\n' {name} "$*" >>{calls}
exec {real} "$@"
"""
SSH = """#!/bin/bash
printf 'ssh %s\\n' "$*" >>{calls}
[[ $# -gt 3 ]] || exit 255
ssh-add -l >>{folder}/agent
config() {{ while [[ $1 != -F ]]; do shift; done; printf '%s' "$2"; }}
{real} -G -F "$(config "$@")" 192.0.2.1 >{folder}/ssh_options
exec /bin/sh -c "${{@: -1}}"
"""


class Done:
    def __init__(self, done: subprocess.CompletedProcess[str], output: str, summary: str) -> None:
        self.code = done.returncode
        self.said = done.stdout + done.stderr
        self.words = " ".join(self.said.split())
        self.output = dict(line.split("=", 1) for line in output.splitlines())
        self.summary = summary


class Repository:
    """The checkout; *run* is a step."""

    def __init__(self, folder: Path, aws: Moto) -> None:
        self.folder = folder
        self.root = folder / "work"
        self.inventory = self.root / "delivery" / "inventories" / "prod"
        self.calls, self.log = folder / "calls", folder / "log"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.collection = self.root / ".plano" / "ansible_collections" / "plano" / "delivery"
        self._copy_collection()
        self._write_repository()
        for name in ("signing", "ssh"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        public = (folder / "signing.pub").read_text().split()[:2]
        (self.inventory / "allowed_signers").write_text(f"release@example.com {' '.join(public)}\n")
        # Nothing may write them anywhere, so they are nowhere on the disk from here on.
        self.secrets = {name: (folder / name).read_text() for name in ("signing", "ssh")}
        for name in self.secrets:
            (folder / name).unlink()
        self._write_programs()
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("AWS_", "ANSIBLE_", "SSH_", "GITHUB_"))
            },
            **aws.environment,
            "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(self.temporary),
            "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "GITHUB_ACTOR": "somebody",
            "GITHUB_RUN_ID": "1234",
            "GITHUB_RUN_NUMBER": "57",
            "GITHUB_REF_NAME": "release",
            "GITHUB_SHA": self.git("rev-parse", "HEAD").strip(),
            "COMPONENT": "backend",
            "INVENTORY": "delivery/inventories/prod",
            "LC_ALL": "C.UTF-8",
        }
        boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def _copy_collection(self) -> None:
        for path in ("plugins", "meta", "playbooks", "pipeline"):
            shutil.copytree(COLLECTION / path, self.collection / path)
        shutil.copy(COLLECTION / "ansible.cfg", self.collection)
        for role, tasks in {"host": NOTHING, "backend": RELEASE, "postgresql": NOTHING}.items():
            (self.collection / "roles" / role / "tasks").mkdir(parents=True)
            (self.collection / "roles" / role / "tasks" / "main.yml").write_text(tasks)
        for name in ("check", "announce", "take_back"):
            (self.collection / "playbooks" / "tasks" / f"{name}.yml").write_text(NOTHING)
        for name in ("data", "monitoring"):
            (self.collection / "playbooks" / "plays" / f"{name}.yml").write_text("---\n- hosts: nobody\n  tasks: []\n")
        (self.collection / "plugins" / "action" / "release.py").write_text(GO_BACK)

    def _write_repository(self) -> None:
        (self.root / "delivery").mkdir(parents=True)
        shutil.copy(COLLECTION / "examples" / "delivery" / "VERSION", self.root)
        shutil.copy(COLLECTION / "examples" / "delivery" / "delivery" / "build", self.root / "delivery")
        (self.root / "dist_files" / "wheels").mkdir(parents=True)
        (self.root / "dist_files" / "requirements.txt").write_text("# none\n")
        (self.inventory / "group_vars" / "all").mkdir(parents=True)
        (self.inventory / "known_hosts").write_text(HOST_KEY)
        (self.inventory / "group_vars" / "all" / "artifacts.yml").write_text("---\n# Kept.\nplano_artifacts: {}\n")
        self.variables()
        self.git("init", "--quiet", "--initial-branch=release")
        self.git("add", "VERSION", "delivery", "dist_files")
        self.git("commit", "--quiet", "--message=feat: a backend")

    def variables(self, **more: Any) -> None:
        """Write the inventory, with *more* variables."""
        common = {
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "ansible_remote_tmp": str(self.folder / "remote"),
            "__backend_wanted": "{{ backend_version }}",
            "backend_port": 8080,
            "log": str(self.log),
            **more,
        }
        hosts = {"prod-app-1": {"ansible_host": "192.0.2.1"}}
        inventory = {"all": {"vars": common, "children": {"backend": {"hosts": hosts}}}}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", "-C", self.root, *who, *arguments], check=True, capture_output=True, text=True
        ).stdout

    def _write_programs(self) -> None:
        (self.folder / "bin").mkdir()
        programs = {
            name: SHIM.format(
                name=name,
                calls=self.calls,
                real=shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"),
            )
            for name in ("ansible-playbook", "git", "python3", "sha256sum", "ssh-add", "ssh-agent", "ssh-keygen", "tar")
        }
        programs["ssh"] = SSH.format(calls=self.calls, folder=self.folder, real=shutil.which("ssh"))
        for name, text in programs.items():
            (self.folder / "bin" / name).write_text(text)
            (self.folder / "bin" / name).chmod(0o755)

    def run(self, step: str, **environment: str) -> Done:
        for name in ("output", "summary", "log"):
            (self.folder / name).write_text("")
        done = subprocess.run(
            [self.collection / "pipeline" / step],
            cwd=self.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        # Nothing of it is left.
        assert list(self.temporary.iterdir()) == [], done.stdout + done.stderr
        deadline = time.monotonic() + 10
        while left := self.agents():  # one that was told to end needs a moment
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        return Done(done, (self.folder / "output").read_text(), (self.folder / "summary").read_text())

    def agents(self) -> list[int]:
        """Return the ssh-agents that a step began and left behind."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                name, environment = (process / "comm").read_text().strip(), (process / "environ").read_bytes()
            except OSError:  # it has ended meanwhile, or is another's
                continue
            if name == "ssh-agent" and f"HOME={self.folder}".encode() in environment.split(b"\0"):
                found.append(int(process.name))
        return found

    def leaks(self, *said: str) -> list[str]:
        """Return where a secret is that was in the environment of a step only."""
        # The lines between the first and the last are what only the key has.
        lines = [line for secret in self.secrets.values() for line in secret.splitlines()[1:-1]] + ["S3CRET"]
        texts = {
            str(path): path.read_bytes().decode(errors="replace") for path in self.folder.rglob("*") if path.is_file()
        }
        texts |= {f"output {number}": text for number, text in enumerate(said)}
        return [name for name, text in texts.items() if any(line in text for line in lines)]
