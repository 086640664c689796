# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of the workflows, one after the other as a push to release runs them, in a repository of git and with moto in AWS's place."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import boto3
import pytest
import yaml
from delivered_repository import BUCKET, COLLECTION, Repository
from moto_server import Moto

needs_publish = pytest.mark.skipif(
    not (COLLECTION / "playbooks" / "publish.yml").exists(), reason="this checkout has no playbook publish"
)


@pytest.fixture
def repository(aws: Moto, tmp_path: Path) -> Repository:
    return Repository(tmp_path, aws)


def test_the_version_is_the_repositorys_and_before_its_release_the_commits_too(repository: Repository) -> None:
    assert repository.run("version", PRERELEASE="false").output == {"version": "1.4.0"}
    early = repository.run("version", PRERELEASE="true").output["version"]
    assert early == f"1.4.0-dev.57.g{repository.git('rev-parse', '--short=7', 'HEAD').strip()}"
    (repository.root / "VERSION").write_text("latest; reboot\n")
    done = repository.run("version")
    assert (done.code, done.output) == (1, {})
    assert "::error::VERSION 'latest; reboot' is not a version in the file VERSION" in done.said


def test_a_commit_is_built_to_the_same_bytes_and_nothing_but_one_artifact_is_taken(repository: Repository) -> None:
    asked = {"BUILD": "delivery/build", "VERSION": "1.4.0"}
    first = repository.run("build", **asked)
    assert first.code == 0, first.said
    built = repository.root / "dist" / "backend-1.4.0.tar.gz"
    assert first.output == {"file": built.name, "sha256": hashlib.sha256(built.read_bytes()).hexdigest()}
    (repository.root / "dist_files" / "requirements.txt").touch()
    assert repository.run("build", **asked).output == first.output
    for program, words in {
        'touch "$2"/a "$2"/b': "must put one file into its folder; it put there: a b",
        'touch "$2/backend-1.3.0.tar.gz"': "the name must begin with backend-1.4.0.",
        "true": "must put one file",
    }.items():
        (repository.root / "delivery" / "build").write_text(f"#!/bin/sh\n{program}\n")
        done = repository.run("build", **asked)
        assert (done.code, done.output) == (1, {})
        assert words in done.said


@needs_publish
def test_what_was_built_is_signed_published_and_deployed_and_a_run_that_is_repeated_changes_nothing(
    repository: Repository,
) -> None:
    built = repository.run("build", BUILD="delivery/build", VERSION="1.4.0").output
    asked = {
        "VERSION": "1.4.0",
        "FILE": f"dist/{built['file']}",
        "SHA256": built["sha256"],
        "BUCKET": BUCKET,
        "ARTIFACT_BUILD": "none",
        "SIGNING_KEY": repository.secrets["signing"],
    }
    done = repository.run("publish", **asked)
    assert done.code == 0, done.said
    catalog = yaml.safe_load((repository.inventory / "group_vars" / "all" / "artifacts.yml").read_text())
    (entry,) = catalog["plano_artifacts"]["backend"]
    assert (entry["version"], entry["sha256"]) == ("1.4.0", built["sha256"])
    source = entry["sources"][0].removeprefix(f"s3://{BUCKET}/")
    content = boto3.client("s3").get_object(Bucket=BUCKET, Key=source)["Body"].read()
    assert hashlib.sha256(content).hexdigest() == built["sha256"]
    statement = f"component backend\nversion 1.4.0\nsha256 {built['sha256']}\n"
    (repository.folder / "sig").write_text(entry["signature"])
    verify = ["ssh-keygen", "-Y", "verify", "-f", repository.inventory / "allowed_signers", "-I", "release@example.com"]
    subprocess.run(
        [*verify, "-n", "artifact@plano.delivery", "-s", repository.folder / "sig"],
        input=statement,
        text=True,
        check=True,
        capture_output=True,
    )
    again = repository.run("publish", **asked)
    assert again.code == 0, again.said
    assert "changed=0" in again.said
    assert repository.leaks(done.said, again.said) == []

    # Other bytes for the version that is published are refused, and nothing is deployed.
    (repository.root / "dist_files" / "more").write_text("more")
    other = repository.run("build", BUILD="delivery/build", VERSION="1.4.0").output
    refused = repository.run("publish", **{**asked, "SHA256": other["sha256"]})
    assert refused.code != 0
    assert "1.4.0" in refused.words


