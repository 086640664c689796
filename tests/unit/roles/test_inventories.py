# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventories that one copies and fills in: what the check of all inputs says of them is what is to be filled in."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PEM = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
SECRETS = {
    "vault_database_passwords": dict.fromkeys(
        ("migrator", "data", "application", "backup", "monitoring"), "S3CRET" * 4
    ),
    "vault_monitoring_password": "S3CRET",
    "vault_monitoring_password_salt": "S3CRET" * 4,
    "vault_grafana_admin_password": "S3CRET" * 4,
    "vault_grafana_secret_key": "S3CRET" * 5,
    "vault_slack_url": "https://hooks.example.com/S3CRET",
}


@pytest.fixture
def faults(collection, tmp_path):
    """Check a copy of an inventory with the playbooks' own check; return the faults."""
    shutil.copytree(ROOT / "playbooks" / "group_vars", tmp_path / "group_vars")
    tasks = yaml.safe_load((ROOT / "playbooks" / "tasks" / "check.yml").read_text(encoding="utf-8"))
    (check,) = [task for task in tasks if "plano.delivery.preflight" in task]

    def run(environment: str, files: dict[str, str]) -> list[str]:
        inventory = tmp_path / environment
        shutil.copytree(ROOT / "inventories" / environment, inventory, dirs_exist_ok=True)
        for name, text in files.items():
            (inventory / name).write_text(text)
        groups = {"hosts": "postgresql:backend:monitoring", "gather_facts": False, "tasks": [check]}
        _code, said = collection.run([groups], inventory)
        assert "S3CRET" not in said
        # What lies beside hosts.yml is not taken for a list of hosts.
        assert "as an inventory source" not in said
        assert "fault" in said or "failed=0" in said, said
        return sorted({line.strip() for line in said.splitlines() if re.match(r"\s*- \w+-", line)})

    return run


def vault() -> str:
    """Return a vault that says all that the example names."""
    example = ROOT / "inventories" / "dev" / "group_vars" / "all" / "vault.yml.example"
    named: dict[str, Any] = yaml.safe_load(example.read_text(encoding="utf-8"))
    assert set(named) == set(SECRETS)
    return yaml.safe_dump({name: SECRETS[name] for name in named})


def test_dev_without_its_vault_lacks_what_is_named_in_it(faults):
    found = faults("dev", {})
    missing = re.compile(r"'(vault_\w+)' is undefined")
    assert [fault for fault in found if not missing.search(fault)] == []
    assert set(re.findall(missing, "\n".join(found))) == set(SECRETS)
    # What many roles need is one fault.
    assert len([fault for fault in found if "'vault_monitoring_password' is undefined" in fault]) == 1


def test_dev_with_its_vault_lacks_nothing(faults):
    assert faults("dev", {"group_vars/all/vault.yml": vault()}) == []


def test_dev_with_a_vault_that_was_not_filled_in_lacks_all_of_it(faults):
    example = ROOT / "inventories" / "dev" / "group_vars" / "all" / "vault.yml.example"
    found = "\n".join(faults("dev", {"group_vars/all/vault.yml": example.read_text(encoding="utf-8")}))
    assert "secret 'database_migrator' (vault vault_database_passwords) is empty in its field migrator" in found
    assert "secret 'monitoring_password' (vault vault_monitoring_password) is empty" in found


def test_prod_without_aws_lacks_its_secrets_its_files_and_signatures(faults):
    """tests/aws has what it lacks with them."""
    found = faults("prod", {})
    missing = re.compile(
        r"secret '(\w+)' \((?:secretsmanager plano/prod/|rds plano-prod)|rds-ca\.pem|allowed_signers|signature"
    )
    assert [fault for fault in found if not missing.search(fault)] == []
    places = yaml.safe_load((ROOT / "inventories/prod/group_vars/all/secrets.yml").read_text())["plano_secrets"]
    # Of a dictionary the first is named.
    unused = {"database_backup", "database_monitoring", "origin_secret"}
    assert set(re.findall(missing, "\n".join(found))) - {""} == set(places) - unused


def documented() -> list[dict[str, Any]]:
    """Return the YAML of docs/monitoring.md: an inventory, and variables of its monitoring host."""
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def test_the_inventory_of_the_documentation_lacks_nothing_but_its_secrets(collection, tmp_path):
    shutil.copytree(ROOT / "playbooks" / "group_vars", tmp_path / "group_vars")
    inventory, more = documented()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shop.yml").write_text("groups: [{name: shop, rules: []}]\n")
    node, postgres, blackbox = (
        {"role": "exporter", "vars": {"exporter_name": name}} for name in ("node", "postgres", "blackbox")
    )
    roles = {
        "all": ["host", "certificate", node],
        "postgresql": [postgres],
        "monitoring": [blackbox, "alertmanager", "prometheus", "grafana"],
    }
    play = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [{"plano.delivery.preflight": {"roles": roles}, "run_once": True}],
    }
    secrets = {**SECRETS, "vault_database_password": "S3CRET", "vault_central_password": "S3CRET"}
    children = inventory["all"]["children"]
    for wanted in ({}, more):
        children["monitoring"]["vars"] = wanted
        everywhere = {**inventory["all"], "vars": {**inventory["all"]["vars"], **secrets}}
        code, said = collection.run([play], everywhere)
        assert code == 0, said
    code, said = collection.run([play], inventory["all"])
    assert code != 0
    # More than these would be told if more were wrong.
    assert set(re.findall(r"'(\w+)' is undefined", said)) == set(secrets) - {"vault_database_passwords"}
