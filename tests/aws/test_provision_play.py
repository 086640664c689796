# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks provision and unprovision as an operator runs them, with the inventories as they are, and what they say when AWS refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto_server import Moto
from provisioning import IMAGE, SECRET

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(aws: Moto, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    def play(playbook: str, environment: str, *arguments: str, **variables: Any) -> tuple[int, str]:
        inventory = tmp_path / environment
        shutil.copytree(ROOT / "inventories" / environment, inventory, dirs_exist_ok=True)
        given = {"aws_image": IMAGE, "ansible_python_interpreter": sys.executable, **variables}
        (tmp_path / "given.json").write_text(json.dumps(given))
        done = subprocess.run(
            [
                Path(sys.executable).parent / "ansible-playbook",
                "-i",
                inventory,
                "-e",
                f"@{tmp_path / 'given.json'}",
                *arguments,
                ROOT / "playbooks" / f"{playbook}.yml",
            ],
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
                "ANSIBLE_NOCOLOR": "1",
                "PYTHONPATH": "",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        return done.returncode, done.stdout + done.stderr

    return play


def prod() -> dict[str, Any]:
    """What is to be filled in before prod can be provisioned."""
    certificate = boto3.client("acm").request_certificate(DomainName="origin.example.com")["CertificateArn"]
    balancer = {"certificate": certificate, "only_cloudfront": True, "origin_secrets": [SECRET]}
    return {"aws_balancer": balancer, "edge_origin_secret": SECRET}


def test_prod_is_planned_made_and_kept(run: Callable[..., tuple[int, str]]) -> None:
    given = prod()
    code, said = run("provision", "prod", "--check", "-vvv", **given)
    assert code == 0, said
    for line in (
        "+ VPC plano-prod: 10.20.0.0/16",
        "+ database plano-prod: PostgreSQL 17, db.t4g.medium, 50 GB, in two zones",
        "+ distribution plano-prod: app.example.com to origin.example.com",
    ):
        assert line in said.replace("\n        ", " "), said
    assert SECRET not in said
    assert boto3.client("rds").describe_db_instances()["DBInstances"] == []
    began = time.monotonic()
    code, said = run("provision", "prod", **given)
    assert code == 0, said
    print(f"first run {time.monotonic() - began:.1f} s")
    assert SECRET not in said
    began = time.monotonic()
    code, said = run("provision", "prod", "-vvv", "--diff", **given)
    print(f"second run {time.monotonic() - began:.1f} s")
    assert code == 0 and "changed=0" in said, said
    # In words that the inventory takes.
    assert re.search(r'plano_database_host: "plano-prod\.[\w.-]+\.rds\.amazonaws\.com"', " ".join(said.split())), said
    assert re.search(
        r"load balancer answers at plano-prod\S+\. Let origin\.example\.com lead there", " ".join(said.split())
    ), said
    assert re.search(
        r"CloudFront answers at \S+\.cloudfront\.net\. Let app\.example\.com lead there", " ".join(said.split())
    ), said
    assert SECRET not in said
    # What is protected stays, and with it what would have been removed before it.
    code, said = run("unprovision", "prod", confirm="prod", **given)
    assert code == 2 and "database plano-prod: it is protected from deletion" in said, said
    assert len(boto3.client("cloudfront").list_distributions()["DistributionList"]["Items"]) == 1


def test_dev_has_what_is_cheap_and_goes_away_when_confirmed(
    run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    rights = tmp_path / "rights"
    rights.mkdir()
    code, said = run("provision", "dev", aws_policy_dir=str(rights), aws_repository="example/backend")
    assert code == 0, said
    assert "+ instance dev-db" in said
    assert not re.search(r"\+ (load balancer|database|web ACL|distribution|NAT gateway)", said), said
    written = json.loads((rights / "deploy.json").read_text())
    assert "arn:aws:s3:::example-artifacts-dev/*" in json.dumps(written)
    assert "repo:example/backend:environment:dev" in (rights / "github_trust.json").read_text()
    inventory = {
        tag["Value"]
        for reservation in boto3.client("ec2").describe_instances()["Reservations"]
        for instance in reservation["Instances"]
        for tag in instance["Tags"]
        if tag["Key"] == "plano:role"
    }
    assert inventory == {"backend", "postgresql", "monitoring"}
    code, said = run("unprovision", "dev", confirm="prod")
    assert code == 2 and "say confirm: dev to remove all of it" in said
    code, said = run("unprovision", "dev", "--check", confirm="dev")
    assert code == 0 and "- VPC plano-dev: vpc-" in said, said
    assert len(boto3.client("ec2").describe_key_pairs()["KeyPairs"]) == 1
    code, said = run("unprovision", "dev", confirm="dev")
    assert code == 0, said
    assert boto3.client("ec2").describe_key_pairs()["KeyPairs"] == []


def test_all_faults_are_told_at_once_and_nothing_is_made(run: Callable[..., tuple[int, str]]) -> None:
    code, said = run(
        "provision",
        "dev",
        aws_network={"cidr": "10.10.0.0/8", "zones": ["a"]},
        aws_controller_sources=["0.0.0.0/0"],
        aws_instances=[{"name": "dev-app", "role": "frontend", "type": "small", "image": "debian", "memory": 4}],
        aws_database={"version": "17", "klass": "db.t4g.micro"},
        aws_bucket={"name": "Artifacts"},
    )
    assert code == 2
    for part in (
        "aws_network.cidr: '10.10.0.0/8' is no network",
        "aws_network.zones: two at least",
        "aws_controller_sources[0]: '0.0.0.0/0' lets everybody try to sign in",
        "aws_instances[0].memory: there is no such key",
        "aws_instances[0].role: 'frontend' is not among backend, postgresql, monitoring",
        "aws_instances[0].type: 'small' is no type",
        "aws_instances[0].image: 'debian' is no image",
        "aws_database.klass: there is no such key",
        "aws_database.class: must be given",
        "aws_bucket.name: 'Artifacts' must be",
    ):
        assert part in said, said
    assert boto3.client("ec2").describe_key_pairs()["KeyPairs"] == []


def test_another_region_or_account_than_meant_is_refused(run: Callable[..., tuple[int, str]]) -> None:
    code, said = run("provision", "dev", aws_region="sa-east-l")
    assert code == 2 and "AWS has no 'sa-east-l'; did you mean sa-east-1?" in said, said
    code, said = run("provision", "dev", aws_account="210987654321")
    assert code == 2 and "the credentials are of 123456789012, not of 210987654321" in said, said


def test_a_missing_right_is_told_with_its_policy_and_the_next_run_goes_on(
    run: Callable[..., tuple[int, str]], aws: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user may do all but make hosts: what was made before is found by the next run, which has the right."""
    iam = boto3.client("iam")
    iam.create_user(UserName="u")
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": "ec2:RunInstances", "Resource": "*"},
        ],
    }
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="u")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    aws.enforce_policies()
    try:
        code, said = run("provision", "dev")
    finally:
        aws.enforce_policies(10**9)
    assert code == 2
    assert "AWS denies ec2:RunInstances in sa-east-1: attach the policy docs/iam/provision_hosts.json" in said, said
    code, said = run("provision", "dev")
    assert code == 0 and "+ instance dev-app" in said and "+ VPC" not in said, said
    vpcs = boto3.client("ec2").describe_vpcs(Filters=[{"Name": "tag:plano:environment", "Values": ["dev"]}])["Vpcs"]
    assert len(vpcs) == 1
