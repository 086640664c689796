# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""dev and prod, their hosts found by AWS's tags, their secrets in a vault and in AWS: what the check of all inputs says of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from controller import BIN, ROOT, ansible_environment, become, documented, play
from moto_server import Moto

from ansible_collections.plano.delivery.plugins.module_utils.aws import policies

IMAGE = "ami-12c6146b"
PEM = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
HOSTS = {
    "dev": {"dev-db": "postgresql", "dev-app": "backend", "dev-mon": "monitoring"},
    "prod": {"prod-app-1": "backend", "prod-app-2": "backend", "prod-mon": "monitoring"},
}
FIELDS = {
    "database": ["migrator", "data", "application", "backup", "monitoring"],
    "monitoring": ["password", "password_salt"],
    "grafana": ["admin_password", "secret_key"],
    "alerts": ["slack_url"],
    "edge": ["origin_secret"],
}


def kept(environment: str) -> dict[str, dict[str, str]]:
    """The secrets of an environment; each tells where it comes from."""
    found = {
        name: {field: f"S3CRET-{environment}-{name}-{field}-0123" for field in fields}
        for name, fields in FIELDS.items()
    }
    found["alerts"]["slack_url"] = f"https://hooks.example.com/{found['alerts']['slack_url']}"
    return found


def vault(environment: str) -> dict[str, Any]:
    secrets = kept(environment)
    return {
        "vault_database_passwords": secrets["database"],
        "vault_monitoring_password": secrets["monitoring"]["password"],
        "vault_monitoring_password_salt": secrets["monitoring"]["password_salt"],
        "vault_grafana_admin_password": secrets["grafana"]["admin_password"],
        "vault_grafana_secret_key": secrets["grafana"]["secret_key"],
        "vault_slack_url": secrets["alerts"]["slack_url"],
    }


def run_instance(environment: str, name: str, role: str) -> str:
    tags = {"plano:environment": environment, "plano:role": role, "Name": name}
    made = boto3.client("ec2").run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
    )
    return str(made["Instances"][0]["InstanceId"])


def database(name: str, **more: Any) -> str:
    """Make an instance on RDS; return where its master's password is kept, with a password there."""
    made = boto3.client("rds").create_db_instance(
        DBInstanceIdentifier=name,
        Engine="postgres",
        DBInstanceClass="db.t4g.micro",
        MasterUsername="plano_admin",
        **(more or {"ManageMasterUserPassword": True}),
    )["DBInstance"]
    arn = str(made.get("MasterUserSecret", {}).get("SecretArn", ""))
    if arn:
        content = {"username": "plano_admin", "password": f"S3CRET-prod-master-of-{name}"}
        boto3.client("secretsmanager").put_secret_value(SecretId=arn, SecretString=json.dumps(content))
    return arn


@pytest.fixture
def account(aws: Moto, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """Both environments' instances in one account, and both environments' secrets in AWS, in the inventories' region."""
    (region,) = yaml.safe_load((ROOT / "inventories/prod/aws_ec2.yml").read_text())["regions"]
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, region)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for environment, hosts in HOSTS.items():
        for name, role in hosts.items():
            run_instance(environment, name, role)
        for name, fields in kept(environment).items():
            boto3.client("secretsmanager").create_secret(
                Name=f"plano/{environment}/{name}", SecretString=json.dumps(fields)
            )
    database("plano-prod")
    return aws


@pytest.fixture
def copy(tmp_path: Path) -> Any:
    """Copy an inventory and what an operator puts beside it; return its folder."""

    def made(environment: str) -> Path:
        folder = tmp_path / "inventories" / environment
        shutil.copytree(ROOT / "inventories" / environment, folder)
        if environment == "dev":
            (folder / "group_vars/all/vault.yml").write_text(yaml.safe_dump(vault("dev")))
        else:
            (folder / "rds-ca.pem").write_text(PEM)
            (folder / "prod-mon-tls.crt").write_text(PEM)
            (folder / "allowed_signers").write_text("ops ssh-ed25519 AAAA\n")
        return folder

    return made


