# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import bundle, cli, status
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout


@pytest.fixture
def command(tmp_path):
    """The command as it lies on a host."""
    path = tmp_path / "plano"
    path.write_bytes(bundle.zipapp())
    return path


def run(command, *argv, places=None):
    """Run *command* in a Python of its own, which knows nothing of this one; *places* stand for its folders."""
    start = [sys.executable, "-I", str(command)]
    if places:
        opt, var, run_dir = (repr(str(place)) for place in places)
        code = (
            f"import runpy, sys, pathlib; sys.path.insert(0, {str(command)!r}); from plano_engine.release import Layout;"
            f"Layout.__init__.__defaults__ = tuple(map(pathlib.Path, ({opt}, {var}, {run_dir})));"
            f"sys.argv[0] = 'plano'; runpy.run_path({str(command)!r}, run_name='__main__')"
        )
        start = [sys.executable, "-I", "-c", code]
    return subprocess.run([*start, *argv], capture_output=True, text=True, timeout=60, check=False)


def test_every_module_of_the_engine_is_in_the_bundle():
    folder = Path(bundle.__file__).parent
    assert sorted(bundle.MODULES) == sorted(path.stem for path in folder.glob("*.py"))


def test_the_same_sources_give_the_same_bytes_at_any_time(command, monkeypatch):
    with zipfile.ZipFile(command) as archive:
        assert {item.date_time for item in archive.infolist()} == {bundle.EPOCH}
        assert archive.read("plano_engine/fs.py") == pkgutil.get_data(bundle.__package__, "fs.py")
    assert bundle.zipapp() == command.read_bytes()


def test_a_module_that_cannot_be_read_is_told(monkeypatch):
    monkeypatch.setattr(bundle.pkgutil, "get_data", lambda *_: None)
    with pytest.raises(OSError, match="the engine cannot read its own module __init__"):
        bundle.zipapp()


def test_the_bundle_runs_alone_and_says_what_the_engine_says(command):
    done = run(command, "status", "--json")
    assert done.stderr == ""
    found = [item["component"] for item in json.loads(done.stdout)]
    assert found == status.components(Layout("all"))


def test_the_bundle_reads_what_the_engine_wrote(command, site):
    site.deploy("1")
    places = (site.layout.opt, site.layout.var, site.layout.run)
    done = run(command, "history", "app", "--json", places=places)
    assert [json.loads(line) for line in done.stdout.splitlines()] == site.component.ledger().entries
    assert done.returncode == 0
    done = run(command, "verify", "app", places=places)
    assert (done.returncode, done.stdout) == (0, "app: ledger of 3 entries holds, 1 releases, 0 faults\n")
    done = run(command, "history", "other", places=places)
    assert (done.returncode, done.stderr) == (2, "plano: component other is not on this host; known: app\n")


def test_the_engine_is_installed_once_and_again_when_it_differs(host, tmp_path):
    opt = tmp_path / "opt"
    assert bundle.install(host, opt, host.unit_dir) is True
    command = opt / "bin" / "plano"
    assert command.read_bytes() == bundle.zipapp()
    assert command.stat().st_mode & 0o777 == 0o755
    assert host.enabled() == ["plano-metrics.timer", "plano-recover.service"]
    assert host.ran("systemctl daemon-reload") == 1
    assert host.ran("systemctl start plano-metrics.timer") == 1
    assert bundle.install(host, opt, host.unit_dir) is False
    command.write_bytes(b"older")
    assert bundle.install(host, opt, host.unit_dir) is True
    (host.unit_dir / "plano-recover.service").write_text("older")
    assert bundle.install(host, opt, host.unit_dir) is True
    assert bundle.install(host, opt, host.unit_dir) is False
    assert host.ran("systemctl daemon-reload") == 2


@pytest.mark.parametrize("unit", ["plano-recover.service", "plano-metrics.service"])
def test_the_units_call_a_command_that_exists(host, tmp_path, this_host, unit):
    bundle.install(host)
    (line,) = [line for line in host.unit_text(unit).splitlines() if line.startswith("ExecStart=")]
    path, *argv = line[len("ExecStart=") :].split()
    assert path == "/opt/plano/bin/plano"
    assert cli.main(argv) == 0
