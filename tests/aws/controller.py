# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
BUCKET = "example-artifacts"


def play(
    folder: Path,
    *arguments: Any,
    playbook: str = "",
    tasks: list[dict[str, Any]] | None = None,
    seconds: float = 120,
) -> tuple[int, str]:
    """Run a playbook of the collection, or *tasks* on localhost, as an operator would; return the exit code and all that was said."""
    if tasks is not None:
        (folder / "play.yml").write_text(
            yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
        )
    done = subprocess.run(
        [BIN / "ansible-playbook", *map(str, arguments), playbook or folder / "play.yml"],
        env={**ansible_environment(folder), "PWD": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    return done.returncode, done.stdout + done.stderr


def ansible_environment(folder: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_DEPRECATION_WARNINGS": "false",  # of amazon.aws 10.1.2 about itself
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


def become(monkeypatch: pytest.MonkeyPatch, user: str, statements: list[dict[str, Any]]) -> None:
    """Let whoever calls AWS from here on be *user*, who may do what *statements* say."""
    iam = boto3.client("iam")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=user, PolicyName="deploy", PolicyDocument=policy)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def documented(purpose: str) -> list[dict[str, Any]]:
    """The statements of a policy, as docs/aws-artifacts.md tells them for *purpose*."""
    text = (ROOT / "docs" / "aws-artifacts.md").read_text(encoding="utf-8")
    rows = [row for row in re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE) if row[0] == purpose]
    assert rows
    return [
        {
            "Effect": "Allow",
            "Action": re.findall(r"`(\w+:\w+)`", actions),
            "Resource": re.findall(r"`(.*?)`", resource)[0].replace("BUCKET", BUCKET),
        }
        for _purpose, actions, resource in rows
    ]
