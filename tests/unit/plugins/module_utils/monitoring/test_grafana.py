# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
import runpy
from typing import Any

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import request_faults
from ansible_collections.plano.delivery.plugins.module_utils.monitoring.grafana import PUBLIC_KEY, digest, faults, plan
from ansible_collections.plano.delivery.plugins.plugin_utils._grafana import SHIPPED

BOARD: dict[str, Any] = {
    "uid": "disks",
    "title": "Disks",
    "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
    "annotations": {"list": [{"name": "deploys", "datasource": {"type": "grafana", "uid": "-- Grafana --"}}]},
    "panels": [
        {
            "id": 1,
            "type": "row",
            "title": "Row",
            "panels": [
                {
                    "id": 2,
                    "type": "timeseries",
                    "title": "Free",
                    "datasource": {"type": "prometheus", "uid": "${source}"},
                    "targets": [{"refId": "A", "expr": "disk_free", "datasource": {"uid": "prometheus"}}],
                }
            ],
        },
        {"id": 3, "type": "stat", "title": "Up", "targets": [{"refId": "A", "expr": "up"}]},
    ],
}
LOKI: dict[str, Any] = {
    "name": "Logs",
    "uid": "logs",
    "type": "loki",
    "url": "https://logs.example.com",
    "user": "reader",
    "password": "S3CRET-loki",
    "ca": "-----BEGIN CERTIFICATE-----",
    "settings": {"derivedFields": [{"url": "${__value.raw}"}]},
    "secrets": {"httpHeaderValue1": "S3CRET-header"},
}
SOUND: dict[str, Any] = {
    "version": "12.1.0",
    "port": 3000,
    "external_url": "https://mon.example.com:3000",
    "admin_password": "S3CRET-of-admin",
    "secret_key": "S3CRET-0123456789",
    "user": "plano",
    "monitoring_password": "S3CRET-monitoring",
    "prometheus_url": "https://127.0.0.1:9090",
    "alertmanager_url": "https://127.0.0.1:9093",
    "data_sources": [LOKI],
    "dashboards": [{"source": "disks.json", "name": "disks.json", "folder": "", "content": json.dumps(BOARD)}],
    "settings": {"smtp": {"enabled": True, "password": "$__file{/run/credentials/plano-grafana.service/smtp}"}},
    "secrets": {"smtp": "S3CRET-smtp"},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the sound description with another value at a place such as data_sources.0.url."""
    found = copy.deepcopy(SOUND)
    _put(found, path, value)
    return found


def board(path: str, value: Any) -> list[str]:
    """Return the faults of the sound dashboard with another value at a place."""
    content = copy.deepcopy(BOARD)
    _put(content, path, value)
    return faults(changed("dashboards.0.content", json.dumps(content)))


def _put(place: Any, path: str, value: Any) -> None:
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value


def files_of(description: dict[str, Any]) -> dict[str, str]:
    return {item["dest"].removeprefix("config/"): item["content"] for item in plan(description)["files"]}


def read(text: str) -> Any:
    """Return what a provisioning file says: JSON below lines of comment."""
    return json.loads("\n".join(line for line in text.splitlines() if not line.startswith("#")))


def test_a_sound_description_has_no_faults():
    assert faults(SOUND) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("version", "latest", "version: it must be a version such as 12.1.0, is 'latest'"),
        (
            "version",
            "10.4.2",
            "version: 10.4.2 keeps data sources that are no longer provisioned; 11.0.0 is the oldest",
        ),
        ("port", 99999, "port: it must be a port from 1 to 65535, is 99999"),
        ("external_url", "http://mon:3000", "external_url: Grafana answers at https and at no path below it"),
        ("external_url", "https://mon:3000/grafana/", "external_url: Grafana answers at https and at no path below it"),
        ("external_url", "mon:3000", "external_url: it must be a URL such as"),
        ("admin_password", None, "admin_password: it is missing; make up 12 characters or more"),
        ("admin_password", "admin", "admin_password: it must be one line of 12 characters at least"),
        ("admin_password", "eleven-char", "admin_password: it must be one line of 12 characters at least"),
        ("secret_key", "", "secret_key: it is missing; make up 16 characters or more"),
        ("secret_key", PUBLIC_KEY, "secret_key: this is the one of Grafana's own defaults, which everybody knows"),
        ("secret_key", "S3CRET-of-admin", "secret_key: it must be one line of 16 characters"),
        ("admin_password", "S3CRET-0123456789", "secret_key: it is the admin's password too"),
        ("monitoring_password", "a$b", "data_sources: monitoring_password has a $, which Grafana takes for"),
        ("folder", "/", "folder: it must be a title"),
        ("sources", [], "description: unknown key 'sources'"),
        ("prometheus_url", "127.0.0.1:9090", "prometheus_url: it must be a URL such as"),
        ("alertmanager_url", "ftp://x", "alertmanager_url: it must be a URL such as"),
        ("data_sources", {}, "data_sources: it must be a list of mappings"),
        ("data_sources.0", "S3CRET", "data_sources[0]: it must be a mapping"),
        ("data_sources.0.urll", "x", "data_sources[0]: unknown key 'urll'; did you mean url?"),
        ("data_sources.0.url", "logs.example.com", "data_sources[0].url: it must be a URL such as"),
        ("data_sources.0.url", None, "data_sources[0].url: it is missing"),
        ("data_sources.0.uid", "a b", "data_sources[0].uid: it must be letters, digits, - and _"),
        ("data_sources.0.uid", "prometheus", "data_sources: the uid 'prometheus' is there twice"),
        ("data_sources.0.name", "prometheus", "data_sources: the name 'prometheus' is there twice"),
        ("data_sources.0.type", "Loki!", "data_sources[0].type: it must be the id of a plugin"),
        ("data_sources.0.check", "yes", "data_sources[0].check: it must be true or false"),
        ("data_sources.0.password", None, "data_sources[0]: user and password go together"),
        ("data_sources.0.password", "S3$CRET", "data_sources[0].password: Grafana takes a $"),
        ("data_sources.0.secrets", {"x": "S3$CRET"}, "data_sources[0].secrets.x: Grafana takes a $"),
        ("data_sources.0.secrets", ["S3CRET"], "data_sources[0].secrets: it must be a mapping"),
        ("data_sources.0.url", "http://logs.example.com", "data_sources[0].url: a password is not sent without TLS"),
        ("settings", [], "settings: it must be a mapping of sections"),
        ("settings.server", {"http_port": 1}, "settings.server.http_port: it is the role's own"),
        ("settings.auth.anonymous", {"enabled": True}, "settings.auth.anonymous.enabled: it is the role's own"),
        ("settings.smtp.password", "S3CRET", "settings.smtp.password: a secret does not belong into grafana.ini"),
        ("settings.smtp.host", "a\nb", "settings.smtp.host: it must be one line"),
        ("settings.smtp.host", "%(x)s", "settings.smtp.host: it must be one line without %("),
        ("settings.SMTP", {}, "settings: 'SMTP' is no name of a section"),
        ("settings.smtp.Host", "x", "settings.smtp.Host: it is no name of a setting"),
        (
            "secrets",
            {},
            "settings: $__file{/run/credentials/plano-grafana.service/smtp} is named, but grafana_secrets has no",
        ),
        ("secrets.other", "S3CRET", "secrets.other: no setting names $__file{"),
        ("secrets.secret_key", "S3CRET", "secrets.secret_key: the role has one of this name"),
        ("secrets.smtp", "", "secrets.smtp: it must be a text that is not empty"),
        ("secrets", ["S3CRET"], "secrets: it must be a mapping"),
    ],
)
def test_a_fault_says_where_and_what_and_shows_no_secret(path, value, said):
    # Sections of grafana.ini have dots in their names.
    description = changed(path, value) if path != "settings.auth.anonymous" else changed("settings", {path[9:]: value})
    found = faults(description)
    assert [fault for fault in found if fault.startswith((said, f"grafana_{said}"))], found
    assert "S3CRET" not in str(found)
    with pytest.raises(InputError) as refused:
        plan(description)
    assert refused.value.faults == found


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("uid", None, "uid is missing"),
        ("uid", "a b", "uid: it must be letters, digits, - and _"),
        ("title", None, "title is missing"),
        ("panels", None, "panels is missing"),
        ("panels.1.type", None, "panel 'Up': type is missing"),
        ("panels.1.id", 2, "panel id 2 is there twice"),
        ("panels.1.datasource", "promethous", "panel 'Up': there is no data source with uid 'promethous'; did you mean prometheus?"),
        ("panels.1.datasource", {"uid": "x"}, "known: prometheus, alertmanager, logs. Name one of them, or add it to grafana_data"),
        ("panels.1.datasource", {"uid": "logs", "type": "prometheus"}, "panel 'Up': its data source logs is of type loki, not prometheus"),
        ("panels.1.targets.0.datasource", {"uid": "x"}, "panel 'Up', query A: there is no data source with uid 'x'"),
        ("panels.0.panels.0.datasource.uid", "${sauce}", "panel 'Free': its data source is ${sauce}, but there is no variable sauce"),
        ("annotations.list.0.datasource", "x", "annotation deploys: there is no data source with uid 'x'"),
        ("templating.list.0.query", "influxdb", "variable source: there is no data source of type 'influxdb' to choose from"),
        ("dashboard", {}, "it is an answer of Grafana's API"),
        ("__inputs", [], "it was exported for sharing"),
        ("elements", {}, "it is of the new schema (v2)"),
    ],
)  # fmt: skip
def test_a_dashboard_that_would_show_nothing_is_refused(path, value, said):
    found = board(path, value)
    assert len(found) == 1
    assert found[0].startswith("disks.json: ")
    assert said in found[0]


@pytest.mark.parametrize(
    "reference", [None, "prometheus", "Logs", "-- Mixed --", {"uid": "grafana"}, "$source", "[[source]]"]
)
def test_what_grafana_finds_by_itself_is_no_fault(reference):
    content = copy.deepcopy(BOARD)
    content["panels"][1]["datasource"] = reference
    assert faults(changed("dashboards.0.content", json.dumps(content))) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{\n "uid": "a",\n "title": "A" "b"}',
            "disks.json, line 3, column 15: it is no JSON: Expecting ',' delimiter",
        ),
        ('{"a": NaN}', "disks.json: it is no JSON: NaN is no number of JSON"),
        ("[]", "disks.json: it must be an object, is list"),
        (None, "disks.json: there is no such file on this controller"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text, said):
    description = copy.deepcopy(SOUND)
    description["dashboards"][0]["content"] = text
    assert [fault for fault in faults(description) if fault.startswith(said)]


def _paths(value: Any, path: str = "") -> list[str]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [found for key, item in pairs for found in (f"{path}{key}", *_paths(item, f"{path}{key}."))]


@pytest.mark.parametrize("odd", [5, True, "x", [], {}, [5], {"a": [{}]}, [[1]]])
def test_whatever_stands_anywhere_is_a_fault_or_none_but_never_a_crash(odd):
    for path in _paths(BOARD):
        board(path, odd)
    for path in _paths(SOUND):
        if not path.startswith("dashboards"):
            faults(changed(path, odd))


def test_two_dashboards_may_not_have_the_same_uid_title_or_file_nor_two_folders_the_same_place():
    description = copy.deepcopy(SOUND)
    description["dashboards"].append({**description["dashboards"][0], "source": "more.json"})
    assert faults(description) == [
        "more.json: uid 'disks' is that of disks.json too; give each its own",
        "more.json: title in folder Plano 'Disks' is that of disks.json too; give each its own",
        "more.json: file in folder Plano 'disks.json' is that of disks.json too; give each its own",
    ]
    other = json.dumps({**BOARD, "uid": "other"})
    description["dashboards"][1] = {"source": "more.json", "name": "disks.json", "folder": "plano", "content": other}
    assert faults(description) == [
        "more.json: folder 'plano' and 'Plano' are the same but for blanks and capitals; write one of them"
    ]


def test_all_faults_are_told_at_once():
    description = {
        **SOUND,
        "port": 0,
        "admin_password": "x",
        "alertmanager_url": "",
        "settings": {"server": {"protocol": "http"}},
    }
    description["dashboards"] = [{"source": "a.json", "name": "a.json", "content": "{"}]
    assert len(faults(description)) == 5  # smtp's secret has nobody to use it, too


def test_two_defaults_are_one_too_many():
    both = [{**LOKI, "default": True}, {**LOKI, "name": "B", "uid": "b", "default": True}]
    assert faults(changed("data_sources", both)) == ["grafana_data_sources: Logs and B are default, only one can be"]
    sources = read(files_of(changed("data_sources.0.default", True))["provisioning/datasources/plano.yml"])
    assert [item["isDefault"] for item in sources["datasources"]] == [False, False, True]


def test_the_files_make_a_release_and_hold_no_secret():
    made = plan(SOUND)
    assert "S3CRET" not in str(made["files"])
    assert "S3CRET" not in str(made["expected"])
    assert made["secrets"] == {
        "admin_password": "S3CRET-of-admin",
        "secret_key": "S3CRET-0123456789",
        "smtp": "S3CRET-smtp",
        "source-logs-password": "S3CRET-loki",
        "source-logs-httpHeaderValue1": "S3CRET-header",
    }
    request = {
        "component": "grafana",
        "version": "1",
        "files": [*made["files"], {"dest": "config/unit.service", "content": "x"}],
        "secrets": made["secrets"],
        "activation": {"strategy": "restart", "unit": "plano-grafana.service", "unit_file": "config/unit.service"},
        "health": [{"type": "command", "argv": ["true"]}],
    }
    assert request_faults(request) == []
    assert plan(SOUND) == plan(copy.deepcopy(SOUND))


def test_the_settings_let_nobody_in_and_nothing_out():
    lines = files_of({**SOUND, "settings": {"log": {"level": "warn"}, "smtp": {"from_name": "a; b"}}, "secrets": {}})[
        "grafana.ini"
    ]
    section, found = "", {}
    for line in lines.splitlines():
        if line.startswith("["):
            section = line[1:-1]
        elif " = " in line:
            key, _equals, value = line.partition(" = ")
            found[f"{section}.{key}"] = value
    wanted = {
        "server.protocol": "https",
        "server.http_port": "3000",
        "server.domain": "mon.example.com",
        "server.root_url": "https://mon.example.com:3000",
        "server.cert_file": "/run/credentials/plano-grafana.service/server.crt",
        "paths.data": "/var/lib/plano-grafana",
        "security.admin_password": "$__file{/run/credentials/plano-grafana.service/admin_password}",
        "security.secret_key": "$__file{/run/credentials/plano-grafana.service/secret_key}",
        "security.cookie_secure": "true",
        "security.strict_transport_security": "true",
        "security.disable_gravatar": "true",
        "security.disable_brute_force_login_protection": "false",
        "users.allow_sign_up": "false",
        "auth.anonymous.enabled": "false",
        "metrics.basic_auth_username": "plano",
        "analytics.reporting_enabled": "false",
        "analytics.check_for_updates": "false",
        "analytics.check_for_plugin_updates": "false",
        "news.news_feed_enabled": "false",
        "snapshots.external_enabled": "false",
        "plugins.preinstall_disabled": "true",
        "unified_alerting.execute_alerts": "false",
        "log.level": "warn",
        "smtp.from_name": '"""a; b"""',
    }
    assert {key: found.get(key) for key in wanted} == wanted


def test_data_sources_are_reached_with_tls_and_a_password_and_dropped_when_they_are_gone():
    content = read(files_of(SOUND)["provisioning/datasources/plano.yml"])
    assert content["prune"] is True
    prometheus, alertmanager, logs = content["datasources"]
    assert prometheus == {
        "name": "Prometheus",
        "uid": "prometheus",
        "type": "prometheus",
        "url": "https://127.0.0.1:9090",
        "orgId": 1,
        "access": "proxy",
        "isDefault": True,
        "editable": False,
        "basicAuth": True,
        "basicAuthUser": "plano",
        "jsonData": {
            "httpMethod": "POST",
            "timeInterval": "15s",
            "manageAlerts": True,
            "alertmanagerUid": "alertmanager",
            "tlsAuthWithCACert": True,
        },
        "secureJsonData": {
            "basicAuthPassword": "$__file{/run/credentials/plano-grafana.service/monitoring_password}",
            "tlsCACert": "$__file{/var/lib/plano/tls/ca.crt}",
        },
    }
    assert alertmanager["jsonData"]["implementation"] == "prometheus"
    # A dollar of a value would begin a variable; those of the references stay.
    assert logs["jsonData"]["derivedFields"] == [{"url": "$${__value.raw}"}]
    assert logs["secureJsonData"] == {
        "basicAuthPassword": "$__file{/run/credentials/plano-grafana.service/source-logs-password}",
        "httpHeaderValue1": "$__file{/run/credentials/plano-grafana.service/source-logs-httpHeaderValue1}",
        "tlsCACert": "-----BEGIN CERTIFICATE-----",
    }
    assert [source["check"] for source in plan(SOUND)["expected"]["sources"]] == [True, True, False]
    plain = read(files_of({**SOUND, "alertmanager_url": ""})["provisioning/datasources/plano.yml"])["datasources"]
    assert [item["uid"] for item in plain] == ["prometheus", "logs"]
    assert "alertmanagerUid" not in plain[0]["jsonData"]


def test_each_folder_has_a_provider_that_deletes_what_is_gone():
    description = copy.deepcopy(SOUND)
    other = {"source": "b", "name": "b.json", "folder": "Team A", "content": json.dumps({**BOARD, "uid": "b"})}
    description["dashboards"].append(other)
    files = files_of(description)
    assert files["dashboards/plano/disks.json"] == json.dumps(BOARD)
    assert "dashboards/team-a/b.json" in files
    providers = read(files["provisioning/dashboards/plano.yml"])["providers"]
    assert [(item["folder"], item["folderUid"], item["options"]["path"]) for item in providers] == [
        ("Plano", "plano", "/run/plano-grafana/dashboards/plano"),
        ("Team A", "team-a", "/run/plano-grafana/dashboards/team-a"),
    ]
    assert {(item["disableDeletion"], item["allowUiUpdates"]) for item in providers} == {(False, False)}
    expected = json.loads(files["expected.json"])
    assert [(item["uid"], item["title"], item["folder"]) for item in expected["dashboards"]] == [
        ("disks", "Disks", "Plano"),
        ("b", "Disks", "Team A"),
    ]


def test_the_controller_and_the_proof_make_the_same_digest_which_tells_panels_and_queries():
    proof = runpy.run_path(str(SHIPPED.parent / "prove.py"))["digest"]
    assert proof(BOARD) == digest(BOARD)
    assert proof({**BOARD, "id": 7, "version": 3}) == digest(BOARD)
    for path, value in (("panels.0.panels.0.targets.0.expr", "other"), ("panels.1.title", "Down"), ("panels.1", None)):
        content = copy.deepcopy(BOARD)
        _put(content, path, value)
        assert digest(content) == proof(content) != digest(BOARD)
