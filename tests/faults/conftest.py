"""The hosts that faults are tried on, deployed once for all tests of this folder and removed after them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from fault_host import CACHE, INVENTORY, OLD, ROOT, FaultHost
from fleet import PATIENCE, Fleet

VERSIONS = ("1.0.0", "1.1.0", "1.2.0-broken", "1.3.0-crash")
PACKAGES = "strace faketime"


def playbook(*words: str, wrapper: tuple[str, ...] = ("ansible-playbook",)) -> None:
    command = [*wrapper, "--inventory", str(INVENTORY), *words]
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def bring_up(folder: Path) -> None:
    """Deploy the oldest version as an operator deploys it, and note in *folder* what a deploy of each version sends."""
    playbook("molecule/shared/destroy.yml")
    playbook("molecule/shared/create.yml")
    playbook("plano.delivery.deploy", "-e", json.dumps({"backend_version": OLD, **PATIENCE}))
    folder.mkdir(parents=True, exist_ok=True)
    capture = (sys.executable, str(ROOT / "tests" / "faults" / "capture.py"), str(folder))
    for version in VERSIONS:
        only = "--tags=backend_preflight,backend_configure"
        playbook("plano.delivery.deploy", "--check", only, "-e", f"backend_version={version}", wrapper=capture)


@pytest.fixture(scope="session")
def hosts() -> Iterator[dict[str, FaultHost]]:
    """All application hosts by name. With PLANO_KEEP_HOSTS set, those of an earlier run are used, and they stay."""
    keep = bool(os.environ.get("PLANO_KEEP_HOSTS"))
    folder = CACHE / "faults-requests"
    if not keep or not folder.exists():
        bring_up(folder)
    listed = yaml.safe_load((INVENTORY / "hosts.yml").read_text(encoding="utf-8"))["all"]
    found = {
        name: FaultHost(
            name,
            listed["hosts"][name]["ansible_host"],
            {version: json.loads((folder / f"{name}-backend-{version}.json").read_text()) for version in VERSIONS},
        )
        for name in listed["children"]["backend"]["hosts"]
    }
    for host in found.values():
        host.on(
            f"command -v strace faketime >/dev/null || (apt-get -qq update && apt-get -qq -y install {PACKAGES} >/dev/null)"
        )
    yield found
    if not keep:
        playbook("molecule/shared/destroy.yml")


@pytest.fixture(params=["fault-app1", "fault-app2"], ids=["debian12", "debian13"])
def host(request: pytest.FixtureRequest, hosts: dict[str, FaultHost]) -> Iterator[FaultHost]:
    """One host that serves the old version; afterwards it must serve soundly whatever was done to it."""
    found = hosts[request.param]
    found.must_deploy(OLD)
    yield found
    found.assert_sound()


@pytest.fixture(scope="session")
def fleet(hosts: dict[str, FaultHost]) -> Fleet:
    """All hosts as one fleet, to be operated by playbooks."""
    return Fleet()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print figures that are wanted also when the test passes."""

    def print_now(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", flush=True)

    return print_now


@pytest.fixture
def scratch() -> Path:
    """A folder for what a test makes."""
    folder = CACHE / "faults-scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