def listed(folder: Path, inventory: Path) -> dict[str, Any]:
    done = subprocess.run(
        [BIN / "ansible-inventory", "-i", inventory, "--list"],
        env=ansible_environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_hosts_are_those_that_run_with_the_environments_tag(account, copy, tmp_path, monkeypatch, environment):
    boto3.client("ec2").stop_instances(InstanceIds=[run_instance(environment, "stopped", "backend")])
    become(monkeypatch, "deployer", documented("the hosts"))
    account.enforce_policies()
    try:
        found = listed(tmp_path, copy(environment) / "aws_ec2.yml")
    finally:
        account.enforce_policies(10**9)
    hosts = found["_meta"]["hostvars"]
    assert set(hosts) == set(HOSTS[environment])
    for role in ("postgresql", "backend", "monitoring"):
        members = [name for name, its in HOSTS[environment].items() if its == role]
        assert sorted(found.get(role, {}).get("hosts", [])) == members
    for variables in hosts.values():
        assert variables["ansible_host"] == variables["ec2_public_ip_address"] and variables["ec2_instance_id"]


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_folder_is_the_static_form_and_asks_aws_nothing(account, copy, tmp_path, environment):
    with account.calls() as calls:
        found = listed(tmp_path, copy(environment))
    assert calls == []
    assert set(found["_meta"]["hostvars"]) == set(HOSTS[environment])
    dynamic = listed(tmp_path, tmp_path / "inventories" / environment / "aws_ec2.yml")
    for name, variables in found["_meta"]["hostvars"].items():
        said = dynamic["_meta"]["hostvars"][name]
        # What AWS knows of them; the static form has its instance id, where it is needed.
        mine, its = (
            {key: value for key, value in each.items() if not key.startswith("ec2_") and key != "ansible_host"}
            for each in (variables, said)
        )
        assert mine == its
        assert ("ec2_instance_id" in variables) is (name.startswith("prod-app"))


RESOLVED = """
- ansible.builtin.copy:
    content: "{{ dict(plano_secrets | zip(query('plano.delivery.secret', *plano_secrets))) | to_json }}"
    dest: "FILE-{{ inventory_hostname }}"
    mode: "0600"
  no_log: true
- ansible.builtin.copy:
    content: "{{ [monitoring_password, grafana_secret_key, plano_database_passwords, __more] | to_json }}"
    dest: "FILE-used-{{ inventory_hostname }}"
    mode: "0600"
  no_log: true
  vars:
    __more: ["{{ backend_secrets | default({}) }}", "{{ postgresql_admin_password | default('') }}"]
- ansible.builtin.copy:
    content: "{{ [plano_address, plano_monitoring_sources, (backend_environment | default({})).DATABASE_URL | default('')] | to_json }}"
    dest: "FILE-reached-{{ inventory_hostname }}"
    mode: "0600"
"""


@pytest.mark.parametrize(("environment", "other"), [("dev", "prod"), ("prod", "dev")])
def test_an_environment_resolves_what_its_roles_require_and_nothing_of_the_other(
    account, copy, tmp_path, environment, other
):
    copy(other)
    # Variables that only the other one has.
    (tmp_path / "inventories" / other / "group_vars/all/own.yml").write_text(f"only_there: S3CRET-{other}-variable\n")
    inventory = copy(environment) / "aws_ec2.yml"
    assert f"S3CRET-{other}" not in json.dumps(listed(tmp_path, inventory))
    shutil.copytree(ROOT / "playbooks" / "group_vars", tmp_path / "group_vars")
    # The playbooks' own tasks, and two that use all of it on every host.
    tasks = yaml.safe_load((ROOT / "playbooks/tasks/secrets.yml").read_text())
    tasks += yaml.safe_load(RESOLVED.replace("FILE", str(tmp_path / "seen")))
    check = yaml.safe_load((ROOT / "playbooks/tasks/check.yml").read_text())
    tasks += [task for task in check if "plano.delivery.preflight" in task]
    plays = [{"hosts": "postgresql:backend:monitoring", "gather_facts": False, "tasks": tasks}]
    (tmp_path / "check.yml").write_text(yaml.safe_dump(plays))
    local = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
    with account.calls() as calls:
        _code, said = play(tmp_path, "-vvv", "-i", inventory, "-e", local, playbook=str(tmp_path / "check.yml"))
    assert "S3CRET" not in said
    # Dev asks AWS for its hosts alone; prod for each secret once, for all hosts, roles and tasks, and for the master's.
    asked = [call for call in calls if "secretsmanager" in call]
    assert asked == (["secretsmanager.GetSecretValue"] * (len(FIELDS) + 1) if environment == "prod" else [])
    # Of the pinned artifacts, which are examples, another source is out of sight; nobody has signed them.
    faults = {line.strip() for line in said.splitlines() if re.match(r"\s*- \w+-", line)}
    assert [fault for fault in faults if "sign" not in fault or environment == "dev"] == [], said
    assert bool(faults) is (environment == "prod") and ("failed=1" in said) is (environment == "prod"), said
    places = yaml.safe_load((inventory.parent / "group_vars/all/secrets.yml").read_text())["plano_secrets"]
    instances = [one for each in boto3.client("ec2").describe_instances()["Reservations"] for one in each["Instances"]]
    private = {
        tag["Value"]: one["PrivateIpAddress"] for one in instances for tag in one["Tags"] if tag["Key"] == "Name"
    }
    for host in HOSTS[environment]:
        # Between hosts: public addresses are let in by no security group.
        address, watchers, database = json.loads((tmp_path / f"seen-reached-{host}").read_text())
        assert (address, watchers) == (private[host], [private[f"{environment}-mon"]])
        assert environment == "prod" or host != "dev-app" or f"@{private['dev-db']}:5432/" in database
        values = json.loads((tmp_path / f"seen-{host}").read_text())
        assert set(values) == set(places)
        used = (tmp_path / f"seen-used-{host}").read_text()
        for text in [*values.values(), used]:
            assert f"S3CRET-{environment}-" in text and f"S3CRET-{other}-" not in text


def test_a_name_that_a_host_keeps_elsewhere_is_read_there(account, tmp_path):
    """What was read once for all is not taken for another host's."""
    places = {
        host: {"word": {"source": "secretsmanager", "key": f"plano/{host}/monitoring:password"}} for host in HOSTS
    }
    hosts = {host: {"plano_secrets": places[host], "ansible_connection": "local"} for host in HOSTS}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    tasks = yaml.safe_load((ROOT / "playbooks/tasks/secrets.yml").read_text())
    said = {"msg": "{{ inventory_hostname }} has {{ lookup('plano.delivery.secret', 'word') }}"}
    plays = [{"hosts": "all", "gather_facts": False, "tasks": [*tasks, {"ansible.builtin.debug": said}]}]
    (tmp_path / "read.yml").write_text(yaml.safe_dump(plays))
    code, output = play(tmp_path, "-i", tmp_path / "hosts.yml", playbook=str(tmp_path / "read.yml"))
    assert code == 0, output
    for host in HOSTS:
        assert f"{host} has {kept(host)['monitoring']['password']}" in output


def test_hosts_of_two_inventories_at_once_are_refused(account, copy, tmp_path):
    play_ = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [{"plano.delivery.preflight": {"roles": {}}, "run_once": True}],
    }
    (tmp_path / "check.yml").write_text(yaml.safe_dump([play_]))
    both = ["-i", copy("dev"), "-i", copy("prod")]
    code, said = play(tmp_path, *both, playbook=str(tmp_path / "check.yml"))
    assert code != 0 and "their variables would mix: name one of them" in " ".join(said.split()), said


