# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role hands to the internal role `service`, by Ansible itself with a `service` that writes it down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

COLLECTION = Path(__file__).resolve().parents[3]
NAMES = [
    "component",
    "version",
    "artifacts",
    "command",
    "environment",
    "unit",
    "files",
    "secrets",
    "web",
    "state",
    "state_files",
    "strategy",
    "validate",
    "health",
    "start_timeout",
    "keep",
]
BOARD = {"uid": "disks", "title": "Disks", "panels": [{"id": 1, "type": "stat", "targets": [{"expr": "up"}]}]}
GOOD: dict[str, Any] = {
    "grafana_version": "12.1.0",
    "grafana_artifacts": [
        {"version": "12.1.0", "sha256": "0" * 64, "sources": ["https://example.com/g.tar.gz"], "strip": 1}
    ],
    "grafana_admin_password": "S3CRET-of-admin",
    "grafana_secret_key": "S3CRET-0123456789",
    "grafana_shipped_dashboards": False,
    "grafana_dashboards": [{"name": "disks.json", "content": BOARD}],
    "monitoring_password": "S3CRET",
    "monitoring_password_salt": "0123456789abcdef",
}


@pytest.fixture
def release(collection):
    return collection.handing_over("grafana", NAMES, GOOD)


def test_the_role_hands_over_a_release_that_proves_itself(release):
    code, said, asked = release()
    assert code == 0, said
    assert "S3CRET" not in said
    files = {file["dest"]: file["content"] for file in asked["files"]}
    assert list(files) == [
        "config/grafana.ini",
        "config/provisioning/datasources/plano.yml",
        "config/provisioning/dashboards/plano.yml",
        "config/provisioning/plugins/plano.yml",
        "config/provisioning/alerting/plano.yml",
        "config/dashboards/plano/disks.json",
        "config/expected.json",
        "config/start.py",
        "config/prove.py",
    ]
    for name in ("start.py", "prove.py"):
        text = (COLLECTION / "roles" / "grafana" / "files" / name).read_text(encoding="utf-8")
        assert files[f"config/{name}"] == text
    assert json.loads(files["config/dashboards/plano/disks.json"]) == BOARD
    assert "root_url = https://mon:3000" in files["config/grafana.ini"]
    assert "S3CRET" not in str(asked["files"])
    assert asked["secrets"] == {"admin_password": "S3CRET-of-admin", "secret_key": "S3CRET-0123456789"}
    words = ["--homepath=@ARTIFACT@/files", "--config=@RELEASE@/config/grafana.ini"]
    assert asked["command"] == ["@ARTIFACT@/files/bin/grafana", "server", *words]
    assert asked["environment"] == {"GF_PATHS_PROVISIONING": "@RELEASE@/config/provisioning"}
    credential = "/run/credentials/plano-grafana.service/admin_password"
    start = f"/usr/bin/python3 -I @RELEASE@/config/start.py @VERSION@ /var/lib/plano-grafana {credential}"
    (provider,) = json.loads(files["config/provisioning/dashboards/plano.yml"].split("\n", 1)[1])["providers"]
    assert provider["options"]["path"] == "/run/plano-grafana/dashboards/plano"
    assert asked["unit"] == [
        "BindReadOnlyPaths=-@RELEASE@/config/dashboards:/run/plano-grafana/dashboards",
        f"ExecStartPre={start} @ARTIFACT@/files/bin/grafana cli {' '.join(words)}",
        "TimeoutStartSec=90",
    ]
    assert asked["validate"] == [["@ARTIFACT@/files/bin/grafana", "--version"]]
    assert asked["state_files"] == [
        f"/var/lib/plano-grafana/{name}"
        for name in ("grafana.db", "grafana.db-wal", "grafana.db-shm", "grafana.db-journal", "plano-version")
    ]
    assert asked["health"][0]["argv"][-5:] == [
        "https://127.0.0.1:3000",
        "/var/lib/plano/tls/ca.crt",
        "@SECRETS@/admin_password",
        "@VERSION@",
        "@RELEASE@/config/expected.json",
    ]
    assert {key: asked[key] for key in ("component", "version", "web", "state", "strategy")} == {
        "component": "grafana",
        "version": "12.1.0",
        "web": True,
        "state": True,
        "strategy": "restart",
    }


def test_the_dashboards_of_the_collection_are_sound_and_those_of_files_are_found(release, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({**BOARD, "uid": "mine"}))
    mine = {"src": str(tmp_path / "mine.json"), "folder": "Team"}
    code, said, asked = release(grafana_shipped_dashboards=True, grafana_dashboards=[mine])
    assert code == 0, said
    shipped = (COLLECTION / "roles" / "grafana" / "files" / "dashboards").glob("*.json")
    found = {file["dest"] for file in asked["files"] if file["dest"].startswith("config/dashboards/")}
    assert found == {"config/dashboards/team/mine.json", *(f"config/dashboards/plano/{path.name}" for path in shipped)}


def test_all_faults_are_told_before_the_host_is_touched_and_no_secret(release, tmp_path):
    (tmp_path / "bad.json").write_text('{\n "uid": "bad",\n}')
    code, said, _asked = release(
        grafana_admin_password="S3CRET",
        grafana_port=0,
        grafana_dashboards=[{"src": str(tmp_path / "bad.json")}, {"src": "/nowhere.json"}],
        # The version that is really released, because a rollback's pin keeps it, is too old.
        plano_pins={"grafana": {"version": "10.4.2", "instead_of": "12.1.0", "change": "c"}},
    )
    assert code != 0
    assert "no host was touched" in said
    assert "grafana_admin_password: it must be one line of 12 characters at least" in said
    assert "grafana_port: it must be a port from 1 to 65535" in said
    assert "bad.json), line 3, column 1: it is no JSON" in said
    assert "grafana_dashboards[1] (/nowhere.json): there is no such file on this controller" in said
    assert "grafana_version: 10.4.2 keeps data sources" in said
    assert "S3CRET" not in said


def test_what_is_missing_or_unknown_is_told(release):
    code, said, _asked = release(
        grafana_secret_key=None,
        grafana_dashboards=[{"content": "{}", "src": "/x"}],
        grafana_data_sources=[{"nam": "x"}],
    )
    assert code != 0
    assert "grafana_secret_key" in said
    assert "grafana_dashboards[0]: it must be a mapping with src, or with name and content" in said
    assert "missing required arguments: name, type, uid, url found in grafana_data_sources" in said
