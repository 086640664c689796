# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import ensurepip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import store as store_module
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.store import Store
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Host

WHEEL = "tiny-1.0-py3-none-any.whl"


def tiny_wheel():
    """The smallest wheel that pip takes: one module and a command."""
    files = {
        "tiny.py": "def main():\n    print(__file__)\n",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny-1.0.dist-info/entry_points.txt": "[console_scripts]\ntiny = tiny:main\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as out:
        for name, text in {**files, "tiny-1.0.dist-info/RECORD": record}.items():
            out.writestr(name, text)
    return target.getvalue()


@pytest.fixture
def artifact(tmp_path):
    """Build an artifact with one wheel, of which requirements.txt pins the given digest, or its own."""

    def build(digest=None):
        wheel = tiny_wheel()
        pin = f"tiny==1.0 --hash=sha256:{digest or hashlib.sha256(wheel).hexdigest()}\n"
        path = tmp_path / "app.tar"
        with tarfile.open(path, "w") as out:
            for name, data in ((f"wheels/{WHEEL}", wheel), ("requirements.txt", pin.encode())):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                out.addfile(info, io.BytesIO(data))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return {"version": "1.0", "sha256": sha256, "sources": [path.as_uri()], "build": "python"}

    return build


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store that builds with the pip of this machine: Debian's, or the one that its Python brings."""
    if not list(store_module.PIP_WHEELS.glob("pip-*.whl")):
        monkeypatch.setattr(store_module, "PIP_WHEELS", Path(ensurepip.__file__).parent / "_bundled")
    return Store(tmp_path / "store", Host())


def test_an_environment_is_built_offline_runs_where_it_lies_and_is_compiled_later(store, artifact):
    wanted = artifact()
    assert "venv" in store.add(wanted)
    venv = store.path(wanted["sha256"]) / "venv"
    # As a service, which may not write there.
    unwritable = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run([venv / "bin/tiny"], env=unwritable, capture_output=True, text=True, timeout=60, check=True)
    (module,) = venv.glob("lib/python3*/site-packages/tiny.py")
    assert said.stdout == f"{module}\n"
    assert ".staging-" not in (venv / "bin/tiny").read_text() + (venv / "pyvenv.cfg").read_text()
    assert list(venv.rglob("tiny*.pyc")) == []
    store.compile_python(wanted["sha256"])
    assert len(list(venv.rglob("tiny*.pyc"))) == 1
    assert store.verify(wanted["sha256"]) == []
    store.host = None  # what is compiled is not compiled again
    store.compile_python(wanted["sha256"])


def test_a_wheel_of_another_digest_than_pinned_is_refused(store, artifact):
    with pytest.raises(
        EngineError, match=r"cannot build the virtual environment from the artifact's wheels: .*DO NOT MATCH"
    ):
        store.add(artifact("0" * 64))
    assert store.digests() == []
    assert [path.name for path in store.root.iterdir()] == ["sha256"]


def test_what_builds_ends_with_the_run_that_started_it(tmp_path):
    script = (
        "from ansible_collections.plano.delivery.plugins.module_utils.engine import store, systemd\n"
        "systemd.Host().run([*store.MORTAL, 'sh', '-c', 'echo $$ >pid && mv pid started && exec sleep 60'])\n"
    )
    started = tmp_path / "started"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    run = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    try:
        wait_for(started.exists)
    finally:
        run.kill()
        run.wait()
    builder = Path("/proc", started.read_text().strip())
    wait_for(lambda: not builder.exists())


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_host_without_pip_is_told_what_to_install(store, artifact, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "PIP_WHEELS", tmp_path / "nothing")
    with pytest.raises(EngineError, match="Debian's python3-venv is not installed on this host"):
        store.add(artifact())
    assert store.digests() == []


def test_byte_code_that_cannot_be_written_is_tried_again_by_the_next_change(tmp_path, host):
    store = Store(tmp_path / "store", host)
    venv = store.path("0" * 64) / "venv"
    venv.mkdir(parents=True)
    (venv.parent / "entry.json").write_text("{}")
    host.refuses("nice", "no space left")
    store.compile_python("0" * 64)
    store.compile_python("0" * 64)
    assert host.ran("nice") == 2
    host.answers.clear()
    store.compile_python("0" * 64)
    store.compile_python("0" * 64)
    assert host.ran("nice") == 3


@pytest.mark.parametrize("sha256", [None, "1" * 64])
def test_what_has_no_environment_is_not_compiled(tmp_path, host, sha256):
    Store(tmp_path / "store", host).compile_python(sha256)
    assert host.calls == []
