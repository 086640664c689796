# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the inventory says: Grafana's settings, its data sources and dashboards, its secrets, and what it must answer then.

No secret is part of a file. Each is a credential that systemd hands to the process, and the files name the file it is in.
Files are in JSON, which is YAML too and leaves no text to be taken for something else.

Grafana skips a dashboard that it cannot read and says so in its log only; a panel whose data source does not exist is empty. So
both are found here, before any host is touched.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Collection, Iterator, Mapping, NamedTuple, Sequence
from urllib.parse import urlsplit

from ..aws.cloudwatch_rules import nearest, repeated, shown, unknown
from ..engine.errors import InputError
from .alertmanager import FLAG, LINE, PORT, SECRET, TEXT, URL, Kind

CREDENTIALS = "/run/credentials/plano-grafana.service"
AUTHORITY = "/var/lib/plano/tls/ca.crt"
STATE = "/var/lib/plano-grafana"
# Where the unit shows the process the dashboards of the release that it runs. Grafana knows them by the paths of their files: with another
# path in each release it would delete all and make them anew, without what people starred and without their history.
DASHBOARDS = "/run/plano-grafana/dashboards"
FOLDER = "config"
HEADER = "Written by the role plano.delivery.grafana: what is changed here is gone with the next release."

# The oldest version that drops data sources which are no longer provisioned.
OLDEST = (11, 0, 0)
# The key that Grafana's own defaults have, the same everywhere.
PUBLIC_KEY = "SW2YcwTIb9zpOOhoPsMm"
PASSWORD_LENGTH = 12
KEY_LENGTH = 16

DEFAULTS: Mapping[str, Any] = {
    "version": None,
    "port": 3000,
    "external_url": None,
    "admin_password": None,
    "secret_key": None,
    "user": None,
    "monitoring_password": None,
    "prometheus_url": None,
    "alertmanager_url": "",
    "scrape_interval": "15s",
    "data_sources": [],
    "folder": "Plano",
    # Each with name, content and where it is from; source says how a message calls it.
    "dashboards": [],
    "settings": {},
    "secrets": {},
}


def _of(pattern: str) -> Any:
    known = re.compile(pattern)
    return lambda value: isinstance(value, str) and known.fullmatch(value) is not None


UID = Kind("letters, digits, - and _, 40 of them at most", _of("[A-Za-z0-9_-]{1,40}"))
KIND = Kind("the id of a plugin such as prometheus", _of("[a-z0-9][a-z0-9-]*"))
FILE = Kind("the name of a file that ends in .json", _of(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,80}\.json"))
TITLE = Kind(
    "a title of letters, digits, blanks and . _ - that begins with a letter or digit, 40 at most",
    _of("[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}"),
)
MAPPING = Kind("a mapping", lambda value: isinstance(value, Mapping))
SECRET_NAME = Kind("letters, digits and . _ -, 40 at most", _of("[A-Za-z0-9][A-Za-z0-9._-]{0,39}"))

SOURCE_KEYS: Mapping[str, Kind] = {
    "name": LINE,
    "uid": UID,
    "type": KIND,
    "url": URL,
    "user": LINE,
    "password": SECRET,
    "ca": TEXT,
    "default": FLAG,
    "settings": MAPPING,
    "secrets": MAPPING,
    "check": FLAG,
}
SOURCE_NEEDS = ("name", "uid", "type", "url")
# Of these Grafana itself can be asked whether they answer.
CHECKED = ("prometheus", "alertmanager")
# What is always there beside the data sources of the inventory.
INTERNAL = ("grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --")

# Names of credentials that are taken.
TAKEN = ("admin_password", "secret_key", "monitoring_password", "web.yml", "server.crt", "server.key")
_SECRET_KEY = re.compile(r"password|secret|token|private|(^|_)key$")
_CREDENTIAL = re.compile(r"\$__file\{" + re.escape(CREDENTIALS) + r"/([^}]*)\}")
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]")


def credential(name: str) -> str:
    """Return what stands in a file for the credential *name*."""
    return f"$__file{{{CREDENTIALS}/{name}}}"


# -- settings ------------------------------------------------------------------------------------------------------


