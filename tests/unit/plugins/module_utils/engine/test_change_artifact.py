# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import change
from ansible_collections.plano.delivery.plugins.module_utils.engine.change import Component, Order, Refused
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout

# The schema revision of each version's code, what else it runs on, and what its migration keeps working.
SCHEMAS = {
    "1": {"revision": "0001", "keeps": []},
    "2": {"revision": "0002", "keeps": ["0001"]},
    "3": {"revision": "0003", "keeps": ["0002"]},
}
MIGRATE = {
    "argv": ["@ARTIFACT@/files/app", "migrate"],
    "environment": {"PGHOST": "/run/postgresql", "VERSION": "@VERSION@"},
    "credentials": ["owner_password"],
}


@pytest.fixture
def component(tmp_path, host):
    return Component(Layout("app", tmp_path / "opt", tmp_path / "var", tmp_path / "run"), host)


@pytest.fixture
def artifact(tmp_path):
    def build(version):
        path = tmp_path / f"app-{version}.tar"
        with tarfile.open(path, "w") as out:
            for name, text in (("app", version), ("plano.json", json.dumps({"schema": SCHEMAS[version]}))):
                info = tarfile.TarInfo(name)
                info.size = len(text)
                out.addfile(info, io.BytesIO(text.encode()))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return {"version": version, "sha256": sha256, "sources": [path.as_uri()]}

    return build


@pytest.fixture
def deploy(component, artifact):
    def run(version, keep=5, **changed):
        request = {
            "component": "app",
            "artifact": artifact(version),
            "secrets": {"owner_password": f"secret-{version}"},
            "activation": {"strategy": "none"},
        } | changed
        release = change.describe(request)
        phases = change.stage(component, request, release)
        outcome = change.carry_out(component, Order.new(release["id"], {"id": f"c-{version}"}, keep=keep))
        return {**outcome, "phases": {**phases, **outcome.get("phases", {})}}

    return run


def current(component):
    past = component.ledger().history
    assert os.readlink(component.layout.current) == f"releases/{past.current}"
    return past.versions[past.current]


def rollback(component, to=None):
    target = change.target_of_rollback(component, to)
    return change.carry_out(component, Order.new(target, {"id": "back"}, rollback=True))


# -- artifacts ---------------------------------------------------------------------------------------


def test_an_artifact_is_fetched_once_for_all_releases_of_it(deploy, component):
    assert "fetch" in deploy("1")["phases"]
    assert "fetch" not in deploy("1", files=[{"dest": "app.conf", "content": "new"}])["phases"]
    assert (component.layout.current / "artifact/files/app").read_text() == "1"


def test_a_release_whose_artifact_was_changed_is_not_rolled_back_to(deploy, component, artifact):
    deploy("1")
    deploy("2")
    (component.store.path(artifact("1")["sha256"]) / "files/app").write_text("tampered")
    outcome = rollback(component)
    assert outcome["status"] == "refused"
    assert "is not what was stored (files/app was changed); run the deploy of its version" in outcome["message"]
    assert current(component) == "2"


def test_a_changed_artifact_is_fetched_again_by_the_deploy_of_its_version(deploy, component, artifact):
    deploy("1")
    deploy("2")
    digest = artifact("1")["sha256"]
    (component.store.path(digest) / "files/app").write_text("tampered")
    assert deploy("1")["status"] == "confirmed"
    assert (component.store.verify(digest), current(component)) == ([], "1")


def test_a_current_release_whose_artifact_is_gone_is_no_longer_in_order(deploy, component, artifact):
    deploy("1")
    digest = artifact("1")["sha256"]
    component.store.remove(digest)
    serving = component.described(component.ledger().history.current)
    assert f"artifact {digest} is not in the store" in component.drift(serving)
    assert deploy("1")["status"] in ("confirmed", "unchanged")
    assert component.drift(serving) == []


def test_what_only_the_controller_has_is_asked_for_before_anything_is_removed(deploy, component, artifact):
    local = {**artifact("1"), "local": True}
    with pytest.raises(change.NeedsUpload, match="artifact 1 is not in the store, and only the controller has it"):
        deploy("1", artifact=local)
    uploaded = local["sources"][0][len("file://") :]
    assert deploy("1", artifact={**local, "uploaded": uploaded})["status"] == "confirmed"
    assert deploy("1", artifact=local)["status"] == "unchanged"
    program = component.layout.current / "artifact/files/app"
    program.write_text("tampered")
    with pytest.raises(change.NeedsUpload):
        deploy("1", artifact=local)
    assert program.read_text() == "tampered"
    deploy("1", artifact={**local, "uploaded": uploaded})
    assert program.read_text() == "1"


def test_what_no_release_names_any_more_is_removed(deploy, component, artifact):
    for version in ("1", "2", "3"):
        deploy(version, keep=2)
    assert [name[0] for name in component.releases.names()] == ["2", "3"]
    assert component.store.digests() == sorted(artifact(version)["sha256"] for version in ("2", "3"))
    kept = {component.releases.description(name)["secrets"] for name in component.releases.names()}
    assert {path.name for path in component.layout.secrets.iterdir()} == kept


def test_the_byte_code_of_a_confirmed_release_is_written_in_the_end(deploy, component, host, artifact):
    (component.store.path(artifact("1")["sha256"])).parent.mkdir(parents=True)
    deploy("1")
    venv = component.store.path(artifact("1")["sha256"]) / "venv"
    venv.mkdir()
    deploy("2")
    rollback(component)
    assert host.ran(f"nice {venv}/bin/python -m compileall") == 1


