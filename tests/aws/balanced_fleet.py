# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deploy playbook in a copy of the collection whose roles only write down what the load balancer says at that moment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import yaml
from moto_server import Moto

COLLECTION = Path(__file__).resolve().parents[2]
NOTHING = "---\n- name: Do nothing\n  ansible.builtin.meta: noop\n"
RELEASE = """
- name: Ask how this host stands
  plano.delivery.target:
    target_group: "{{ backend_target_group }}"
    targets: ["{{ backend_target_id }}"]
    port: 8080
    state: serving
  check_mode: true
  register: stands
  when: backend_target_group is defined

- name: Write it down
  ansible.builtin.shell: >-
    echo '{{ inventory_hostname }} {{ (stands.diff | default({})).before | default({}) | dict2items | map(attribute="value") | join }}' >> {{ log }}
  changed_when: true

- name: Fall silent
  ansible.builtin.ping:
  vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
  when: inventory_hostname in silent | default([])

- name: Break
  ansible.builtin.fail: {msg: "the release does not answer"}
  when: inventory_hostname in broken | default([])
"""
TAKE_BACK = """---
- name: Write down that it went back
  ansible.builtin.shell: "echo '{{ inventory_hostname }} back' >> {{ log }}"
  changed_when: true
  register: __deploy_taken_back_here

- name: Say so as the module does
  ansible.builtin.set_fact:
    __deploy_taken_back: {change: "20260101T000000Z-1"}
"""


class Done:
    def __init__(self, code: int, said: str, log: list[str]) -> None:
        self.code, self.said, self.log = code, said, log
        self.words = " ".join(said.split())


class BalancedFleet:
    """Hosts app-1, app-2, … that stand in a target group of moto, and the playbooks run on them."""

    def __init__(self, folder: Path, aws: Moto, delay: int = 0) -> None:
        self.folder = folder
        self.root = folder / "ansible_collections" / "plano" / "delivery"
        for path in ("plugins", "meta", "playbooks"):
            shutil.copytree(COLLECTION / path, self.root / path)
        for role, tasks in {"host": NOTHING, "backend": RELEASE}.items():
            (self.root / "roles" / role / "tasks").mkdir(parents=True)
            (self.root / "roles" / role / "tasks" / "main.yml").write_text(tasks)
        (self.root / "roles" / "postgresql").mkdir()
        for name in ("check", "announce"):
            (self.root / "playbooks" / "tasks" / f"{name}.yml").write_text(NOTHING)
        for name in ("data", "monitoring"):
            (self.root / "playbooks" / "plays" / f"{name}.yml").write_text("---\n- hosts: nobody\n  tasks: []\n")
        (self.root / "playbooks" / "tasks" / "take_back.yml").write_text(TAKE_BACK)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.environment |= aws.environment | {
            "HOME": str(folder),
            "ANSIBLE_CONFIG": str(COLLECTION / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(folder),
            "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SSH_ARGS": "-o ConnectTimeout=3",
            "LC_ALL": "C.UTF-8",
        }
        self.client = boto3.client("elbv2")
        vpc = boto3.client("ec2").create_vpc(CidrBlock="192.0.2.0/24")["Vpc"]["VpcId"]
        made = self.client.create_target_group(Name="backend", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip")
        self.group: str = made["TargetGroups"][0]["TargetGroupArn"]
        self.client.modify_target_group_attributes(
            TargetGroupArn=self.group,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": str(delay)}],
        )

    def standing(self) -> list[str]:
        """Return the hosts that stand in the group."""
        found = self.client.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return sorted(f"app-{item['Target']['Id'].rsplit('.', 1)[1]}" for item in found)

    def register(self, *hosts: str) -> None:
        targets = [{"Id": f"192.0.2.{host[4:]}", "Port": 8080} for host in hosts]
        self.client.register_targets(TargetGroupArn=self.group, Targets=targets)

    def play(self, name: str, count: int, *arguments: str, **variables: Any) -> Done:
        log = self.folder / "log"
        log.write_text("")
        hosts = {f"app-{number}": {"backend_target_id": f"192.0.2.{number}"} for number in range(1, count + 1)}
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "backend_port": 8080,
            "__backend_wanted": "1.0.0",
            "log": str(log),
            **variables,
        }
        inventory = {"all": {"vars": common, "children": {"backend": {"hosts": hosts}}}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        done = subprocess.run(
            [
                Path(sys.executable).parent / "ansible-playbook",
                *("-i", self.folder / "hosts.yml", f"plano.delivery.{name}", *arguments),
            ],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        return Done(done.returncode, done.stdout + done.stderr, log.read_text().splitlines())

    def tasks(self, count: int) -> int:
        """Return for how many tasks and hosts a deploy without a target group had a result, the skipped ones with them."""
        self.environment["ANSIBLE_STDOUT_CALLBACK"] = "ansible.posix.json"
        try:
            done = self.play("deploy", count)
        finally:
            del self.environment["ANSIBLE_STDOUT_CALLBACK"]
        assert done.code == 0, done.said
        answer = json.loads(done.said[done.said.index("{") : done.said.rindex("}") + 1])
        return sum(len(task["hosts"]) for play in answer["plays"] for task in play["tasks"])