# Each source, and what each refuses


def lookups(tmp_path: Path, secrets: dict[str, Any], **variables: Any) -> tuple[dict[str, str], str]:
    """Look up every name of *secrets*; return what each gave, or the reason why not."""
    tasks: list[dict[str, Any]] = []
    for name in secrets:
        asked = {"value": "{{ lookup('plano.delivery.secret', '" + name + "') }}"}
        tasks.append({"ansible.builtin.set_fact": asked, "register": f"of_{name}", "ignore_errors": True})
    said = (
        "{{ {"
        + ", ".join(f"'{n}': of_{n}.ansible_facts.value | default(of_{n}.msg)" for n in secrets)
        + "} | to_json }}"
    )
    tasks.append({"ansible.builtin.copy": {"content": said, "dest": str(tmp_path / "said"), "mode": "0600"}})
    given = json.dumps({"plano_secrets": secrets, **variables})
    code, output = play(tmp_path, "-e", given, tasks=tasks)
    assert code == 0, output
    found: dict[str, str] = json.loads((tmp_path / "said").read_text())
    return found, output


def test_each_source_gives_its_secret_and_each_wrong_place_is_named(account, tmp_path):
    client, ssm = boto3.client("secretsmanager"), boto3.client("ssm")
    arn = client.create_secret(Name="plain", SecretString="S3CRET-plain")["ARN"]
    ssm.put_parameter(Name="/plano/one", Value='{"a": "S3CRET-ssm"}', Type="SecureString")
    boto3.client("ssm", region_name="us-east-1").put_parameter(Name="far", Value="S3CRET-far", Type="SecureString")

    def place(source: str, key: str, **more: str) -> dict[str, str]:
        return {"source": source, "key": key, **more}

    good = {
        "plain": (place("secretsmanager", "plain"), "S3CRET-plain"),
        "by_arn": (place("secretsmanager", arn), "S3CRET-plain"),
        "field": (place("secretsmanager", "plano/dev/grafana:secret_key"), kept("dev")["grafana"]["secret_key"]),
        "parameter": (place("ssm", "/plano/one:a"), "S3CRET-ssm"),
        "far": (place("ssm", "far", region="us-east-1"), "S3CRET-far"),
        "variable": (place("vault", "mine"), "S3CRET-mine"),
        "part": (place("vault", "many:b"), "7"),
    }
    wrong = {
        "absent": (
            place("secretsmanager", "nowhere"),
            "it does not exist in region sa-east-1; is it in another region?",
        ),
        "absent_ssm": (place("ssm", "far"), "it does not exist in region sa-east-1; is it in another region?"),
        "no_json": (place("secretsmanager", "plain:a"), "is no JSON object, so that it has no field 'a'"),
        "no_field": (place("ssm", "/plano/one:b"), "has no field 'b'; it has: a"),
        "no_variable": (place("vault", "nothing"), "'nothing' is undefined, in which secret 'no_variable' is kept"),
        "whole": (place("vault", "many"), "has fields: a, b; name one as many:FIELD"),
        "empty": (place("vault", "many:a"), "is empty in its field a: fill it in"),
        "source": (place("file", "x"), "source 'file' must be one of vault, ssm, secretsmanager, rds"),
        "shape": (
            {"key": "x", "other": 1},
            "must read {source: vault|ssm|secretsmanager|rds, key: NAME or NAME:FIELD}",
        ),
    }
    found, output = lookups(
        tmp_path,
        {name: asked for name, (asked, _said) in {**good, **wrong}.items()},
        mine="S3CRET-mine",
        many={"a": "", "b": 7},
    )
    for name, (_asked, value) in good.items():
        assert found[name] == value
    for name, (_asked, message) in wrong.items():
        assert message in found[name] and "S3CRET" not in found[name], found[name]
    assert "S3CRET" not in output


