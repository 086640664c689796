# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is to read, from what the inventory says: its configuration, and what must be true once it runs it.

Pure: a description in, texts out. The description is that of the filter prometheus_plan.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Mapping

try:
    import yaml
except ImportError:
    # Ansible's controller has it, and nobody else calls this.
    yaml = None  # type: ignore[assignment]

FOLDER = "config"
AUTHORITIES = "authorities.crt"
# The series that a Prometheus with this very configuration has, and no other.
DIGEST = "plano:configuration:info"
DURATION = re.compile(r"(?:\d+y)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?(?:\d+ms)?")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
RECORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
PLAIN = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = ("environment", "host", "component", "version", "probe", "job", "instance")
SIZE = re.compile(r"0|[1-9]\d*(?:B|[KMGTPE]B)")
URL = re.compile(r"https?://[^/?\s@]+(?:[/?]\S*)?")
ADDRESS = re.compile(r"[^\s/@]+:\d+")
LAST_PORT = 65535
PROBES = "blackbox"
OWN_RULES = "plano_configuration.yml"
# Of a writer, what its own options say; and, however deep, what must not lie in a release.
OWN_SETTINGS = ("name", "url", "basic_auth")
SECRET_SETTINGS = ("password", "credentials", "bearer_token", "secret_key", "client_secret", "key")


def _is_duration(text: Any) -> bool:
    """Say whether Prometheus takes it for a time to wait, which must not be none."""
    return isinstance(text, str) and DURATION.fullmatch(text) is not None and re.search("[1-9]", text) is not None


def _is_port(port: Any) -> bool:
    return re.fullmatch(r"\d{1,5}", str(port)) is not None and 0 < int(port) <= LAST_PORT


def _label_faults(where: str, labels: Any) -> list[str]:
    return [
        f"{where}: '{label}' is no name of a label, or one that targets have"
        for label in labels or {}
        if not LABEL.fullmatch(str(label)) or str(label).startswith("__") or label in RESERVED
    ]


def _job_faults(where: str, job: Mapping[str, Any], addresses: Mapping[str, str]) -> list[str]:
    faults = []
    if not PLAIN.fullmatch(str(job.get("job") or "")):
        faults.append(f"{where}.job: '{job.get('job')}' must be lower-case letters, digits and underscores")
    for host in job.get("hosts") or []:
        if not job.get("address") and not addresses.get(host):
            faults.append(f"{where}: host {host} has no address; set its ansible_host")
    for port in (job.get("regions") or {"": job.get("port")}).values():
        if job.get("hosts") and not _is_port(port):
            faults.append(f"{where}.port: '{port}' is no port from 1 to {LAST_PORT}")
    if job.get("scheme", "https") not in ("http", "https"):
        faults.append(f"{where}.scheme: '{job['scheme']}' must be http or https")
    if not str(job.get("path") or "/").startswith("/"):
        faults.append(f"{where}.path: '{job['path']}' must begin with /")
    for key in ("scrape_interval", "scrape_timeout"):
        if job.get(key) and not _is_duration(job[key]):
            faults.append(f"{where}.{key}: '{job[key]}' is no duration such as 30s or 1m")
    return faults + _label_faults(f"{where}.labels", job.get("labels"))


def _jobs_faults(description: Mapping[str, Any]) -> list[str]:
    found = []
    names = {PROBES: "the probes"}
    for number, job in enumerate(description.get("jobs") or []):
        where = f"job {job.get('job')}" if job.get("builtin") else f"prometheus_jobs[{number - description['builtin']}]"
        found += _job_faults(where, job, description["addresses"])
        if str(job.get("job")) in names:
            found.append(f"{where}.job: '{job['job']}' is the name of another job too ({names[str(job['job'])]})")
        names[str(job.get("job"))] = where
    return found


def _probes_faults(description: Mapping[str, Any]) -> list[str]:
    found = []
    seen: dict[str, str] = {}
    probes = description.get("probes") or []
    builtin = sum(bool(probe.get("builtin")) for probe in probes)
    for number, probe in enumerate(probes):
        where = f"probe of {probe['host']}" if probe.get("builtin") else f"prometheus_probes[{number - builtin}]"
        if probe.get("module") not in description["modules"]:
            known = ", ".join(sorted(description["modules"]))
            found.append(f"{where}.module: '{probe.get('module')}' is not among exporter_blackbox_modules: {known}")
        if not PLAIN.fullmatch(str(probe.get("probe") or "")):
            found.append(f"{where}.probe: '{probe.get('probe')}' must be lower-case letters, digits and underscores")
        for key in ("host", "url"):
            if not probe.get(key) or re.search(r"\s", str(probe[key])):
                found.append(f"{where}.{key}: '{probe.get(key)}' must be given, without spaces")
        url = str(probe.get("url"))
        if url in seen:
            found.append(f"{where}.url: {url} is probed already ({seen[url]}), and the two could not be told apart")
        seen[url] = where
    return found


