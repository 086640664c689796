# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A prod of its own: moto in AWS's place, and real hosts at the addresses of the instances that role aws has made there.

The hosts are those of the other tests: containers with systemd and sshd, in a network whose range is the VPC's. They ask moto for what
the controller has signed. Two things are stand-ins, because moto has no machines: the server behind RDS's endpoint is a PostgreSQL of
its own (flow-db), to which the endpoint's name leads; and nobody asks the backend's health: moto finds every target healthy at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml
from controller import ROOT, play
from flow_server import DATABASE, Server, on, podman
from moto_server import Moto, running
from provisioning import ACCOUNT, GLOBAL_CERTIFICATE, IMAGE, SECRET

CACHE = ROOT / ".cache"
HOSTS = ROOT / "tests" / "aws" / "flow_hosts" / "hosts.yml"
NETWORK, RANGE, CONTROLLER = "plano-flow", "10.89.26.0/24", "10.89.26.1"
BUCKET = "flow-artifacts-prod"
APPS = ("flow-app-1", "flow-app-2")
KEY = CACHE / "ssh" / "id_ed25519"
KNOWN_HOSTS = CACHE / "ssh" / f"{NETWORK}.known_hosts"
WAY = (
    f"-o IdentityFile={KEY} -o IdentitiesOnly=yes -o UserKnownHostsFile={KNOWN_HOSTS} -o GlobalKnownHostsFile=/dev/null"
)
INSTALL = """
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --no-install-recommends haproxy nftables python3-venv python3-psycopg python3-psycopg2 postgresql-client \\
  systemd-timesyncd >/dev/null
"""
PATIENCE = 900

SECRETS = {
    "database": {
        name: f"S3CRET{name}0123456789" for name in ("migrator", "data", "application", "backup", "monitoring")
    },
    "monitoring": {"password": "S3CRET-monitoring-0123", "password_salt": "S3CRET-salt-0123456789"},
    "grafana": {"admin_password": "S3CRET-grafana-0123", "secret_key": "S3CRET-key-0123"},
    "alerts": {"slack_url": "https://hooks.example.com/S3CRET"},
    "edge": {"origin_secret": SECRET},
}


