# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of all inputs of all hosts, run by Ansible itself on a role made for the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

COLLECTION = Path(__file__).resolve().parents[4]
SPEC = {
    "argument_specs": {
        "main": {
            "options": {
                "watcher_watch": {"type": "list", "elements": "dict", "required": True},
                "watcher_regions": {"type": "list", "elements": "str", "default": []},
                "watcher_budget": {"type": "float"},
            }
        }
    }
}
VARS = {
    "__watcher_preflight": "{{ watcher_watch | plano.delivery.cloudwatch_faults(regions=watcher_regions, "
    "budget=watcher_budget) }}"
}
# A role that a host gets more than once, for a component that is not called as the role is.
TWICE = {
    "twice_name": {"type": "str", "required": True, "choices": ["one", "two"]},
    "twice_version": {"type": "str"},
    "twice_artifacts": {"type": "list", "elements": "dict"},
}
TWICE_VARS = {
    "__twice_component": "{{ twice_name }}_exporter",
    "__twice_preflight": "{{ ['two is not ready'] if twice_name == 'two' and broken | default(false) else [] }}",
}
ONE, TWO = ({"role": "twice", "vars": {"twice_name": name}} for name in ("one", "two"))
PINNED = {
    "twice_version": "1.0",
    "twice_artifacts": [{"version": "1.0", "sha256": "0" * 64, "sources": ["https://example.com/a.tar.gz"]}],
}
RDS = {"preset": "rds", "select": {"DBInstanceIdentifier": ["{{ name }}"]}}


@pytest.fixture
def preflight(tmp_path):
    """Run the check for hosts with the given variables, in a copy of the collection that has the role."""
    root = tmp_path / "ansible_collections" / "plano" / "delivery"
    for path in ("plugins", "meta"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", COLLECTION / path, root / path], check=True)
    for name, content in {
        "roles/watcher/meta/argument_specs.yml": SPEC,
        "roles/watcher/defaults/main.yml": {"watcher_regions": [], "watcher_budget": None},
        "roles/watcher/vars/main.yml": VARS,
        "roles/plain/meta/argument_specs.yml": {"argument_specs": {"main": {"options": {}}}},
        "roles/twice/meta/argument_specs.yml": {"argument_specs": {"main": {"options": TWICE}}},
        "roles/twice/vars/main.yml": TWICE_VARS,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(yaml.safe_dump(content))

    def run(hosts, roles=("watcher", "plain")):
        task = {"plano.delivery.preflight": {"roles": {"all": list(roles)}}, "run_once": True}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
                "ANSIBLE_RESULT_FORMAT": "yaml",
                "ANSIBLE_NOCOLOR": "1",
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_what_a_role_finds_wrong_itself_is_listed_with_all_other_faults(preflight):
    good = {"watcher_watch": [RDS], "watcher_regions": ["sa-east-1"], "name": "prod"}
    code, said = preflight(
        {
            "a": good,
            "b": {**good, "watcher_watch": [{"preset": "rdz"}]},
            "c": {**good, "watcher_watch": [{"preset": "rdz"}], "watcher_budget": "none"},
            "d": {"watcher_regions": ["sa-east-1"]},
            "e": {**good, "watcher_budget": "0.5", "watcher_watch": [{**RDS, "use_get_metric_data": True}]},
        }
    )
    assert code != 0
    assert "in the inputs, no host was touched" in said
    assert "b, c: watcher: watch[0] (preset rdz): there is no such preset; did you mean rds?" in said
    assert "c: watcher: argument 'watcher_budget' is of type" in said
    assert "d: watcher: missing required arguments: watcher_watch" in said
    assert "5 faults in the inputs" in said
    assert "e: watcher: budget: about 6.05 USD a month" in said


def test_sound_inputs_pass(preflight):
    code, said = preflight({"a": {"watcher_watch": [RDS], "watcher_regions": ["sa-east-1"], "name": "prod"}})
    assert code == 0, said


def test_what_is_not_known_before_the_hosts_are_asked_is_left_to_the_role(preflight):
    later = {"preset": "rds", "select": {"DBInstanceIdentifier": ["{{ ansible_facts['hostname'] }}"]}}
    code, said = preflight({"a": {"watcher_watch": [later], "watcher_regions": ["nowhere"]}})
    assert code == 0, said


def test_a_role_is_checked_for_each_use_of_it(preflight):
    code, said = preflight({"a": PINNED, "b": {**PINNED, "broken": True}}, [ONE, TWO])
    assert code != 0
    assert "1 fault in the inputs" in said
    assert "b: twice two: two is not ready" in said
    code, said = preflight({"a": PINNED}, [ONE, TWO])
    assert code == 0, said
    code, said = preflight({"a": PINNED}, [ONE, {"role": "twice", "vars": {"twice_name": "three"}}, "twice"])
    assert "a: twice three: value of twice_name must be one of: one, two, got: three" in " ".join(said.split())
    assert "a: twice: missing required arguments: twice_name" in said
    assert "2 faults" in said


def test_a_component_has_the_name_that_the_roles_vars_give(preflight):
    wrong = {**PINNED, "twice_version": "2.0"}
    code, said = preflight({"a": wrong}, [TWO])
    assert code != 0
    assert "version '2.0' of two_exporter is unknown; pinned artifacts: 1.0" in said
    # A rollback's pin is the component's too.
    kept = {"version": "1.0", "instead_of": "2.0", "change": "c"}
    assert preflight({"a": {**wrong, "plano_pins": {"two_exporter": kept}}}, [TWO])[0] == 0
    assert preflight({"a": {**wrong, "plano_pins": {"twice": kept}}}, [TWO])[0] != 0
