# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own gate: what the module does with a request that no preflight has seen."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile

import pytest

from ansible_collections.plano.delivery.plugins.module_utils import _release
from ansible_collections.plano.delivery.plugins.module_utils.engine import bundle, change, cli, signature, status
from ansible_collections.plano.delivery.plugins.module_utils.engine.change import Component
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Done, Host


@pytest.fixture
def component(tmp_path, host, monkeypatch):
    """A component on a host whose ssh-keygen is real and whose critical section runs at once."""
    found = Component(Layout("app", tmp_path / "opt", tmp_path / "var", tmp_path / "run"), host)
    pretended = host.run

    def run(argv, *arguments, **options):
        done = pretended(argv, *arguments, **options)
        return Host.run(host, argv, *arguments, **options) if argv[0] == "ssh-keygen" else done

    monkeypatch.setattr(host, "run", run)
    host.answers["check"] = lambda: Done(["check"], 0, os.readlink(found.layout.current), "")
    monkeypatch.setattr(_release, "Component", lambda _layout: found)
    monkeypatch.setattr(bundle, "install", lambda _host: False)
    monkeypatch.setattr(change, "launch", lambda _component, order: change.carry_out(found, order))
    return found


@pytest.fixture
def keys(tmp_path):
    for name in ("ana", "eve"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    return tmp_path


@pytest.fixture
def deploy(component, keys):
    """Release a version, signed by whom is named; only Ana may sign."""

    def release(version, signed_by=None, required=True, **changed):
        path = keys / f"app-{version}.tar.gz"
        if not path.exists():
            with tarfile.open(path, "w:gz") as out:
                info = tarfile.TarInfo("app.py")
                info.size = 5
                out.addfile(info, io.BytesIO(b"print"))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        artifact = {"version": version, "sha256": sha256, "sources": [path.as_uri()]}
        if signed_by:
            argv = ["ssh-keygen", "-Y", "sign", "-f", keys / signed_by, "-n", signature.NAMESPACE]
            said = signature.statement("app", version, sha256)
            artifact["signature"] = subprocess.check_output(argv, input=said, stderr=subprocess.DEVNULL).decode()
        request = {
            "component": "app",
            "artifact": artifact,
            "allowed_signers": "ana@example.com " + (keys / "ana.pub").read_text(),
            "require_signature": required,
            "activation": {"strategy": "reload", "unit": "app.service", "start_timeout": 0.2},
            "health": [{"type": "command", "argv": ["check"], "stdout": "@ID@"}],
            "change": {"id": f"c-{version}", "actor": "me", "reason": "", "commit": ""},
            "allow_rejected": False,
            "keep": 5,
        } | changed
        return _release.present(request, changed.get("check_mode", False))

    return release


def test_the_ledger_the_history_and_the_status_tell_who_signed(component, deploy, monkeypatch, capsys):
    signer = deploy("1", "ana")["signer"]
    assert signer["principal"] == "ana@example.com"
    entries = component.ledger().entries
    assert [(entry["state"], entry.get("signer")) for entry in entries] == [
        ("staged", signer),
        ("switched", None),
        ("confirmed", None),
    ]
    assert status.report("app", component.host, component.layout)["signer"] == signer
    monkeypatch.setattr(cli, "_component", lambda _name: component)
    assert cli.main(["history", "app"]) == 0
    head, staged, *_rest = capsys.readouterr().out.splitlines()
    assert "SIGNER" in head
    assert staged[head.index("SIGNER") :].startswith("ana@example.com")


@pytest.mark.parametrize(
    ("signed_by", "message"),
    [(None, "signature is missing; it is required here"), ("eve", "which release_allowed_signers does not permit now")],
)
def test_what_is_not_signed_as_it_must_be_is_not_even_fetched(component, deploy, signed_by, message):
    with pytest.raises(EngineError, match=message):
        deploy("1", signed_by)
    with pytest.raises(EngineError, match=message):
        deploy("1", signed_by, check_mode=True)
    assert component.store.digests() == []
    assert component.releases.names() == []
    assert component.ledger().entries == []


def test_what_the_store_has_from_a_laxer_time_is_asked_again(component, deploy):
    assert deploy("1", required=False)["signer"] is None
    assert status.report("app", component.host, component.layout)["signer"] is None
    with pytest.raises(EngineError, match="signature is missing; it is required here"):
        deploy("1")
    with pytest.raises(EngineError, match="does not permit now"):
        deploy("1", "eve")
    again = deploy("1", "ana")
    assert (again["status"], again["changed"], again["signer"]["principal"]) == ("unchanged", False, "ana@example.com")


def test_a_rollback_asks_for_no_signature_and_keeps_who_signed(component, deploy):
    signer = deploy("1", "ana")["signer"]
    deploy("2", "ana")
    asked = component.host.ran("ssh-keygen")
    assert asked == 4
    stamp = {"id": "back", "actor": "me", "reason": "", "commit": ""}
    done = _release.rolled_back({"component": "app", "change": stamp, "allow_rejected": False}, check_mode=False)
    assert done["status"] == "confirmed"
    assert component.host.ran("ssh-keygen") == asked
    assert status.report("app", component.host, component.layout)["signer"] == signer
