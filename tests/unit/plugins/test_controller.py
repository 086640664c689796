# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from ansible_collections.plano.delivery.plugins.plugin_utils import _controller


@pytest.fixture
def pinned(tmp_path):
    """A sound artifact on the controller and its catalog entry."""
    path = tmp_path / "app-1.0.0.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        info = tarfile.TarInfo("app.py")
        info.size = 5
        out.addfile(info, io.BytesIO(b"print"))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"version": "1.0.0", "sha256": sha256, "sources": [path.as_uri()]}


def faults(entry, wanted="1.0.0"):
    return _controller.catalog_faults("backend", [entry], wanted, {})


def test_a_sound_artifact_has_no_faults(pinned):
    assert faults(pinned) == []


@pytest.mark.parametrize(
    ("changed", "wanted", "message"),
    [
        ({}, "9.9.9", "version '9.9.9' of backend is unknown; pinned artifacts: 1.0.0"),
        ({}, "latest", "version 'latest' moves; pin an exact version"),
        ({"sha256": None}, "1.0.0", "sha256 is missing"),
        ({"sha256": "12"}, "1.0.0", "is malformed"),
        ({"sha256": "0" * 64}, "1.0.0", "expected " + "0" * 64),
        ({"sources": ["file:///nowhere/app.tar.gz"]}, "1.0.0", "source file /nowhere/app.tar.gz does not exist"),
    ],
)
def test_each_wrong_pin_is_named(pinned, changed, wanted, message):
    assert message in "; ".join(faults({**pinned, **changed}, wanted))


def test_a_truncated_archive_is_named_even_when_its_digest_was_pinned(pinned, tmp_path):
    path = tmp_path / "cut.tar.gz"
    path.write_bytes((tmp_path / "app-1.0.0.tar.gz").read_bytes()[:40])
    entry = {**pinned, "sources": [path.as_uri()], "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert "archive cut.tar.gz: it is truncated" in "; ".join(faults(entry))


def test_a_source_out_of_the_controllers_sight_is_left_to_the_host(pinned):
    assert faults({**pinned, "sources": ["https://artifacts.example/app.tar.gz"], "sha256": "0" * 64}) == []


def test_without_a_source_in_s3_nobody_waits_for_its_library(pinned):
    """A process of its own: here others have loaded it."""
    program = (
        "import sys; from ansible_collections.plano.delivery.plugins.action import release; "
        "from ansible_collections.plano.delivery.plugins.plugin_utils import _controller; "
        f"assert _controller.source_faults({pinned!r}) == []; "
        "assert _controller.presigned(['https://a.example/b']) == ['https://a.example/b']; "
        "assert 'boto3' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_a_second_source_makes_up_for_a_missing_first(pinned):
    assert faults({**pinned, "sources": ["file:///nowhere.tar.gz", *pinned["sources"]]}) == []


@pytest.fixture
def signed(pinned, tmp_path):
    """The artifact's catalog entry, signed, and who may sign."""
    for name in ("ana", "eve"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    said = f"component backend\nversion 1.0.0\nsha256 {pinned['sha256']}\n"
    argv = ["ssh-keygen", "-Y", "sign", "-f", tmp_path / "ana", "-n", "artifact@plano.delivery"]
    armored = subprocess.run(argv, input=said, text=True, capture_output=True, check=True).stdout
    return {**pinned, "signature": armored}, "ana@example.com " + (tmp_path / "ana.pub").read_text()


def signature_faults(entry, allowed, required=True, wanted="1.0.0"):
    return _controller.signature_faults("backend", [entry], wanted, allowed, required, {})


def test_a_signature_that_holds_has_no_faults(signed):
    entry, allowed = signed
    assert faults(entry) == signature_faults(entry, allowed) == []
    assert signature_faults({**entry, "signature": None}, "", required=False) == []
    assert signature_faults(entry, allowed, wanted="9.9.9") == []


def test_each_fault_of_a_signature_is_named_before_any_host_is_touched(signed, tmp_path):
    entry, allowed = signed
    others = "eve@example.com " + (tmp_path / "eve.pub").read_text()
    missing = "artifact 1.0.0: signature is missing; it is required here (release_require_signature)"
    assert signature_faults({**entry, "signature": ""}, allowed)[0].startswith(missing)
    assert "but nobody is allowed to sign" in signature_faults(entry, "")[0]
    assert "line 1 of release_allowed_signers holds no public key" in signature_faults(entry, "ana")[0]
    assert "which release_allowed_signers does not permit now" in signature_faults(entry, others, required=False)[0]
    other_bytes = {**entry, "sha256": "0" * 64}
    assert "does not hold for component backend, version 1.0.0" in signature_faults(other_bytes, allowed)[0]
    assert "artifact 1.0.0: signature is no SSH signature" in faults({**entry, "signature": "x"})[0]
    assert faults({**entry, "signature": ["x"]}) == faults({**entry, "signature": "['x']"})


def test_many_hosts_ask_for_one_verdict(signed, monkeypatch):
    entry, allowed = signed
    verdicts = []
    monkeypatch.setattr(_controller, "_verdict", lambda *_arguments: verdicts.append(1) or [])
    seen = {}
    for _host in range(3):
        _controller.signature_faults("backend", [entry], "1.0.0", allowed, True, seen)
    assert len(verdicts) == 1


def test_a_controller_without_ssh_keygen_leaves_the_verdict_to_the_host(signed, monkeypatch, tmp_path):
    entry, allowed = signed
    monkeypatch.setenv("PATH", str(tmp_path))
    assert signature_faults(entry, allowed) == []
    assert "signature is missing" in signature_faults({**entry, "signature": None}, allowed)[0]


def test_many_hosts_pin_at_once_and_none_is_lost(tmp_path):
    path = tmp_path / "group_vars" / "all" / "pins.yml"
    names = [f"component_{number}" for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda name: _controller.update_pins(path, {name: {"version": "1.0"}}), names))
    assert sorted(yaml.safe_load(path.read_text())["plano_pins"]) == sorted(names)
    assert _controller.update_pins(path, {names[0]: {"version": "1.0"}}) is False
    assert _controller.update_pins(path, dict.fromkeys(names)) is True
    assert yaml.safe_load(path.read_text()) == {"plano_pins": {}}


def test_versions_stay_text_in_the_pin_file(tmp_path):
    _controller.update_pins(tmp_path / "pins.yml", {"backend": {"version": "1.10", "instead_of": "2"}})
    assert yaml.safe_load((tmp_path / "pins.yml").read_text())["plano_pins"]["backend"] == {
        "version": "1.10",
        "instead_of": "2",
    }


def test_all_workers_of_a_run_agree_on_its_id():
    assert _controller.run_id() == _controller.run_id()


def test_the_stamp_says_who_why_and_which_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_ACTOR", "ana")
    monkeypatch.setenv("GITHUB_SHA", "abc")
    stamp = _controller.change_stamp({"plano_reason": "it hurts", "plano_change_id": "c-1"}, {})
    assert stamp == {"id": "c-1", "actor": "ana", "reason": "it hurts", "commit": "abc"}


@pytest.mark.parametrize(
    ("pins", "version"),
    [
        ({}, "1.1.0"),
        ({"backend": {"version": "1.0.0", "instead_of": "1.1.0"}}, "1.0.0"),
        ({"backend": {"version": "1.0.0", "instead_of": "1.2.0"}}, "1.1.0"),
    ],
)
def test_the_version_that_a_pin_leads_to_is_the_one_to_check(pins, version):
    assert _controller.pinned(pins, "backend", "1.1.0") == version
