# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall's lists: all are merged, all are checked, on the controller and by the role itself."""

from __future__ import annotations

import re

import pytest

FACTS = {
    "distribution": "Debian",
    "distribution_major_version": "12",
    "distribution_release": "bookworm",
    "virtualization_role": "guest",
    "virtualization_type": "podman",
    "cacheable": True,
}
WRITE = """
- name: Write the rules
  ansible.builtin.template:
    src: "nftables.nft.j2"
    dest: "{{ written }}"
    mode: "0600"
"""
GOOD = [{"port": 443, "sources": ["0.0.0.0/0", "::/0"]}]
PREFLIGHT = {
    "hosts": "all",
    "gather_facts": False,
    "tasks": [{"plano.delivery.preflight": {"roles": {"all": ["host"]}}, "run_once": True}],
}


def role(tasks: str) -> dict:
    """Return a play that runs a part of the role, without asking this machine what it is."""
    part = {"ansible.builtin.import_role": {"name": "plano.delivery.host", "tasks_from": tasks}}
    return {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.set_fact": FACTS}, part]}


def test_the_lists_of_all_groups_of_a_host_become_rules(collection, tmp_path):
    collection.tasks("host", WRITE, "write")
    written = tmp_path / "rules"
    children = {
        "backend": {"hosts": {"a": None}, "vars": {"host_firewall_allow_backend": [{"port": 8080, "sources": []}]}},
        "monitoring": {
            "hosts": {"a": None},
            "vars": {
                "networks": ["10.0.0.0/8"],
                "host_firewall_allow_monitoring": [
                    {"port": "9000-9010", "protocol": "udp", "sources": "{{ networks }}", "comment": "c"}
                ],
            },
        },
    }
    variables = {"host_firewall_allow": GOOD, "host_ssh_port": 2222, "written": str(written)}
    code, said = collection.run(
        [PREFLIGHT, role("preflight"), role("write")], {"children": children, "vars": variables}
    )
    assert code == 0, said
    rules = re.findall(r"ip saddr @allow\d_v4 (\w+ dport \S+)", written.read_text())
    assert rules == ["tcp dport 2222", "tcp dport 443", "tcp dport 8080", "udp dport 9000-9010"]


@pytest.mark.parametrize("play", [PREFLIGHT, role("preflight")], ids=["controller", "role"])
def test_a_fault_in_any_list_is_told_with_its_name_and_index(collection, play):
    variables = {
        "host_firewall_allow": GOOD,
        "host_firewall_allow_backend": [*GOOD, {"port": 80800, "sources": ["10.0.0.0/8"]}],
        "host_firewall_allow_monitoring": [{"port": 9090, "protocol": "tpc", "sources": ["mon.example.com"]}],
    }
    code, said = collection.run([play], {"hosts": {"a": variables}})
    assert code != 0
    words = " ".join(said.split())
    assert "host_firewall_allow_backend[1].port: '80800' is no port" in words
    assert "host_firewall_allow_monitoring[0].protocol: 'tpc' is not among tcp, udp" in words
    assert "host_firewall_allow_monitoring[0].sources: 'mon.example.com' is no address" in words
    assert "host_firewall_allow[" not in words


def test_a_list_made_of_facts_is_left_to_the_role(collection):
    later = [{"port": 9090, "sources": ["{{ ansible_facts['default_ipv4'].network }}/24"]}]
    code, said = collection.run([PREFLIGHT], {"hosts": {"a": {"host_firewall_allow_monitoring": later}}})
    assert code == 0, said
