# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from ansible_collections.plano.delivery.plugins.module_utils.monitoring.prometheus import faults, plan

RULES = yaml.safe_dump({"groups": [{"name": "g", "rules": [{"record": "a:b", "expr": "vector(1)"}]}, {"name": "h"}]})
SOUND: dict[str, Any] = {
    "environment": "dev",
    "external_labels": {"team": "ops", "region": "eu-west-1"},
    "settings": {
        "scrape_interval": "15s",
        "evaluation_interval": "1m30s",
        "retention_time": "30d",
        "retention_size": "0",
    },
    "builtin": 2,
    "jobs": [
        {
            "builtin": True,
            "job": "node",
            "component": "host",
            "hosts": ["app", "db"],
            "port": 9100,
            "honor_labels": True,
        },
        {
            "builtin": True,
            "job": "backend",
            "hosts": ["app"],
            "port": "8080",
            "path": "/metrics",
            "scheme": "http",
            "versions": {"app": "1.2.0", "db": ""},
        },
        {"job": "own", "hosts": ["db"], "port": 9999, "labels": {"tier": "gold"}, "params": {"a": ["b"]}},
    ],
    "addresses": {"app": "192.0.2.2", "db": "2001:db8::3", "new": ""},
    "probes": [
        {
            "builtin": True,
            "probe": "backend",
            "module": "http_2xx",
            "host": "app",
            "url": "http://192.0.2.2:8080/health",
        },
        {"probe": "shop", "component": "edge", "module": "http_2xx", "host": "shop", "url": "https://shop.example/"},
    ],
    "modules": {"http_2xx": {}, "tcp_connect": {}},
    "blackbox": "127.0.0.1:9115",
    "rules": {"own.yml": RULES},
    "constants": [{"record": "plano_limit", "value": 100, "labels": {"host": "db"}}],
    "alertmanagers": ["127.0.0.1:9093"],
    "remote_write": [
        {
            "name": "central",
            "url": "https://metrics.example/api/v1/push",
            "user": "dev",
            "password": "S3CRET",
            "settings": {"queue_config": {"max_shards": 5}, "headers": {"X-Scope-OrgID": "1"}},
        },
        {"name": "near", "url": "http://192.0.2.9:9090/api/v1/write"},
    ],
    "authorities": "CERTIFICATES\n",
    "user": "plano",
    "credentials": "/run/credentials/plano-prometheus.service",
    "password_file": "/run/credentials/plano-prometheus.service/monitoring_password",
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the sound description with another value at a place such as jobs.0.port."""
    found = copy.deepcopy(SOUND)
    place: Any = found
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        place = place[step]
    if isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return found


def test_a_sound_description_has_no_faults():
    assert faults(SOUND) == []


PROBE = SOUND["probes"][1]
WRITER = SOUND["remote_write"][1]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("jobs.2.job", "Own", "prometheus_jobs[0].job: 'Own' must be lower-case letters"),
        ("jobs.2.job", None, "prometheus_jobs[0].job: 'None' must be lower-case letters"),
        ("jobs.2.job", "node", "prometheus_jobs[0].job: 'node' is the name of another job too (job node)"),
        ("jobs.2.job", "blackbox", "prometheus_jobs[0].job: 'blackbox' is the name of another job too (the probes)"),
        (
            "jobs.3",
            {"job": "own", "hosts": []},
            "prometheus_jobs[1].job: 'own' is the name of another job too (prometheus_jobs[0])",
        ),
        ("jobs.2.hosts", ["db", "new"], "prometheus_jobs[0]: host new has no address; set its ansible_host"),
        ("jobs.0.hosts", ["elsewhere"], "job node: host elsewhere has no address"),
        ("jobs.2.port", None, "prometheus_jobs[0].port: 'None' is no port from 1 to 65535"),
        ("jobs.2.port", 0, "prometheus_jobs[0].port: '0' is no port"),
        ("jobs.2.port", 65536, "prometheus_jobs[0].port: '65536' is no port"),
        ("jobs.2.port", "9 9", "prometheus_jobs[0].port: '9 9' is no port"),
        ("jobs.2.regions", {"eu-west-1": "x"}, "prometheus_jobs[0].port: 'x' is no port"),
        ("jobs.2.scheme", "ftp", "prometheus_jobs[0].scheme: 'ftp' must be http or https"),
        ("jobs.2.path", "metrics", "prometheus_jobs[0].path: 'metrics' must begin with /"),
        ("jobs.2.scrape_interval", "often", "prometheus_jobs[0].scrape_interval: 'often' is no duration"),
        ("jobs.2.scrape_timeout", "1s1m", "prometheus_jobs[0].scrape_timeout: '1s1m' is no duration"),
        ("jobs.2.scrape_timeout", "0s", "prometheus_jobs[0].scrape_timeout: '0s' is no duration"),
        ("jobs.2.labels", {"a-b": "c"}, "prometheus_jobs[0].labels: 'a-b' is no name of a label"),
        ("jobs.2.labels", {"__address__": "c"}, "prometheus_jobs[0].labels: '__address__' is no name of a label"),
        (
            "jobs.2.labels",
            {"host": "c"},
            "prometheus_jobs[0].labels: 'host' is no name of a label, or one that targets",
        ),
        (
            "probes.0.module",
            "http",
            "probe of app.module: 'http' is not among exporter_blackbox_modules: http_2xx, tcp",
        ),
        ("probes.1.module", None, "prometheus_probes[0].module: 'None' is not among"),
        ("probes.1.probe", "the shop", "prometheus_probes[0].probe: 'the shop' must be lower-case letters"),
        ("probes.1.host", "", "prometheus_probes[0].host: '' must be given, without spaces"),
        ("probes.1.url", "https://a b/", "prometheus_probes[0].url: 'https://a b/' must be given, without spaces"),
        (
            "probes.2",
            {**PROBE, "module": "tcp_connect"},
            "prometheus_probes[1].url: https://shop.example/ is probed already (prometheus_probes[0])",
        ),
        ("external_labels", {"host": "a"}, "prometheus_external_labels: 'host' is no name of a label, or one that"),
        ("external_labels", {"1a": "a"}, "prometheus_external_labels: '1a' is no name of a label"),
        ("settings.scrape_interval", "0s", "prometheus_scrape_interval: '0s' is no duration such as 15s or 1m"),
        ("settings.scrape_interval", 15, "prometheus_scrape_interval: '15' is no duration"),
        ("settings.evaluation_interval", "", "prometheus_evaluation_interval: '' is no duration"),
        ("settings.retention_time", "30 days", "prometheus_retention_time: '30 days' is no duration such as 30d"),
        (
            "settings.retention_time",
            "0s",
            "prometheus_retention_time: '0s' is no duration such as 30d, or 0s beside a size",
        ),
        ("settings.retention_size", "50G", "prometheus_retention_size: '50G' is no size such as 512MB or 50GB"),
        ("settings.retention_size", "0GB", "prometheus_retention_size: '0GB' is no size"),
        ("alertmanagers.1", "mon", "prometheus_alertmanagers[1]: 'mon' is no address with a port"),
        ("alertmanagers.0", "https://mon:9093", "prometheus_alertmanagers[0]: 'https://mon:9093' is no address"),
        ("constants.0.record", "a-b", "prometheus_constants[0]: needs record, a name of a metric, and value, a number"),
        ("constants.0.record", "plano:configuration:info", "prometheus_constants[0]: needs record"),
        ("constants.0.value", "100", "prometheus_constants[0]: needs record"),
        ("constants.0.value", True, "prometheus_constants[0]: needs record"),
        ("constants.0.labels", {"a-b": "c"}, "prometheus_constants[0].labels: 'a-b' is no name of a label"),
        (
            "constants.1",
            {**SOUND["constants"][0], "value": 1},
            "prometheus_constants[1]: has record and labels of prometheus_constants[0]",
        ),
        ("remote_write.1.name", "Near", "prometheus_remote_write[1].name: 'Near' must be lower-case letters"),
        (
            "remote_write.1.name",
            "central",
            "prometheus_remote_write[1].name: 'central' must be lower-case letters, digits and _, and its own",
        ),
        ("remote_write.1.name", "../x", "prometheus_remote_write[1].name: '../x' must be"),
        ("remote_write.1.url", "metrics.example", "prometheus_remote_write[1].url: is no http or https URL"),
        (
            "remote_write.1.url",
            "https://u:S3CRET@metrics.example/",
            "prometheus_remote_write[1].url: is no http or https URL without a user",
        ),
        ("remote_write.1.user", "u", "prometheus_remote_write[1]: user and password are given both or not at all"),
        (
            "remote_write.1.password",
            "S3CRET",
            "prometheus_remote_write[1]: user and password are given both or not at all",
        ),
        (
            "remote_write.1.settings",
            {"basic_auth": {"password": "S3CRET"}},
            "prometheus_remote_write[1].settings.basic_auth: is made of name, url",
        ),
        ("remote_write.1.settings", {"url": "x"}, "prometheus_remote_write[1].settings.url: is made of"),
        (
            "remote_write.1.settings",
            {"authorization": {"credentials": "S3CRET"}},
            "prometheus_remote_write[1].settings: 'credentials' may be a secret",
        ),
        (
            "remote_write.1.settings",
            {"a": [{"bearer_token": "S3CRET"}]},
            "prometheus_remote_write[1].settings: 'bearer_token' may be a secret",
        ),
        ("missing_rules", ["/a/b.yml"], "prometheus_rules: there is no file /a/b.yml on this controller"),
        ("double_rules", ["/a/backend.yml"], "prometheus_rules: /a/backend.yml has the name of another rules file"),
        ("rules", {"own.yaml": RULES}, "rules: the file name 'own.yaml' must end in .yml"),
        ("rules", {"own.yml": "a: [\n"}, "rules file own.yml: while parsing a flow"),
        ("rules", {"own.yml": "[]"}, "rules file own.yml: must have groups, a list"),
        ("rules", {"own.yml": "groups: {}"}, "rules file own.yml: must have groups, a list"),
        ("rules", {"own.yml": "groups: [a]"}, "rules file own.yml: must have groups, a list"),
        (
            "rules",
            {"own.yml": "groups: [{rules: 5}]"},
            "rules file own.yml: must have groups, a list, and each of them rules",
        ),
    ],
)
def test_a_fault_is_told_with_its_place_and_without_a_secret(path, value, said):
    found = faults(changed(path, value))
    assert len(found) == 1, found
    assert found[0].startswith(said)
    assert "S3CRET" not in found[0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("jobs.2.job", "own_2"),
        ("jobs.2.hosts", []),
        ("jobs.2.port", 65535),
        ("jobs.2.port", "1"),
        ("jobs.2.regions", {"eu-west-1": 9106, "us-east-1": 9107}),
        ("jobs.2.path", "/"),
        ("jobs.2.scrape_interval", "1h30m"),
        ("jobs.2.scrape_timeout", "500ms"),
        ("jobs.2.labels", {"_a": "b", "tier": "1"}),
        ("jobs.2.labels", None),
        ("jobs.3", {"job": "nobody", "hosts": []}),
        ("probes.1.module", "tcp_connect"),
        ("probes.1.url", "shop.example:443"),
        ("probes.2", {**PROBE, "url": "https://shop.example/#tcp"}),
        ("external_labels", {}),
        ("settings.retention_time", "1y2w"),
        ("settings.retention_size", "512MB"),
        ("settings", {**SOUND["settings"], "retention_time": "0s", "retention_size": "50GB"}),
        ("alertmanagers", []),
        ("alertmanagers.1", "[2001:db8::1]:9093"),
        ("constants.0.value", -0.5),
        ("constants.1", {**SOUND["constants"][0], "labels": {"host": "app"}}),
        ("remote_write.1.settings", {"tls_config": {"key_file": "/a", "ca_file": "/b"}, "sigv4": {"region": "r"}}),
        ("remote_write.1.url", "https://metrics.example?tenant=a@b"),
        ("rules", {"own.yml": "groups: []"}),
    ],
)
def test_a_near_miss_is_no_fault(path, value):
    description = changed(path, value)
    assert faults(description) == []
    assert plan(description)["files"]


def test_every_fault_is_told_at_once():
    description = {**changed("jobs.2.port", 0), "constants": [{}], "missing_rules": ["/a"]}
    assert len(faults(description)) == 3


# -- the plan ------------------------------------------------------------------------------------------------------


@pytest.fixture
def files() -> dict[str, str]:
    return {name.removeprefix("config/"): text for name, text in plan(SOUND)["files"].items()}


@pytest.fixture
def configuration(files) -> dict[str, Any]:
    return yaml.safe_load(files["prometheus.yml"])


def test_the_files_are_the_configuration_and_what_it_reads(files):
    assert list(files) == [
        "prometheus.yml",
        "authorities.crt",
        "rules/own.yml",
        "rules/plano_configuration.yml",
        "expected.json",
    ]
    assert files["rules/own.yml"] == RULES
    assert files["authorities.crt"] == "CERTIFICATES\n"
    assert plan(SOUND)["rules"] == ["config/rules/own.yml", "config/rules/plano_configuration.yml"]


def test_targets_say_environment_host_component_and_version(configuration):
    node, backend, own, _probes = configuration["scrape_configs"]
    base = {"environment": "dev", "component": "host"}
    assert node["static_configs"] == [
        {"targets": ["192.0.2.2:9100"], "labels": {**base, "host": "app"}},
        {"targets": ["[2001:db8::3]:9100"], "labels": {**base, "host": "db"}},
    ]
    assert node["honor_labels"] is True
    assert "honor_labels" not in backend
    assert backend["static_configs"][0]["labels"] == {
        "environment": "dev",
        "host": "app",
        "component": "backend",
        "version": "1.2.0",
    }
    assert own["static_configs"][0]["labels"]["tier"] == "gold"
    assert own["params"] == {"a": ["b"]}


def test_every_https_target_is_checked_and_asked_with_the_password(configuration):
    node, backend, _own, probes = configuration["scrape_configs"]
    access = {
        "scheme": "https",
        "tls_config": {"ca_file": "authorities.crt"},
        "basic_auth": {"username": "plano", "password_file": SOUND["password_file"]},
    }
    for asked in (node, probes, *configuration["alerting"]["alertmanagers"]):
        assert {key: asked[key] for key in access} == access
    assert backend["scheme"] == "http"
    assert not {"tls_config", "basic_auth"} & set(backend)


def test_a_probe_is_a_question_to_the_blackbox_exporter(configuration):
    job = configuration["scrape_configs"][-1]
    assert (job["job_name"], job["metrics_path"]) == ("blackbox", "/probe")
    assert [each["targets"] for each in job["static_configs"]] == [[probe["url"]] for probe in SOUND["probes"]]
    assert [each["labels"]["component"] for each in job["static_configs"]] == ["backend", "edge"]
    assert job["static_configs"][1]["labels"]["__param_module"] == "http_2xx"
    assert job["relabel_configs"][-1] == {"target_label": "__address__", "replacement": "127.0.0.1:9115"}


def test_what_the_inventory_does_not_name_is_not_there():
    """There is nothing to prune: the files are made whole each time."""
    fewer = {**SOUND, "jobs": SOUND["jobs"][:1], "probes": [], "rules": {}, "constants": [], "remote_write": []}
    files = plan({**fewer, "builtin": 1})["files"]
    configuration = yaml.safe_load(files["config/prometheus.yml"])
    assert [job["job_name"] for job in configuration["scrape_configs"]] == ["node"]
    assert "remote_write" not in configuration
    assert "config/rules/own.yml" not in files
    assert json.loads(files["config/expected.json"])["targets"] == [
        ["node", "192.0.2.2:9100"],
        ["node", "[2001:db8::3]:9100"],
    ]


def test_regions_have_a_target_and_a_label_each():
    jobs = [{"builtin": True, "job": "cloudwatch", "hosts": ["app"], "regions": {"eu-west-1": 9106, "us-east-1": 9107}}]
    configuration = yaml.safe_load(plan({**SOUND, "jobs": jobs})["files"]["config/prometheus.yml"])
    assert [
        (each["targets"], each["labels"]["region"]) for each in configuration["scrape_configs"][0]["static_configs"]
    ] == [
        (["192.0.2.2:9106"], "eu-west-1"),
        (["192.0.2.2:9107"], "us-east-1"),
    ]


def test_constants_are_rules_with_their_value(files):
    (group,) = yaml.safe_load(files["rules/plano_configuration.yml"])["groups"]
    assert group["rules"][1:] == [
        {"record": "plano_limit", "labels": {"environment": "dev", "host": "db"}, "expr": "vector(100)"}
    ]


def test_the_proof_expects_digest_rules_and_targets(files):
    expected = json.loads(files["expected.json"])
    (group,) = yaml.safe_load(files["rules/plano_configuration.yml"])["groups"]
    assert group["rules"][0]["labels"] == {"digest": expected["digest"]}
    assert expected["rules"] == {"own.yml": 1, "plano_configuration.yml": 2}
    assert ["blackbox", "https://shop.example/"] in expected["targets"]
    assert len(expected["targets"]) == 6


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("constants.0.value", 101),
        ("settings.scrape_interval", "16s"),
        ("rules", {"own.yml": RULES + "\n"}),
        ("authorities", "OTHERS\n"),
        ("probes.1.url", "https://shop.example/a"),
    ],
)
def test_any_other_configuration_has_another_digest(path, value):
    def digest(description: dict[str, Any]) -> str:
        return str(json.loads(plan(description)["files"]["config/expected.json"])["digest"])

    assert digest(changed(path, value)) != digest(SOUND)
    assert digest(copy.deepcopy(SOUND)) == digest(SOUND)


def test_the_passwords_of_writers_are_secrets_and_nowhere_else(configuration):
    found = plan(SOUND)
    assert found["secrets"] == {"remote_write_central": "S3CRET"}
    assert "S3CRET" not in json.dumps(found["files"])
    central, near = configuration["remote_write"]
    assert central == {
        "name": "central",
        "url": "https://metrics.example/api/v1/push",
        "basic_auth": {
            "username": "dev",
            "password_file": "/run/credentials/plano-prometheus.service/remote_write_central",
        },
        "queue_config": {"max_shards": 5},
        "headers": {"X-Scope-OrgID": "1"},
    }
    assert near == {"name": "near", "url": "http://192.0.2.9:9090/api/v1/write"}


def test_the_environment_is_on_everything_that_leaves(configuration):
    assert configuration["global"]["external_labels"] == {"environment": "dev", "team": "ops", "region": "eu-west-1"}