def _constants_faults(constants: Any) -> list[str]:
    found = []
    seen: dict[str, str] = {}
    for number, item in enumerate(constants or []):
        where = f"prometheus_constants[{number}]"
        record, value = str(item.get("record") or ""), item.get("value")
        if (
            not RECORD.fullmatch(record)
            or record == DIGEST
            or isinstance(value, bool)
            or not isinstance(value, (int, float))
        ):
            found.append(f"{where}: needs record, a name of a metric, and value, a number")
        labels = item.get("labels") or {}
        for label in labels:
            if not LABEL.fullmatch(str(label)) or str(label).startswith("__"):
                found.append(f"{where}.labels: '{label}' is no name of a label")
        series = json.dumps([record, labels], sort_keys=True)
        if series in seen:
            found.append(f"{where}: has record and labels of {seen[series]}")
        seen[series] = where
    return found


def _secret_settings(settings: Any) -> list[str]:
    """Return the keys, however deep, whose values are secrets."""
    if isinstance(settings, list):
        return [key for item in settings for key in _secret_settings(item)]
    if not isinstance(settings, Mapping):
        return []
    return [key for key in settings if key in SECRET_SETTINGS] + _secret_settings(list(settings.values()))


def _writers_faults(writers: Any) -> list[str]:
    found = []
    names: set[str] = set()
    for number, item in enumerate(writers or []):
        where = f"prometheus_remote_write[{number}]"
        if not PLAIN.fullmatch(str(item.get("name") or "")) or item["name"] in names:
            found.append(f"{where}.name: '{item.get('name')}' must be lower-case letters, digits and _, and its own")
        names.add(str(item.get("name")))
        if not URL.fullmatch(str(item.get("url") or "")):
            # It may hold a password, which nobody is told.
            found.append(f"{where}.url: is no http or https URL without a user in it")
        if bool(item.get("user")) != bool(item.get("password")):
            found.append(f"{where}: user and password are given both or not at all")
        settings = item.get("settings") or {}
        for key in [key for key in OWN_SETTINGS if key in settings]:
            found.append(f"{where}.settings.{key}: is made of name, url, user and password")
        for key in _secret_settings({key: value for key, value in settings.items() if key not in OWN_SETTINGS}):
            found.append(
                f"{where}.settings: '{key}' may be a secret, which must not lie in a release; give user and password"
            )
    return found


