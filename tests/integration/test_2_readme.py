"""Every command of the README is run, in its order, and does what the README says."""

from __future__ import annotations

import re
import time
from contextlib import nullcontext

import pytest
from local_environment import ROOT, Environment

BLOCK = re.compile(r"^```sh ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
README = (ROOT / "README.md").read_text(encoding="utf-8")
# `make test` is what runs this test, and test_1_data.py runs the other.
ELSEWHERE = {"make test", "make demo"}
COMMANDS = [
    (number, kind, line)
    for number, (kind, line) in enumerate(
        (kind, line) for kind, block in BLOCK.findall(README) for line in block.splitlines()
    )
    if line not in ELSEWHERE
]
# What a person would look at after a command: the words it prints, and the version that serves.
EXPECT = {
    'make deploy ARGS="-e backend_version=1.1.0 --check --diff"': ("changed=", None),
    "make rollback ARGS=\"-e reason='orders fail'\"": ("backend 1.1.0-", "1.0.0"),
    'make rollback ARGS="-e version=1.0.0"': ("backend 1.1.0-", "1.0.0"),
    'make rollback ARGS="-e change=CHANGE"': ("backend 1.1.0-", "1.0.0"),
    'make deploy ARGS="-e backend_version=1.1.0 -e release_allow_rejected=true"': ("-> 1.1.0-", "1.1.0"),
    "make status": ("COMPONENT", None),
    "/opt/plano/bin/plano status": ("COMPONENT", None),
    "/opt/plano/bin/plano history backend": ("rejected", None),
    "/opt/plano/bin/plano verify": ("0 faults", None),
    "/opt/plano/bin/plano recover": ("nothing to recover", None),
}


@pytest.mark.parametrize(("number", "kind", "line"), COMMANDS, ids=[command[2] for command in COMMANDS])
def test_command(environment: Environment, number: int, kind: str, line: str) -> None:
    if kind == "host":
        output = environment.on("local-app", line)
    else:
        if "CHANGE" in line:
            line_to_run = line.replace("CHANGE", environment.ledger()[-1]["change"]["id"])
        else:
            # The machine's own updates may be at it.
            line_to_run = line.replace("sudo apt-get", "apt-get -o DPkg::Lock::Timeout=300").replace("sudo ", "")
        with environment.sources_cut() if line.startswith("make rollback") else nullcontext():
            done = environment.shell(line_to_run)
            # It asks each process for a second, which on a machine that runs other tests beside this may be too short.
            end = time.monotonic() + 120
            while line.endswith("status") and done.code != 0 and time.monotonic() < end:
                time.sleep(5)
                done = environment.shell(line_to_run)
        output = done.output
        assert (done.code == 0) is (kind != "refused"), output
        if kind == "refused":
            assert "no host was touched" in output
    words, version = EXPECT.get(line, ("", None))
    assert words in output
    if version is not None:
        assert environment.version == version


def test_the_readme_names_every_scenario_and_target_correctly() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", README)) - {"is"} <= targets | {"talks"}