@needs_publish
def test_who_may_not_sign_publishes_nothing(repository: Repository) -> None:
    built = repository.run("build", BUILD="delivery/build", VERSION="1.4.0").output
    done = repository.run(
        "publish",
        VERSION="1.4.0",
        FILE=f"dist/{built['file']}",
        SHA256=built["sha256"],
        BUCKET=BUCKET,
        ARTIFACT_BUILD="none",
        SIGNING_KEY=repository.secrets["ssh"],
    )
    assert done.code != 0
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET)


def test_what_was_exchanged_on_its_way_is_not_published(repository: Repository) -> None:
    repository.run("build", BUILD="delivery/build", VERSION="1.4.0")
    done = repository.run(
        "publish",
        VERSION="1.4.0",
        FILE="dist/backend-1.4.0.tar.gz",
        SHA256="0" * 64,
        BUCKET=BUCKET,
        SIGNING_KEY=repository.secrets["signing"],
    )
    assert done.code == 1
    assert "is not what was built" in done.said
    assert "ansible-playbook" not in repository.calls.read_text()


def test_a_deploy_goes_over_ssh_with_pinned_keys_and_leaves_its_secrets_nowhere(repository: Repository) -> None:
    secrets = {"SSH_KEY": repository.secrets["ssh"].rstrip("\n"), "VAULT_PASSWORD": "S3CRET"}
    done = repository.run("deploy", VERSION="1.4.0", INVENTORY="delivery/inventories/prod/hosts.yml", **secrets)
    assert done.code == 0, done.said
    assert done.output == {"change": "github-1234-1"}
    assert repository.log.read_text() == "prod-app-1 1.4.0 github-1234-1 false 1.4.0 from release\n"
    ways = [
        line for line in repository.calls.read_text().splitlines() if line.startswith("ssh ") and "192.0.2.1" in line
    ]
    assert ways
    # What ssh itself makes of the options it was called with.
    options = (repository.folder / "ssh_options").read_text().splitlines()
    assert "stricthostkeychecking true" in options
    assert f"userknownhostsfile {repository.inventory}/known_hosts" in options
    assert "globalknownhostsfile /dev/null" in options
    assert not any("HostKeyChecking" in line or "KnownHosts" in line for line in ways)
    # The agent had the one key; that it is gone is asserted of every step.
    assert (repository.folder / "agent").read_text().splitlines()[0].endswith("(ED25519)")
    assert repository.leaks(done.said) == []


def test_a_vault_is_opened_and_what_was_rolled_back_is_allowed_when_asked_for(repository: Repository) -> None:
    (repository.folder / "password").write_text("S3CRET\n")
    vault = repository.inventory / "group_vars" / "all" / "vault.yml"
    vault.write_text("hidden: found\n")
    subprocess.run(
        ["ansible-vault", "encrypt", "--vault-password-file", repository.folder / "password", vault],
        env=repository.environment,
        check=True,
        capture_output=True,
    )
    (repository.folder / "password").unlink()
    repository.variables(__backend_wanted="{{ hidden }}")
    asked = {
        "SSH_KEY": repository.secrets["ssh"],
        "VERSION": "1.10",
        "ALLOW_REJECTED": "true",
        "REASON": "{{ lookup('env', 'VAULT_PASSWORD') }} {{ not }}",
    }
    done = repository.run("deploy", VAULT_PASSWORD="S3CRET", **asked)
    assert done.code == 0, done.said
    assert "Backend found answers" in done.words
    # What a person typed is text, whatever it looks like.
    assert (
        repository.log.read_text() == "prod-app-1 1.10 github-1234-1 true {{ lookup(env, VAULT_PASSWORD) }} {{ not }}\n"
    )
    assert repository.leaks(done.said) == []
    assert repository.run("deploy", VAULT_PASSWORD="wrong", **asked).code != 0


def test_a_deploy_that_fails_fails_the_step(repository: Repository) -> None:
    repository.variables(broken=True)
    done = repository.run("deploy", VERSION="1.4.0", SSH_KEY=repository.secrets["ssh"])
    assert done.code != 0
    assert "the release does not answer" in done.said
    # Its change can be named, to take it back where it was confirmed.
    assert done.output == {"change": "github-1234-1"}