class Flow:
    """The environment, and an operator's commands on it."""

    aws: Moto

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Server()
        self.inventory = folder / "inventories" / "prod"
        self.seconds: dict[str, float] = {}
        self._copy_inventory()

    def _copy_inventory(self) -> None:
        """inventories/prod, with the names of these hosts; what an operator fills in is in files of its own."""
        shutil.copytree(ROOT / "inventories" / "prod", self.inventory)
        for path in self.inventory.rglob("*.yml"):
            path.write_text(path.read_text().replace("prod-app-", "flow-app-"))
        shutil.copy(CACHE / "signing" / "allowed_signers", self.inventory / "allowed_signers")
        shutil.copytree(ROOT / "examples" / "data", self.folder / "examples" / "data")

    def fill_in(self, group: str, **variables: Any) -> None:
        """Give the group other variables than the inventory has; of its files the last in the alphabet holds."""
        path = self.inventory / "group_vars" / group / "zz.yml"
        path.write_text(yaml.safe_dump(variables, sort_keys=False))

    def describe(self, certificate: str) -> None:
        """What docs/aws.md tells to fill in before anything is provisioned."""
        database = yaml.safe_load((self.inventory / "group_vars" / "all" / "aws.yml").read_text())["aws_database"]
        instance = {"role": "backend", "type": "t4g.medium", "image": IMAGE, "network": "private"}
        self.fill_in(
            "all",
            aws_account=ACCOUNT,
            aws_network={"cidr": RANGE, "zones": ["a", "b"]},
            host_ssh_sources=[f"{CONTROLLER}/32"],
            aws_key={"name": "flow", "public_key": KEY.with_suffix(".pub").read_text().strip()},
            aws_instances=[{"name": name, **instance} for name in APPS],
            aws_instance_policies={},
            aws_database={**database, "deletion_protection": False},
            aws_bucket={"name": BUCKET},
            aws_balancer={
                "certificate": certificate,
                "only_cloudfront": True,
                "origin_secrets": ["{{ edge_origin_secret }}"],
            },
            edge_certificate=GLOBAL_CERTIFICATE,
            ansible_ssh_common_args=WAY,
        )
        # A short look at a backend that runs, a long one at one that starts on a busy machine; nobody to write to, and no key of age.
        self.fill_in("backend", backend_soak_seconds=2, backend_start_timeout=90)
        self.fill_in("data", data_checkpoint_encryption={}, data_recipients={})

    def name_the_database(self, said: str) -> None:
        """What provision says is to be put into group_vars/all/database.yml."""
        (line,) = set(re.findall(r'plano_database_host: "[^"]+"', said.replace("\n", " ")))
        path = self.inventory / "group_vars" / "all" / "database.yml"
        path.write_text(re.sub(r'plano_database_host: "[^"]+"', line, path.read_text()))

    def run(self, playbook: str, *arguments: str, inventory: str = "aws_ec2.yml", **variables: Any) -> str:
        """Run a playbook of the collection, which is to succeed."""
        code, said = self.attempt(playbook, *arguments, inventory=inventory, **variables)
        assert code == 0, said
        return said

    def attempt(
        self, playbook: str, *arguments: str, inventory: str = "aws_ec2.yml", **variables: Any
    ) -> tuple[int, str]:
        given = ["-e", json.dumps(variables)] if variables else []
        began = time.monotonic()
        code, said = play(
            self.folder,
            "-i",
            self.inventory / inventory,
            *arguments,
            *given,
            playbook=f"plano.delivery.{playbook}",
            seconds=PATIENCE,
        )
        self.note(playbook, began)
        return code, said

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Within, AWS judges whoever calls by the policies he has."""
        self.aws.enforce_policies()
        try:
            yield
        finally:
            self.aws.enforce_policies(10**9)

    def note(self, what: str, began: float) -> None:
        self.seconds[f"{len(self.seconds) + 1} {what}"] = time.monotonic() - began

    def publish(self, version: str) -> str:
        return self.run(
            "publish",
            component="backend",
            version=version,
            path=str(CACHE / "artifacts" / "backend" / f"backend-{version}.tar.gz"),
            bucket=BUCKET,
            build="python",
            signing_key=str(CACHE / "signing" / "id_ed25519"),
            allowed_signers=str(self.inventory / "allowed_signers"),
            catalog=str(self.inventory / "group_vars" / "all" / "artifacts.yml"),
            inventory="",
        )

    def keep_secrets(self) -> None:
        for name, fields in SECRETS.items():
            boto3.client("secretsmanager").create_secret(Name=f"plano/prod/{name}", SecretString=json.dumps(fields))

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return the instances that role aws has made, by their names."""
        found = boto3.client("ec2").describe_instances()["Reservations"]
        listed = [one for reservation in found for one in reservation["Instances"]]
        return {tag["Value"]: one for one in listed for tag in one["Tags"] if tag["Key"] == "Name"}

    def listed(self) -> dict[str, str]:
        """Return the address of each instance, by its name."""
        return {name: one["PrivateIpAddress"] for name, one in self.instances().items()}

    def start_hosts(self) -> None:
        """Start a host for each instance, and the server behind RDS's endpoint."""
        addresses = self.listed()
        assert set(addresses) == set(APPS)
        path = self.folder / "hosts.yml"
        path.write_text(
            yaml.safe_dump({"all": {"hosts": {name: {"ansible_host": at} for name, at in addresses.items()}}})
        )
        began = time.monotonic()
        with ThreadPoolExecutor() as pool:
            server = pool.submit(self.server.start, self.folder)
            containers("create", "--inventory", str(path), "--limit", ",".join(addresses))
            # What a deploy installs, on one host after the other, they get together, to save time.
            list(pool.map(lambda name: on(name, INSTALL), APPS))
            (self.inventory / "rds-ca.pem").write_text(server.result())
        self.server.lead(APPS)
        self.note("start hosts", began)

    def standing(self) -> set[str]:
        """Return the hosts that stand in the load balancer's target group."""
        client = boto3.client("elbv2")
        (group,) = client.describe_target_groups()["TargetGroups"]
        found = client.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
        return {self.names[one["Target"]["Id"]] for one in found}

    @property
    def names(self) -> dict[str, str]:
        """Return the name of each instance."""
        return {one["InstanceId"]: name for name, one in self.instances().items()}

    def asked(self, path: str) -> dict[str, Any]:
        """Ask each host as the load balancer does: by its proxy."""
        found = {}
        for name, address in self.listed().items():
            with urllib.request.urlopen(f"http://{address}:8080{path}", timeout=30) as answer:
                found[name] = json.load(answer)
        return found

    def wait_until_served(self) -> None:
        """The backend's connections ended with the database; it gets new ones by itself."""
        end = time.monotonic() + 180
        while True:
            try:
                self.asked("/clients")
                return
            except OSError:  # an answer that is none, or none at all
                assert time.monotonic() < end, "the backend does not find the database again"
                time.sleep(0.5)

    def bring_in(self, name: str) -> None:
        """Import a client, by the first host's proxy."""
        address = self.listed()[APPS[0]]
        rows = f"external_id,name,email,valid_from\n{name},{name},{name}@example.com,2026-01-31\n"
        asked = urllib.request.Request(f"http://{address}:8080/clients/import", rows.encode(), method="POST")
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 201

    def clients(self) -> set[str]:
        """Return the clients that every host knows."""
        one, other = ({client["name"] for client in found} for found in self.asked("/clients").values())
        assert one == other
        return one

    def versions(self) -> set[str]:
        return {one["version"] for one in self.asked("/version").values()}


def containers(what: str, *arguments: str) -> None:
    """Run molecule/shared's create or destroy."""
    command = ["ansible-playbook", "--inventory", str(HOSTS), *arguments]
    command += ["-e", json.dumps({"ansible_ssh_common_args": WAY}), f"molecule/shared/{what}.yml"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONPATH": "",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@contextmanager
def environment(folder: Path) -> Iterator[Flow]:
    """Start the network with the database's host, and moto beside them; all of it is removed at the end. `make clean` does that too."""
    # The network is this machine's; another checkout that is at it is waited for, not taken away.
    with Path("/run/lock/plano-flow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _environment(folder) as flow:
            yield flow


@contextmanager
def _environment(folder: Path) -> Iterator[Flow]:
    left = podman("ps", "--all", "--quiet", "--filter", f"label=plano.host={NETWORK}")
    if left:
        containers("destroy")
    flow = Flow(folder)
    try:
        began = time.monotonic()
        image = subprocess.run(
            [ROOT / "tools" / "data_tests", "trixie", "--image"],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        ).stdout.strip()
        containers("create", "--limit", DATABASE, "-e", f"plano_host_snapshot={image}")
        flow.note("start database's host", began)
        with running(folder, CONTROLLER) as flow.aws:
            yield flow
    finally:
        containers("destroy")
        for path in KNOWN_HOSTS.parent.glob(f"{KNOWN_HOSTS.name}*"):
            path.unlink()
        print(*(f"{name}: {seconds:.1f} s" for name, seconds in flow.seconds.items()), sep="\n")