def faults(description: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong with *description*, each with where it is."""
    settings = description["settings"]
    found = _jobs_faults(description) + _probes_faults(description)
    found += _label_faults("prometheus_external_labels", description.get("external_labels"))
    for key in ("scrape_interval", "evaluation_interval"):
        if not _is_duration(settings.get(key)):
            found.append(f"prometheus_{key}: '{settings.get(key)}' is no duration such as 15s or 1m")
    by_size = bool(SIZE.fullmatch(str(settings.get("retention_size")))) and settings.get("retention_size") != "0"
    # No time at all leaves it to the size.
    if not (_is_duration(settings.get("retention_time")) or (settings.get("retention_time") == "0s" and by_size)):
        found.append(
            f"prometheus_retention_time: '{settings.get('retention_time')}' is no duration such as 30d, or 0s beside a size"
        )
    if not SIZE.fullmatch(str(settings.get("retention_size"))):
        found.append(
            f"prometheus_retention_size: '{settings.get('retention_size')}' is no size such as 512MB or 50GB, or 0 for any"
        )
    for number, address in enumerate(description.get("alertmanagers") or []):
        if not ADDRESS.fullmatch(str(address)):
            found.append(
                f"prometheus_alertmanagers[{number}]: '{address}' is no address with a port such as 127.0.0.1:9093"
            )
    found += _constants_faults(description.get("constants"))
    found += _writers_faults(description.get("remote_write"))
    missing, double = description.get("missing_rules") or [], description.get("double_rules") or []
    found += [f"prometheus_rules: there is no file {path} on this controller" for path in missing]
    found += [f"prometheus_rules: {path} has the name of another rules file; give it one of its own" for path in double]
    return found + _rule_faults(description.get("rules") or {})


def _rule_faults(rules: Mapping[str, str]) -> list[str]:
    found = []
    for name, text in rules.items():
        if not re.fullmatch(r"[A-Za-z0-9_.-]+\.yml", name):
            found.append(f"rules: the file name '{name}' must end in .yml and have no folder")
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as exc:
            found.append(f"rules file {name}: {' '.join(str(exc).split())}")
            continue
        groups = content.get("groups") if isinstance(content, dict) else None
        if not isinstance(groups, list) or not all(_is_group(group) for group in groups):
            found.append(f"rules file {name}: must have groups, a list, and each of them rules, a list")
    return found


def _is_group(group: Any) -> bool:
    return isinstance(group, dict) and isinstance(group.get("rules") or [], list)


def _access(description: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    if job.get("scheme", "https") == "http":
        return {"scheme": "http"}
    return {
        "scheme": "https",
        "tls_config": {"ca_file": AUTHORITIES},
        "basic_auth": {"username": description["user"], "password_file": description["password_file"]},
    }


def _optional(job: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("scrape_interval", "scrape_timeout", "honor_labels", "params")
    return {key: job[key] for key in keys if job.get(key)}


def _targets(description: Mapping[str, Any], job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the targets of a job: one a host, or one a host and region where each region has a port of its own."""
    found = []
    for host in job.get("hosts") or []:
        version = (job.get("versions") or {}).get(host)
        labels = {
            "environment": description["environment"],
            "host": host,
            "component": job.get("component") or job["job"],
            **({"version": str(version)} if version else {}),
            **(job.get("labels") or {}),
        }
        for region, port in (job.get("regions") or {"": job.get("port")}).items():
            target = _endpoint(job.get("address") or description["addresses"][host], int(port))
            found.append({"targets": [target], "labels": {**labels, **({"region": region} if region else {})}})
    return found


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _scrape(description: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "job_name": job["job"],
        "metrics_path": job.get("path") or "/metrics",
        **_access(description, job),
        **_optional(job),
        "static_configs": _targets(description, job),
    }


def _probes(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the one job of all probes: the exporter is asked, each target is a parameter of the question."""
    probes = description.get("probes") or []
    if not probes:
        return []
    targets = [
        {
            "targets": [probe["url"]],
            "labels": {
                "environment": description["environment"],
                "host": probe["host"],
                "component": probe.get("component") or probe["probe"],
                "probe": probe["probe"],
                "__param_module": probe["module"],
            },
        }
        for probe in probes
    ]
    return [
        {
            "job_name": PROBES,
            "metrics_path": "/probe",
            **_access(description, {}),
            "static_configs": targets,
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": description["blackbox"]},
            ],
        }
    ]


def _remote_write(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for item in description.get("remote_write") or []:
        access = {}
        if item.get("user"):
            password = f"{description['credentials']}/{secret_name(item['name'])}"
            access = {"basic_auth": {"username": item["user"], "password_file": password}}
        found.append({"name": item["name"], "url": item["url"], **access, **(item.get("settings") or {})})
    return found


def secret_name(writer: str) -> str:
    return f"remote_write_{writer}"


def _text(header: str, content: Any) -> str:
    body: str = yaml.safe_dump(content, sort_keys=False, width=160)
    return f"# {header}\n{body}"


def plan(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the files of the configuration and the secrets beside it.

    ``files`` maps a path inside the release to its text: prometheus.yml, the rules, the authorities that are trusted, and
    expected.json, which says what a Prometheus with it must answer. ``rules`` are those of its paths that are rules, ``secrets``
    maps names to values.
    """
    header = "Made from the inventory by plano.delivery; the next deploy writes it anew."
    configuration = {
        "global": {
            "scrape_interval": description["settings"]["scrape_interval"],
            "evaluation_interval": description["settings"]["evaluation_interval"],
            "external_labels": {
                "environment": description["environment"],
                **(description.get("external_labels") or {}),
            },
        },
        "rule_files": ["rules/*.yml"],
        "alerting": {
            "alertmanagers": [
                {**_access(description, {}), "static_configs": [{"targets": description.get("alertmanagers") or []}]}
            ]
        },
        "scrape_configs": [_scrape(description, job) for job in description.get("jobs") or []] + _probes(description),
        **({"remote_write": _remote_write(description)} if description.get("remote_write") else {}),
    }
    files = {
        "prometheus.yml": _text(header, configuration),
        AUTHORITIES: description["authorities"],
        **{f"rules/{name}": text for name, text in sorted((description.get("rules") or {}).items())},
    }
    digest = hashlib.sha256(json.dumps([files, description.get("constants")], sort_keys=True).encode()).hexdigest()
    own = [{"record": DIGEST, "labels": {"digest": digest}, "expr": "vector(1)"}]
    for item in description.get("constants") or []:
        labels = {"environment": description["environment"], **(item.get("labels") or {})}
        own.append({"record": item["record"], "labels": labels, "expr": f"vector({item['value']})"})
    files[f"rules/{OWN_RULES}"] = _text(header, {"groups": [{"name": "plano-configuration", "rules": own}]})
    rules = {name[len("rules/") :]: _count(text) for name, text in files.items() if name.startswith("rules/")}
    expected = {"digest": digest, "rules": rules, "targets": _instances(configuration)}
    files["expected.json"] = json.dumps(expected, indent=1, sort_keys=True) + "\n"
    secrets = {
        secret_name(item["name"]): item["password"]
        for item in description.get("remote_write") or []
        if item.get("password")
    }
    return {
        "files": {f"{FOLDER}/{name}": text for name, text in files.items()},
        "rules": [f"{FOLDER}/rules/{name}" for name in rules],
        "secrets": secrets,
    }


def _instances(configuration: Mapping[str, Any]) -> list[list[str]]:
    """Return job and instance of every target."""
    return [
        [job["job_name"], target]
        for job in configuration["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]


def _count(text: str) -> int:
    """Return the number of rules in a rules file."""
    return sum(len(group.get("rules") or []) for group in yaml.safe_load(text)["groups"])