def test_a_rollback_goes_where_it_is_told(repository: Repository) -> None:
    for asked, went in [
        ({}, {"component": "backend", "to": None, "revert_change": None, "allow_rejected": False}),
        (
            {"TO_VERSION": "1.10", "ALLOW_REJECTED": "true"},
            {"component": "backend", "to": "1.10", "revert_change": None, "allow_rejected": True},
        ),
        (
            {"CHANGE": "github-1233-1"},
            {"component": None, "to": None, "revert_change": "github-1233-1", "allow_rejected": False},
        ),
    ]:
        done = repository.run("rollback", SSH_KEY=repository.secrets["ssh"], REASON="orders fail", **asked)
        assert done.code == 0, done.said
        assert repository.log.read_text() == f"prod-app-1 {went} orders fail\n"
        assert done.output == {"change": "github-1234-1"}


def test_what_is_wrong_is_refused_before_anything_runs(repository: Repository) -> None:
    for asked, words in [
        ({"REASON": ""}, "REASON is empty"),
        ({"TO_VERSION": "1.3.0", "CHANGE": "github-1233-1"}, "Name a version or a change, not both"),
        ({"TO_VERSION": "1.3.0 rollback_hosts=all"}, "is not a version"),
        ({"CHANGE": "$(reboot)"}, "is not the id of a change"),
        ({"SSH_KEY": ""}, "SSH_KEY is empty"),
        ({"SSH_KEY": "no key"}, "SSH_KEY is no private SSH key"),
        ({"INVENTORY": "nowhere"}, "is not in this repository"),
    ]:
        done = repository.run("rollback", **{"SSH_KEY": repository.secrets["ssh"], "REASON": "orders fail", **asked})
        assert done.code == 1
        assert words in done.said
        assert "ansible-playbook" not in (repository.calls.read_text() if repository.calls.exists() else "")


def test_without_pinned_keys_no_host_is_asked(repository: Repository) -> None:
    (repository.inventory / "known_hosts").unlink()
    done = repository.run("deploy", VERSION="1.4.0", SSH_KEY=repository.secrets["ssh"])
    assert done.code == 1
    assert "known_hosts is missing: pin the keys" in done.said


def test_the_summary_says_what_runs_where(repository: Repository) -> None:
    asked = {"SSH_KEY": repository.secrets["ssh"], "ENVIRONMENT": "prod", "RESULT": "success"}
    done = repository.run("summary", VERSION="1.4.0", SHA256="a" * 64, CHANGE="github-1234-1", **asked)
    assert done.code == 0, done.said
    lines = done.summary.splitlines()
    assert lines[0] == "## prod: success"
    assert f"- sha256 `{'a' * 64}`" in lines
    assert f"- commit `{repository.environment['GITHUB_SHA']}`, by somebody" in lines
    table = lines[lines.index("```text") + 1 : -1]
    assert table[0].split()[:4] == ["COMPONENT", "HOST", "VERSION", "SINCE"]
    assert [line.split()[1] for line in table[1:]] == ["prod-app-1"]
    assert repository.leaks(done.said, done.summary) == []


def test_the_summary_of_what_cannot_be_looked_at_says_so_and_does_not_fail_the_run(repository: Repository) -> None:
    (repository.inventory / "hosts.yml").write_text("{")
    done = repository.run("summary", SSH_KEY=repository.secrets["ssh"], ENVIRONMENT="prod", RESULT="failure")
    assert done.code == 0, done.said
    assert "## prod: failure" in done.summary
    assert "What runs is not known" in done.summary
    assert "::warning::" in done.said


def test_hosts_are_brought_back_into_the_load_balancer(repository: Repository) -> None:
    vpc = boto3.client("ec2").create_vpc(CidrBlock="192.0.2.0/24")["Vpc"]["VpcId"]
    client = boto3.client("elbv2")
    made = client.create_target_group(Name="backend", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip")
    group = made["TargetGroups"][0]["TargetGroupArn"]
    # Without a load balancer there is nothing to do.
    repository.variables(backend_target_group="")
    assert repository.run("undrain").code == 0
    repository.variables(backend_target_group=group, backend_target_id="192.0.2.1")
    done = repository.run("undrain")
    assert done.code == 0, done.said
    (found,) = client.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    assert (found["Target"]["Id"], found["TargetHealth"]["State"]) == ("192.0.2.1", "healthy")