# -- migrations --------------------------------------------------------------------------------------


def migrations(host):
    return [call for call in host.calls if call[0] == "systemd-run" and "--wait" in call]


def test_a_migration_runs_once_from_the_new_release_in_a_sandbox(deploy, component, host, artifact):
    assert deploy("1", migrate=MIGRATE)["status"] == "confirmed"
    (argv,) = migrations(host)
    store = component.store.path(artifact("1")["sha256"])
    assert argv[-2:] == [f"{store}/files/app", "migrate"]
    assert {"--property=DynamicUser=yes", "--property=ProtectSystem=strict", "--wait", "--collect"} <= set(argv)
    assert {"--setenv=PGHOST=/run/postgresql", "--setenv=VERSION=1"} <= set(argv)
    assert component.ledger().history.schema == "0001"


def test_a_migration_gets_its_secrets_as_files_and_never_as_words(deploy, component, host):
    deploy("1", migrate=MIGRATE)
    (argv,) = migrations(host)
    (credential,) = [word for word in argv if word.startswith("--property=LoadCredential=")]
    name, path = credential.split("=", 2)[2].split(":")
    assert name == "owner_password"
    assert Path(path).read_text() == "secret-1"
    assert "secret-1" not in " ".join(argv)
    assert b"secret-1" not in component.layout.ledger.read_bytes()


def test_a_schema_that_is_there_is_not_migrated_again(deploy, host):
    deploy("1", migrate=MIGRATE)
    deploy("1", migrate=MIGRATE, files=[{"dest": "app.conf", "content": "new"}])
    assert len(migrations(host)) == 1
    deploy("2", migrate=MIGRATE)
    assert len(migrations(host)) == 2


def test_a_migration_that_fails_keeps_the_old_code_and_tells_its_words(deploy, component, host):
    deploy("1", migrate=MIGRATE)
    host.refuses("systemd-run --quiet --wait", "permission denied for table items")
    outcome = deploy("2", migrate=MIGRATE)
    assert outcome["status"] == "failed"
    assert "the migration failed and the code was not switched: permission denied for table items" in outcome["message"]
    assert "goes on serving" in outcome["message"]
    assert (current(component), component.ledger().history.schema) == ("1", "0001")


def test_a_migration_without_a_manifest_runs_each_time_and_records_no_schema(component, host):
    request = {"component": "app", "version": "1", "migrate": {"argv": ["migrate"]}, "activation": {"strategy": "none"}}
    for content in ("a", "b"):
        wanted = {**request, "files": [{"dest": "app.conf", "content": content}]}
        release = change.describe(wanted)
        change.stage(component, wanted, release)
        change.carry_out(component, Order.new(release["id"], {"id": content}))
    assert len(migrations(host)) == 2
    assert component.ledger().history.schema is None
    assert rollback(component)["status"] == "confirmed"
    assert len(migrations(host)) == 2


def test_a_rollback_migrates_nothing(deploy, component, host):
    deploy("1", migrate=MIGRATE)
    deploy("2", migrate=MIGRATE)
    assert rollback(component)["status"] == "confirmed"
    assert (len(migrations(host)), current(component), component.ledger().history.schema) == (2, "1", "0002")


def test_a_rollback_to_code_that_cannot_run_on_the_schema_is_refused(deploy, component):
    for version in ("1", "2", "3"):
        deploy(version, migrate=MIGRATE)
    outcome = rollback(component, "1")
    assert outcome["status"] == "refused"
    assert "app 1 cannot serve: the database has schema 0003, this release was made for 0001" in outcome["message"]
    assert current(component) == "3"
    assert rollback(component, "2")["status"] == "confirmed"


def test_a_deploy_that_brings_no_migration_is_refused_on_a_schema_it_cannot_run_on(deploy, component):
    deploy("3", migrate=MIGRATE)
    assert "the database has schema 0003" in deploy("1")["message"]
    assert current(component) == "3"


# -- what is refused in the critical section ---------------------------------------------------------


def test_a_rejected_release_is_refused_also_when_it_was_rejected_after_the_plan(deploy, component):
    deploy("1")
    deploy("2")
    late = Order.new(component.ledger().history.current, {"id": "late"})
    rollback(component)
    outcome = change.carry_out(component, late)
    assert outcome["status"] == "refused"
    assert "is rejected; allow it with -e release_allow_rejected=true" in outcome["message"]
    assert current(component) == "1"


def test_the_change_that_deployed_first_cannot_be_taken_back(deploy, component):
    deploy("1")
    with pytest.raises(Refused, match=r"app was first deployed by change c-1; there is no release before it"):
        change.release_before_change(component, "c-1")


def test_a_release_that_is_not_there_fails_with_its_name(component):
    outcome = change.carry_out(component, Order.new("1-gone", {"id": "c"}))
    assert outcome["status"] == "failed"
    assert "release 1-gone of app cannot be read" in outcome["message"]


def test_tidying_up_that_fails_is_a_warning_and_undoes_nothing(deploy, component, monkeypatch):
    def full(*_):
        raise EngineError("cannot write 'pruned'")

    monkeypatch.setattr(change, "prune", full)
    outcome = deploy("1")
    assert outcome["status"] == "confirmed"
    assert "is confirmed, but tidying up met: cannot write 'pruned'" in outcome["warnings"][0]
    assert current(component) == "1"