def fixed(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings that are the role's own, by section: how it is reached, where its data are, who may come in."""
    return {
        "server": {
            "protocol": "https",
            "http_addr": "",
            "http_port": given["port"],
            "domain": urlsplit(str(given["external_url"])).hostname or "",
            "root_url": given["external_url"],
            "cert_file": f"{CREDENTIALS}/server.crt",
            "cert_key": f"{CREDENTIALS}/server.key",
            "min_tls_version": "TLS1.2",
        },
        "paths": {"data": STATE, "logs": f"{STATE}/log", "plugins": f"{STATE}/plugins"},
        "database": {"type": "sqlite3", "path": "grafana.db"},
        "security": {
            "admin_user": "admin",
            "admin_password": credential("admin_password"),
            "secret_key": credential("secret_key"),
            "cookie_secure": True,
            "strict_transport_security": True,
            "x_content_type_options": True,
            "disable_gravatar": True,
            "disable_brute_force_login_protection": False,
        },
        "users": {"allow_sign_up": False, "allow_org_create": False},
        "auth.anonymous": {"enabled": False},
        # The proof logs in this way.
        "auth.basic": {"enabled": True},
        "metrics": {
            "enabled": True,
            "basic_auth_username": given["user"],
            "basic_auth_password": credential("monitoring_password"),
        },
    }


# What an inventory may set otherwise.
PREFERRED: Mapping[str, Mapping[str, Any]] = {
    "security": {"cookie_samesite": "lax", "allow_embedding": False},
    "analytics": {
        "reporting_enabled": False,
        "check_for_updates": False,
        "check_for_plugin_updates": False,
        "feedback_links_enabled": False,
    },
    "news": {"news_feed_enabled": False},
    "snapshots": {"external_enabled": False},
    "plugins": {"plugin_admin_enabled": False, "preinstall_disabled": True},
    # Alerts are rules of Prometheus, which are tested; Grafana shows them and has none of its own.
    "unified_alerting": {"enabled": True, "execute_alerts": False},
    "log": {"mode": "console", "level": "info"},
}


def _settings(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for part in (fixed(given), PREFERRED, given["settings"]):
        for section, pairs in part.items():
            found.setdefault(section, {}).update(pairs)
    return found


def _ini(settings: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"# {HEADER}"]
    for section, pairs in settings.items():
        lines += ["", f"[{section}]", *(f"{key} = {_ini_value(value)}" for key, value in pairs.items())]
    return "\n".join(lines) + "\n"


def _ini_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f'"""{text}"""' if re.search("[;#`\"']", text) or text != text.strip() else text


def _setting_faults(given: Mapping[str, Any]) -> Iterator[str]:
    settings = given["settings"]
    if not isinstance(settings, Mapping) or not all(isinstance(pairs, Mapping) for pairs in settings.values()):
        yield "settings: it must be a mapping of sections of grafana.ini, each a mapping of keys to values"
        return
    own = fixed(given)
    for section, pairs in settings.items():
        if not re.fullmatch("[a-z][a-z0-9_.]*", section):
            yield f"settings: {shown(section)} is no name of a section such as smtp or auth.generic_oauth"
        for key, value in pairs.items():
            where = f"settings.{section}.{key}"
            if not re.fullmatch("[a-z0-9_]+", key):
                yield f"{where}: it is no name of a setting, which has lower-case letters, digits and _"
            if key in own.get(section, {}):
                yield f"{where}: it is the role's own, its other inputs decide it; take it away"
            elif _SECRET_KEY.search(key) and value and not str(value).startswith("$__"):
                yield f"{where}: a secret does not belong into grafana.ini; put it into grafana_secrets and write {credential('NAME')} here"
            elif isinstance(value, (Mapping, list)) or re.search('[\r\n]|%\\(|"""', str(value)):
                yield f"{where}: it must be one line without %( and three quotes"


def _secret_faults(given: Mapping[str, Any]) -> Iterator[str]:
    secrets, settings = given["secrets"], given["settings"]
    if not isinstance(secrets, Mapping):
        yield "secrets: it must be a mapping of names to values"
        return
    for name, value in secrets.items():
        if name in TAKEN or name.startswith("source-"):
            yield f"secrets.{name}: the role has one of this name; take another"
        yield from _must(f"secrets.{name}", name, SECRET_NAME)
        if not TEXT.holds(value):
            yield f"secrets.{name}: it must be {TEXT.words}"
    named = set(_CREDENTIAL.findall(str(settings)))
    yield from (f"secrets.{name}: no setting names {credential(name)}" for name in secrets if name not in named)
    for name in sorted(named - set(secrets) - set(TAKEN)):
        yield f"settings: {credential(name)} is named, but grafana_secrets has no {name}{nearest(name, secrets)}"


# -- data sources --------------------------------------------------------------------------------------------------


def sources(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all data sources as the inventory would describe them: those of this host first."""
    own = [dict(item) for item in given["data_sources"] if isinstance(item, Mapping)]
    access = {"user": given["user"], "local": True}
    prometheus = {
        "name": "Prometheus",
        "uid": "prometheus",
        "type": "prometheus",
        "url": given["prometheus_url"],
        **access,
        "default": not any(item.get("default") for item in own),
        "settings": {"httpMethod": "POST", "timeInterval": given["scrape_interval"], "manageAlerts": True},
    }
    if not given["alertmanager_url"]:
        return [prometheus, *own]
    prometheus["settings"]["alertmanagerUid"] = "alertmanager"
    alertmanager = {
        "name": "Alertmanager",
        "uid": "alertmanager",
        "type": "alertmanager",
        "url": given["alertmanager_url"],
        **access,
        "settings": {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
    }
    return [prometheus, alertmanager, *own]


def _source_faults(given: Mapping[str, Any]) -> Iterator[str]:
    for name in ("prometheus_url", "alertmanager_url"):
        if name == "prometheus_url" or given[name]:
            yield from _must(name, given[name], URL)
    where = "data_sources"
    if not isinstance(given[where], (list, tuple)):
        yield f"{where}: it must be a list of mappings"
        return
    for number, item in enumerate(given[where]):
        place = f"{where}[{number}]"
        if not isinstance(item, Mapping):
            yield f"{place}: it must be a mapping"
            continue
        yield from (f"{place}: {fault}" for fault in unknown(item, tuple(SOURCE_KEYS)))
        yield from (f"{place}.{key}: it is missing" for key in SOURCE_NEEDS if item.get(key) is None)
        for key, value in item.items():
            if key in SOURCE_KEYS and value is not None:
                yield from _must(f"{place}.{key}", value, SOURCE_KEYS[key], secret=key in ("password", "secrets"))
        yield from _access_faults(place, item)
    found = sources(given)
    for key in ("name", "uid"):
        for value in dict.fromkeys(repeated(str(item[key]).lower() for item in found if item.get(key))):
            yield f"{where}: the {key} {shown(value)} is there twice (Prometheus and Alertmanager of this host are there already)"
    defaults = [str(item.get("name")) for item in found if item.get("default") is True]
    if len(defaults) > 1:
        yield f"{where}: {' and '.join(defaults)} are default, only one can be"


def _access_faults(where: str, item: Mapping[str, Any]) -> Iterator[str]:
    if ("user" in item) != ("password" in item):
        yield f"{where}: user and password go together, one is missing"
    url = urlsplit(str(item.get("url")))
    if "password" in item and url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield f"{where}.url: a password is not sent without TLS; make it https, or take user and password away"
    secrets = item.get("secrets")
    pairs = {**(secrets if isinstance(secrets, Mapping) else {}), "password": item.get("password") or ""}
    for name, value in pairs.items():
        place = f"{where}.password" if name == "password" else f"{where}.secrets.{name}"
        yield from _must(place, name, SECRET_NAME)
        # Grafana replaces variables in what it read from the file once more.
        if "$" in str(value):
            yield f"{place}: Grafana takes a $ in a data source's secret for the begin of a variable; choose one without"


def _sources_file(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": 1, "prune": True, "datasources": [_source(item) for item in sources(given)]}


def _source(item: Mapping[str, Any]) -> dict[str, Any]:
    settings, secrets = _literal(item.get("settings") or {}), {}
    for name in _secrets_of(item):
        key = "basicAuthPassword" if name == "password" else name
        secrets[key] = credential("monitoring_password" if item.get("local") else f"source-{item['uid']}-{name}")
    authority = f"$__file{{{AUTHORITY}}}" if item.get("local") else _literal(item.get("ca") or "")
    if authority and str(item["url"]).startswith("https:"):
        settings, secrets = {**settings, "tlsAuthWithCACert": True}, {**secrets, "tlsCACert": authority}
    return {
        **{key: _literal(item[key]) for key in ("name", "uid", "type", "url")},
        "orgId": 1,
        "access": "proxy",
        "isDefault": bool(item.get("default")),
        "editable": False,
        **({"basicAuth": True, "basicAuthUser": _literal(item["user"])} if item.get("user") else {}),
        **({"jsonData": settings} if settings else {}),
        **({"secureJsonData": secrets} if secrets else {}),
    }


def _secrets_of(item: Mapping[str, Any]) -> list[str]:
    return [*(["password"] if item.get("user") else []), *(item.get("secrets") or {})]


def _literal(value: Any) -> Any:
    """Return *value* as Grafana reads it from a provisioning file: a dollar would begin a variable."""
    if isinstance(value, Mapping):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_literal(item) for item in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


# -- dashboards ----------------------------------------------------------------------------------------------------


class Dashboard(NamedTuple):
    """One dashboard: what a message calls it, its file, its folder, its text and what that says."""

    source: str
    name: str
    folder: str
    text: str
    content: Mapping[str, Any]


def dashboards(given: Mapping[str, Any]) -> tuple[list[Dashboard], list[str]]:
    """Return those that can be read, and what is wrong with the others."""
    found, faults_found = [], []
    for item in given["dashboards"]:
        source = item["source"]
        folder = item.get("folder") or given["folder"]
        wrong = [*_must(f"{source}: folder", folder, TITLE), *_must(f"{source}: its name", item.get("name"), FILE)]
        content = _parsed(source, item.get("content"), wrong)
        faults_found += wrong
        if content is not None:
            text = str(item["content"])
            found.append(Dashboard(source, str(item.get("name")), str(folder), text, content))
    return found, faults_found


def _parsed(source: str, text: Any, wrong: list[str]) -> Mapping[str, Any] | None:
    if text is None:
        wrong.append(f"{source}: there is no such file on this controller")
        return None
    try:
        content = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as exc:
        wrong.append(
            f"{source}, line {exc.lineno}, column {exc.colno}: it is no JSON: {exc.msg}; mend it there, or export it again"
        )
        return None
    except ValueError as exc:
        wrong.append(f"{source}: it is no JSON: {exc}")
        return None
    if not isinstance(content, Mapping):
        wrong.append(
            f"{source}: it must be an object, is {type(content).__name__}; save the JSON model of one dashboard"
        )
    elif isinstance(content.get("dashboard"), Mapping):
        wrong.append(f"{source}: it is an answer of Grafana's API; save what is in its key dashboard")
    elif "__inputs" in content:
        wrong.append(f"{source}: it was exported for sharing and asks for its data source; export it without that")
    elif "apiVersion" in content or "elements" in content:
        wrong.append(
            f"{source}: it is of the new schema (v2), which is not supported; export it as the classic JSON model"
        )
    else:
        return content
    return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _dashboard_faults(given: Mapping[str, Any]) -> Iterator[str]:
    found, wrong = dashboards(given)
    yield from wrong
    places: dict[tuple[str, str], str] = {}
    slugs: dict[str, str] = {}
    for one in found:
        uid, title = one.content.get("uid"), one.content.get("title")
        if not uid:
            yield f"{one.source}: uid is missing; without one Grafana makes up another each time, and links break"
        else:
            yield from _must(f"{one.source}: uid", uid, UID)
        if not LINE.holds(title):
            yield f"{one.source}: title is missing"
        keys = (
            ("uid", str(uid)),
            (f"title in folder {one.folder}", str(title)),
            (f"file in folder {one.folder}", one.name),
        )
        for key, value in keys:
            other = places.setdefault((key, value), one.source)
            if other != one.source and value != "None":
                yield f"{one.source}: {key} {shown(value)} is that of {other} too; give each its own"
        other = slugs.setdefault(slug(one.folder), one.folder)
        if other != one.folder:
            yield f"{one.source}: folder {shown(one.folder)} and {shown(other)} are the same but for blanks and capitals; write one of them"
        yield from (f"{one.source}: {fault}" for fault in _content_faults(one.content, sources(given)))


def slug(title: str) -> str:
    """Return the uid of a folder."""
    return re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")


def panels(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return all panels, also those within a row."""
    for panel in _list(content, "panels"):
        yield panel
        yield from panels(panel)


def _list(content: Mapping[str, Any], *path: str) -> list[Mapping[str, Any]]:
    place: Any = content
    for key in path:
        place = place.get(key) if isinstance(place, Mapping) else None
    return [item for item in place if isinstance(item, Mapping)] if isinstance(place, list) else []


def _content_faults(content: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not isinstance(content.get("panels"), list):
        yield "panels is missing; it must be a list"
    variables, kinds = set(), {str(source.get("type")) for source in known}
    for item in _list(content, "templating", "list"):
        if item.get("type") == "datasource":
            variables.add(str(item.get("name")))
            if str(item.get("query")) not in kinds:
                yield f"variable {item.get('name')}: there is no data source of type {shown(item.get('query'))} to choose from"
    places = [(f"variable {item.get('name')}", item) for item in _list(content, "templating", "list")]
    places += [(f"annotation {item.get('name')}", item) for item in _list(content, "annotations", "list")]
    ids = []
    for number, panel in enumerate(panels(content)):
        name = f"panel {shown(panel.get('title') or panel.get('id') or number)}"
        ids.append(str(panel.get("id") or ""))
        if not panel.get("type"):
            yield f"{name}: type is missing"
        places.append((name, panel))
        places += [(f"{name}, query {item.get('refId')}", item) for item in _list(panel, "targets")]
    yield from (f"panel id {number} is there twice" for number in dict.fromkeys(repeated(ids)) if number)
    for name, item in places:
        yield from (f"{name}: {fault}" for fault in _reference_faults(item.get("datasource"), variables, known))


def _reference_faults(reference: Any, variables: Collection[str], known: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say what is wrong with the data source that something names; nothing named is the default one."""
    kind = reference.get("type") if isinstance(reference, Mapping) else None
    name = reference.get("uid") if isinstance(reference, Mapping) else reference
    if name is None or name in INTERNAL:
        return
    variable = _VARIABLE.fullmatch(str(name))
    if variable:
        wanted = "".join(group or "" for group in variable.groups())
        if wanted not in variables:
            yield f"its data source is {name}, but there is no variable {wanted} of type datasource{nearest(wanted, variables)}"
        return
    uids = {str(source.get("uid")): source for source in known}
    names = {str(source.get("name")): source for source in known} if isinstance(reference, str) else {}
    source = uids.get(str(name)) or names.get(str(name))
    if source is None:
        yield (
            f"there is no data source with uid {shown(name)}{nearest(name, uids)}; known: {', '.join(uids)}. "
            "Name one of them, or add it to grafana_data_sources"
        )
    elif kind and kind != source.get("type"):
        yield f"its data source {name} is of type {source.get('type')}, not {kind}"


# -- the whole -----------------------------------------------------------------------------------------------------


def faults(description: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong, each with where it is and what it must be; nothing when a plan can be made of it."""
    given = {**DEFAULTS, **description}
    found = [f"description: {fault}" for fault in unknown(given, tuple(DEFAULTS))]
    for part in (_input_faults, _setting_faults, _secret_faults, _source_faults):
        found += [f"grafana_{fault}" for fault in part(given)]
    # A list that is none was told already; without it every panel would be wrong.
    sound = isinstance(given["data_sources"], (list, tuple))
    return found + (list(_dashboard_faults(given)) if sound else [])


def _must(where: str, value: Any, kind: Kind, secret: bool = False) -> Iterator[str]:
    if not kind.holds(value):
        yield f"{where}: it must be {kind.words}" + ("" if secret else f", is {shown(value)}")


def _input_faults(given: Mapping[str, Any]) -> Iterator[str]:
    version = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)", str(given["version"]))
    if not version:
        yield f"version: it must be a version such as 12.1.0, is {shown(given['version'])}"
    elif tuple(map(int, version.groups())) < OLDEST:
        yield (
            f"version: {given['version']} keeps data sources that are no longer provisioned; "
            f"{'.'.join(map(str, OLDEST))} is the oldest that drops them: ask for that or a newer one"
        )
    yield from _must("port", given["port"], PORT)
    yield from _must("folder", given["folder"], TITLE)
    yield from _must("external_url", given["external_url"], URL)
    url = urlsplit(str(given["external_url"]))
    if URL.holds(given["external_url"]) and (url.scheme != "https" or url.path not in ("", "/") or url.query):
        yield f"external_url: Grafana answers at https and at no path below it, but this is {shown(given['external_url'])}"
    yield from _password_faults("admin_password", given["admin_password"], PASSWORD_LENGTH)
    yield from _password_faults("secret_key", given["secret_key"], KEY_LENGTH)
    if given["secret_key"] == PUBLIC_KEY:
        yield "secret_key: this is the one of Grafana's own defaults, which everybody knows; make up another"
    if given["secret_key"] and given["secret_key"] == given["admin_password"]:
        yield "secret_key: it is the admin's password too; make up another"
    if "$" in str(given["monitoring_password"] or ""):
        yield (
            "data_sources: monitoring_password has a $, which Grafana takes for the begin of a variable in a data source's secret; "
            "choose one without"
        )


def _password_faults(where: str, value: Any, length: int) -> Iterator[str]:
    if not value:
        yield f"{where}: it is missing; make up {length} characters or more and keep them where your other secrets are"
    elif not SECRET.holds(value) or len(value) < length:
        yield f"{where}: it must be one line of {length} characters at least, without blanks around it"


def plan(description: Mapping[str, Any]) -> dict[str, Any]:
    """Make the files, the secrets and what a Grafana with them must answer. Raises InputError with every fault of the description."""
    found = faults(description)
    if found:
        raise InputError(found)
    given = {**DEFAULTS, **description}
    ready, _wrong = dashboards(given)
    files = {
        "grafana.ini": _ini(_settings(given)),
        "provisioning/datasources/plano.yml": _text(_sources_file(given)),
        "provisioning/dashboards/plano.yml": _text(_providers(ready)),
        # Grafana complains of folders that are not there.
        "provisioning/plugins/plano.yml": _text({"apiVersion": 1}),
        "provisioning/alerting/plano.yml": _text({"apiVersion": 1}),
        **{f"dashboards/{slug(one.folder)}/{one.name}": one.text for one in ready},
        "expected.json": json.dumps(_expected(given, ready), indent=1, sort_keys=True) + "\n",
    }
    return {
        "files": [{"dest": f"{FOLDER}/{name}", "content": text} for name, text in files.items()],
        "secrets": _secrets(given),
        "expected": _expected(given, ready),
    }


def _text(content: Mapping[str, Any]) -> str:
    return f"# {HEADER}\n{json.dumps(content, indent=2)}\n"


def _providers(ready: Sequence[Dashboard]) -> dict[str, Any]:
    """Return one provider a folder: what is no longer in it, or has no provider any more, is deleted."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": f"plano-{slug(folder)}",
                "orgId": 1,
                "folder": folder,
                "folderUid": slug(folder),
                "type": "file",
                "disableDeletion": False,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 3600,
                "options": {"path": f"{DASHBOARDS}/{slug(folder)}"},
            }
            for folder in dict.fromkeys(one.folder for one in ready)
        ],
    }


def _expected(given: Mapping[str, Any], ready: Sequence[Dashboard]) -> dict[str, Any]:
    return {
        "sources": [
            {
                **{key: item[key] for key in ("uid", "name", "type", "url")},
                "check": item.get("check", item["type"] in CHECKED),
            }
            for item in sources(given)
        ],
        "dashboards": [
            {
                "uid": one.content["uid"],
                "title": one.content["title"],
                "folder": one.folder,
                "digest": digest(one.content),
            }
            for one in ready
        ],
    }


def digest(content: Mapping[str, Any]) -> str:
    """Return a digest of what a dashboard shows: the titles of its panels and their queries, which Grafana keeps as they are."""
    shows = [
        [panel.get("title") or "", [item[key] for item in _list(panel, "targets") for key in QUERIES if item.get(key)]]
        for panel in panels(content)
    ]
    return hashlib.sha256(json.dumps(shows).encode()).hexdigest()[:16]


# Where the languages of data sources have their text.
QUERIES = ("expr", "query", "rawSql")


def _secrets(given: Mapping[str, Any]) -> dict[str, str]:
    found = {"admin_password": given["admin_password"], "secret_key": given["secret_key"], **given["secrets"]}
    for item in given["data_sources"]:
        for name in _secrets_of(item):
            value = item["password"] if name == "password" else item["secrets"][name]
            found[f"source-{item['uid']}-{name}"] = str(value)
    return found
