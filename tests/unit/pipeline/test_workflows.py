# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps the workflows safe, asserted of their text; what their steps do is in tests/aws/test_pipeline.py."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PIPELINE = ".plano/ansible_collections/plano/delivery/pipeline/"
EXAMPLES = ROOT / "examples" / "delivery" / ".github" / "workflows"
OURS = [ROOT / ".github" / "workflows" / name for name in ("release.yml", "rollback.yml")]
CALLERS = [EXAMPLES / "deliver.yml", EXAMPLES / "rollback.yml"]
# Looked up in the repositories of the actions, where the tag points to this commit (2026-11-27).
PINNED = {
    "actions/checkout": ("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "actions/download-artifact": ("3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c", "v8.0.1"),
    "actions/setup-python": ("5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    "actions/upload-artifact": ("bbbca2ddaa5d8feaa63e36b76fdaad77386f024f", "v7.0.0"),
    "aws-actions/configure-aws-credentials": ("e6de054238d6b7531b4efff3b6587d9aade6a06c", "v6.2.3"),
}


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(*paths: Path) -> list[Any]:
    return [
        pytest.param(job, id=f"{path.parts[-4]}/{path.name}:{name}")
        for path in paths
        for name, job in read(path)["jobs"].items()
    ]


def steps() -> list[dict[str, Any]]:
    return [step for path in OURS for job in read(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", [*OURS, *CALLERS], ids=lambda path: f"{path.parts[-4]}/{path.name}")
def test_every_action_is_pinned_by_a_commit_that_its_tag_names(path: Path) -> None:
    uses = re.findall(r'uses: "([^"@]+)@([^"]+)"(?:  # (\S+))?$', path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(uses) == path.read_text(encoding="utf-8").count("uses:")
    for name, commit, tag in uses:
        if name.startswith("plano/delivery/"):
            assert commit == "0" * 40  # a place for the reader's own choice, which no tag can stand in
            assert (ROOT / name.removeprefix("plano/delivery/")).is_file()
        else:
            assert (commit, tag) == PINNED[name]


@pytest.mark.parametrize("job", jobs(*OURS))
def test_no_job_has_more_rights_than_it_needs(job: dict[str, Any]) -> None:
    rights = {"contents": "read", "id-token": "write"} if "environment" in job else {"contents": "read"}
    assert job["permissions"] == rights


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_what_is_not_said_for_a_job_may_only_read(path: Path) -> None:
    assert read(path)["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", CALLERS, ids=lambda path: path.name)
def test_who_calls_gives_no_more_rights_than_are_used(path: Path) -> None:
    found = read(path)
    assert found["permissions"] == {}
    assert [job["permissions"] for job in found["jobs"].values()] == [{"contents": "read", "id-token": "write"}] * len(
        found["jobs"]
    )


def test_releases_and_rollbacks_wait_in_one_queue_for_each_environment_and_none_is_dropped() -> None:
    groups = [read(path)["concurrency"] for path in OURS]
    assert groups == [{"group": "plano-${{ inputs.environment }}", "cancel-in-progress": False, "queue": "max"}] * 2
    # A group in a caller, or in a job within, would be another queue, or a deadlock with this one.
    assert not any("concurrency" in read(path) for path in CALLERS)
    assert not any("concurrency" in job for path in [*OURS, *CALLERS] for job in read(path)["jobs"].values())


@pytest.mark.parametrize("job", jobs(*OURS))
def test_secrets_and_aws_are_there_only_in_the_environment(job: dict[str, Any]) -> None:
    text = json.dumps(job)
    uses_them = "secrets." in text or "configure-aws-credentials" in text
    assert uses_them == (job.get("environment") == "${{ inputs.environment }}")


def test_a_secret_is_in_the_environment_of_the_one_step_that_needs_it() -> None:
    for path in OURS:
        for job in read(path)["jobs"].values():
            assert "secrets." not in json.dumps({key: value for key, value in job.items() if key != "steps"})
    for step in steps():
        assert "secrets." not in json.dumps({key: value for key, value in step.items() if key != "env"})
        for name, value in step.get("env", {}).items():
            if "secrets." in value:
                assert value == f"${{{{ secrets.{name} }}}}"
    assert [step["name"] for step in steps() if "SIGNING_KEY" in step.get("env", {})] == ["Sign and publish it"]


def test_what_is_run_is_a_program_that_is_there_and_nothing_is_put_into_its_words() -> None:
    run = [step["run"] for step in steps() if "run" in step]
    assert {line.removeprefix(PIPELINE) for line in run} == {
        path.name for path in (ROOT / "pipeline").iterdir() if os.access(path, os.X_OK)
    } - {"vault_password"}
    for line in run:
        assert re.fullmatch(re.escape(PIPELINE) + r"[a-z]+", line)


def test_a_step_is_given_every_variable_that_its_program_says_it_needs() -> None:
    for path in OURS:
        for job in read(path)["jobs"].values():
            for step in job["steps"]:
                if "run" not in step:
                    continue
                program = (ROOT / "pipeline" / step["run"].removeprefix(PIPELINE)).read_text(encoding="utf-8")
                needed = {name for line in re.findall(r"^ *need (.+)$", program, re.MULTILINE) for name in line.split()}
                needed |= {"INVENTORY"} if re.search(r"^inventory$", program, re.MULTILINE) else set()
                given = {**job.get("env", {}), **step.get("env", {})}
                assert {name for name in needed if not name.startswith("GITHUB_")} <= set(given), step["name"]
                # And nothing that it does not look at.
                for name in step.get("env", {}):
                    library = (ROOT / "pipeline" / "lib.sh").read_text(encoding="utf-8")
                    assert re.search(rf"\b{name}\b", program + library), (step["name"], name)


def test_whose_code_is_built_is_not_trusted_with_git_either() -> None:
    checkouts = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == 6
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    ours = [step["with"] for step in checkouts if "path" in step["with"]]
    assert all(
        item["ref"] == "${{ job.workflow_sha }}" and item["repository"] == "${{ job.workflow_repository }}"
        for item in ours
    )
    assert {item["path"] + "/pipeline/" for item in ours} == {PIPELINE}


def test_no_key_of_a_host_is_taken_from_the_host() -> None:
    for path in [*OURS, *CALLERS, *(ROOT / "pipeline").iterdir()]:
        text = path.read_text(encoding="utf-8")
        assert "keyscan" not in text
        assert not re.search(r"StrictHostKeyChecking[= ](?!yes)", text)
        assert not re.search(r"HOST_KEY_CHECKING", text)


def test_a_push_to_develop_goes_to_dev_and_one_to_release_to_prod() -> None:
    found = read(CALLERS[0])
    assert found["on"] == {"push": {"branches": ["develop", "release"]}}
    assert {job["if"]: job["with"] for job in found["jobs"].values()} == {
        "github.ref_name == 'develop'": {"environment": "dev", "prerelease": True},
        "github.ref_name == 'release'": {"environment": "prod"},
    }


def test_a_rollback_is_started_by_a_person_with_a_reason() -> None:
    found = read(CALLERS[1])
    assert list(found["on"]) == ["workflow_dispatch"]
    asked = found["on"]["workflow_dispatch"]["inputs"]
    assert set(asked) == {"environment", "version", "change", "reason", "allow_rejected"}
    assert asked["reason"]["required"]
    assert {name: f"${{{{ inputs.{name} }}}}" for name in asked} == found["jobs"]["rollback"]["with"]


@pytest.mark.parametrize(("caller", "called"), list(zip(CALLERS, OURS)), ids=lambda path: path.name)
def test_who_calls_hands_over_what_is_asked_for(caller: Path, called: Path) -> None:
    interface = read(called)["on"]["workflow_call"]
    for job in read(caller)["jobs"].values():
        assert set(job["with"]) <= set(interface["inputs"])
        assert {name for name, item in interface["inputs"].items() if item.get("required")} <= set(job["with"])
        assert job["secrets"] == {name: f"${{{{ secrets.{name} }}}}" for name in interface["secrets"]}


@pytest.mark.parametrize("job", jobs(*OURS))
def test_no_job_runs_for_ever(job: dict[str, Any]) -> None:
    assert 0 < job["timeout-minutes"] <= 120


def test_the_summary_is_written_and_hosts_are_brought_back_whatever_happened() -> None:
    told = [step for step in steps() if step.get("run", "").endswith("/summary")]
    assert [step["if"] for step in told] == ["always()", "always()"]
    back = next(step for step in steps() if step.get("run", "").endswith("/undrain"))
    assert back["if"].startswith(
        "always() && (steps.deploy.outcome == 'failure' || steps.deploy.outcome == 'cancelled'"
    )


def test_the_controller_installs_what_the_tests_ran_with() -> None:
    def blocks(path: Path) -> dict[str, str]:
        text = path.read_text(encoding="utf-8")
        return {
            block.split("==")[0]: block
            for block in re.findall(r"^\S+==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+", text, re.MULTILINE)
        }

    everything, here = blocks(ROOT / "requirements.txt"), blocks(ROOT / "pipeline" / "requirements.txt")
    assert {"ansible", "ansible-core", "boto3", "bcrypt"} <= set(here)
    assert {name: block for name, block in everything.items() if name in here} == here