def test_a_secret_that_may_not_be_read_names_the_action_the_policy_and_who_asked(account, tmp_path, monkeypatch):
    boto3.client("ssm").put_parameter(Name="/plano/one", Value="S3CRET-ssm", Type="SecureString")
    places = {
        "denied": {"source": "secretsmanager", "key": "plano/prod/monitoring:password"},
        "parameter": {"source": "ssm", "key": "/plano/one"},
    }
    become(monkeypatch, "deployer", [{"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}])
    account.enforce_policies()
    try:
        found, _output = lookups(tmp_path, places)
    finally:
        account.enforce_policies(10**9)
    assert found["parameter"] == "S3CRET-ssm"
    assert "secretsmanager:GetSecretValue is not allowed to arn:aws:iam::123456789012:user/deployer" in found["denied"]
    assert "'deploy' grants it, on arn:aws:secretsmanager:sa-east-1:*:secret:plano/prod/monitoring-*" in found["denied"]


def test_the_password_of_a_databases_master_is_read_where_rds_keeps_it(account, tmp_path):
    rds = boto3.client("rds")
    places = {
        "master": {"source": "rds", "key": "plano-prod"},
        "name": {"source": "rds", "key": "plano-prod:username"},
    }
    with account.calls() as calls:
        found, output = lookups(tmp_path, places)
    assert found == {"master": "S3CRET-prod-master-of-plano-prod", "name": "plano_admin"} and "S3CRET" not in output
    assert [call for call in calls if "secretsmanager" in call] == ["secretsmanager.GetSecretValue"] * 2
    # A restored instance that took over the name has another secret; nothing says so but RDS.
    database("plano-prod-restored")
    for name, other in (("plano-prod", "old"), ("plano-prod-restored", "plano-prod")):
        rds.modify_db_instance(DBInstanceIdentifier=name, NewDBInstanceIdentifier=other, ApplyImmediately=True)
        # It takes its time.
        while other not in {one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]}:
            pass
    found, _output = lookups(tmp_path, places)
    assert found["master"] == "S3CRET-prod-master-of-plano-prod-restored"


def test_a_databases_master_whose_password_cannot_be_had_says_what_to_do(account, tmp_path, monkeypatch):
    database("own", MasterUserPassword="S3CRET-own")
    places = {
        "unknown": {"source": "rds", "key": "nowhere"},
        "own": {"source": "rds", "key": "own"},
        "field": {"source": "rds", "key": "plano-prod:token"},
    }
    found, output = lookups(tmp_path, places)
    assert "secret 'unknown' (rds nowhere): it does not exist in region sa-east-1; is it in another" in found["unknown"]
    assert "modify-db-instance --db-instance-identifier own --manage-master-user-password" in found["own"]
    assert "has no field 'token'; it has: password, username" in found["field"]
    assert "S3CRET" not in output + str(found)

    one = {"master": {"source": "rds", "key": "plano-prod"}}
    become(monkeypatch, "reader", [{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}])
    account.enforce_policies()
    try:
        found, _output = lookups(tmp_path, one)
    finally:
        account.enforce_policies(10**9)
    assert "rds:DescribeDBInstances is not allowed to arn:aws:iam::123456789012:user/reader" in found["master"]
    assert "the policy 'deploy' grants it, on arn:aws:rds:sa-east-1:*:db:plano-prod" in found["master"]


def test_what_may_ask_rds_and_not_read_its_secret_names_the_secret(account, tmp_path, monkeypatch):
    arn = database("another")
    become(monkeypatch, "asker", [{"Effect": "Allow", "Action": "rds:DescribeDBInstances", "Resource": "*"}])
    account.enforce_policies()
    try:
        found, _output = lookups(tmp_path, {"master": {"source": "rds", "key": "another"}})
    finally:
        account.enforce_policies(10**9)
    assert "secretsmanager:GetSecretValue is not allowed to arn:aws:iam::123456789012:user/asker" in found["master"]
    assert f"'deploy' grants it, on {arn}" in found["master"]


def test_the_policy_of_deploys_reads_the_masters_password(account, tmp_path, monkeypatch):
    # moto knows actions, not resources or tags: those are the judge's, in test_policies.
    statements = [{**one, "Resource": "*"} for one in policies.deploy(policies.EXAMPLE)["Statement"]]
    become(monkeypatch, "deployer", [{k: v for k, v in one.items() if k != "Condition"} for one in statements])
    account.enforce_policies()
    try:
        found, _output = lookups(tmp_path, {"master": {"source": "rds", "key": "plano-prod"}})
    finally:
        account.enforce_policies(10**9)
    assert found["master"] == "S3CRET-prod-master-of-plano-prod"


def test_without_credentials_a_secret_says_so(account, tmp_path, monkeypatch):
    places = {name: {"source": name, "key": "x"} for name in ("secretsmanager", "ssm", "rds")}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    found, _output = lookups(tmp_path, places)
    assert all("this controller has no AWS credentials" in said for said in found.values()), found
