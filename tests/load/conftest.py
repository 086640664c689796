"""One run for all tests of this folder, and its table at the end."""

from __future__ import annotations

import asyncio
import csv
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import astuple

import pytest
import scenario
import workload
from load_environment import PORT, ROOT, Environment
from traffic import Request

FOLDER = ROOT / ".cache" / "load"
TABLE = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="20 deploys instead of 3, and everything else in proportion")
    parser.addoption("--inventory", default="inventories/local", help="whose first backend host is put under load")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if TABLE in config.stash:
        terminalreporter.section("requests under load")
        terminalreporter.write_line(config.stash[TABLE])


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> Iterator[Environment]:
    """The environment with the old version deployed, and everything there that the run needs."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    found = Environment.find(pytestconfig.getoption("--inventory"))
    assert not asyncio.run(found.carry_out(found.deploy_all(scenario.OLD), FOLDER / "operations.log"))
    assert not asyncio.run(found.carry_out(found.shell("repack", scenario.REPACK), FOLDER / "operations.log"))
    if pytestconfig.getoption("--long"):
        found.script("DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends needrestart")
    found.sql(workload.REMOVE)
    request = urllib.request.Request(
        f"http://{found.address}:{PORT}/clients/import?file=load-recipients",
        workload.RECIPIENTS.encode(),
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201
    yield found
    found.sql(workload.REMOVE)
    found.script("rm --force /var/tmp/plano-load-haproxy.deb /run/plano-load-before")
    if pytestconfig.getoption("--long"):
        found.script("DEBIAN_FRONTEND=noninteractive apt-get purge --yes --quiet needrestart")


@pytest.fixture(scope="session")
def record(environment: Environment, pytestconfig: pytest.Config) -> scenario.Record:
    long = pytestconfig.getoption("--long")
    package = environment.on(environment.app, "dpkg-query", "--show", "--showformat", "${Version}", "haproxy")
    plan = (scenario.long_plan if long else scenario.short_plan)(environment, package)
    found = asyncio.run(scenario.run(environment, plan, long, FOLDER / "operations.log"))
    with (FOLDER / "requests.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([Request.__annotations__, *map(astuple, found.traffic.requests)])
    text = scenario.table(found)
    (FOLDER / "table.md").write_text(text + "\n", encoding="utf-8")
    pytestconfig.stash[TABLE] = text
    return found
