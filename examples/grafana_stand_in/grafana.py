#!/usr/bin/python3 -I
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Grafana: NOT Grafana. It lets local hosts and tests run the role grafana where Grafana's server cannot be had.

It reads the same files (conf/defaults.ini, grafana.ini, provisioning), keeps its data in a real SQLite grafana.db that a newer
version converts, and answers the parts of the HTTP API that the role, its proof and the tests use. It shows no dashboard. It is
stricter than Grafana in one thing: it refuses a database that a newer version has converted.

    grafana server --homepath DIR [--config FILE] [cfg:SECTION.KEY=VALUE ...]
    grafana cli --homepath DIR [--config FILE] admin reset-admin-password --password-from-stdin
    grafana --version
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import hmac
import json
import os
import re
import secrets
import signal
import socket
import sqlite3
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

HOME = Path(__file__).resolve().parent.parent
NOTICE = "This is the stand-in of plano.delivery, not Grafana."
SECONDS = 10
LIMIT = 1 << 24
# As Grafana does: after so many wrong passwords within so many seconds nobody gets in under that name.
ATTEMPTS, ATTEMPT_SECONDS = 5, 300
SESSION = "grafana_session"


class Refused(Exception):
    """What it cannot start with, or a request it does not take."""


class Missing(Exception):
    """There is nothing of that name."""


def log(level: str, message: str) -> None:
    print(f"logger=stand-in level={level} msg={json.dumps(message)}", flush=True)


def version_of(home: Path) -> str:
    return (home / "VERSION").read_text(encoding="utf-8").strip()


# -- settings ------------------------------------------------------------------------------------------------------


class Settings:
    """Defaults, then the configuration file, then GF_ variables, then cfg: arguments; with what variables stand for."""

    def __init__(
        self, home: Path, config: Path | None, overrides: Iterable[str], environment: Mapping[str, str]
    ) -> None:
        self.home = home
        self.environment = environment
        self.parser = configparser.RawConfigParser(delimiters=("=",), strict=False, default_section="\0")
        for path in [home / "conf" / "defaults.ini", *([config] if config else [])]:
            try:
                # Keys before the first section have no name for it.
                self.parser.read_string(f"[.]\n{path.read_text(encoding='utf-8')}", str(path))
            except (OSError, configparser.Error) as exc:
                raise Refused(f"failed to parse {path}: {exc}") from exc
        for section in self.parser.sections():
            for key in self.parser[section]:
                name = f"GF_{section}_{key}".upper().replace(".", "_").replace("-", "_")
                if name in environment:
                    self.parser[section][key] = environment[name]
        for item in overrides:
            place, value = item.removeprefix("cfg:").removeprefix("default.").split("=", 1)
            section, key = place.rsplit(".", 1)
            if not self.parser.has_section(section):
                self.parser.add_section(section)
            self.parser[section][key] = value

    def text(self, section: str, key: str) -> str:
        value = self.parser.get(section, key, fallback="").strip()
        if value.startswith('"""') and value.endswith('"""') and len(value) >= 6:
            value = value[3:-3]
        return expand(value, self.environment)

    def flag(self, section: str, key: str) -> bool:
        return self.text(section, key).lower() in ("true", "1", "yes", "on")

    def path(self, key: str) -> Path:
        """Return a folder of the section paths; relative ones are below the home."""
        return self.home / self.text("paths", key)

    def database(self) -> Path:
        return self.path("data") / (self.text("database", "path") or "grafana.db")


def expand(value: str, environment: Mapping[str, str]) -> str:
    """Replace $__env{NAME} and $__file{PATH}."""

    def one(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "env":
            return environment.get(name, "")
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise Refused(f"failed to expand {match.group(0)}: {exc}") from exc

    return re.sub(r"\$__(env|file)\{([^}]+)\}", one, value)


def provisioned(value: Any, environment: Mapping[str, str]) -> Any:
    """Expand all texts of a provisioning file: also $NAME and ${NAME}, in what came from a file too; $$ is a dollar."""
    if isinstance(value, dict):
        return {key: provisioned(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [provisioned(item, environment) for item in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        return environment.get(match.group(1) or match.group(2), "")

    parts = (re.sub(r"\$(?:\{(\w+)\}|(\w+))", variable, expand(part, environment)) for part in value.split("$$"))
    return "$".join(parts)


# -- the database --------------------------------------------------------------------------------------------------

# Each step converts what the one before it left; a version knows those up to its own.
STEPS = (
    """
    CREATE TABLE user (id INTEGER PRIMARY KEY, login TEXT UNIQUE, password TEXT, salt TEXT);
    CREATE TABLE session (token TEXT PRIMARY KEY, user_id INTEGER, created REAL);
    CREATE TABLE login_attempt (login TEXT, created REAL);
    CREATE TABLE folder (uid TEXT PRIMARY KEY, title TEXT);
    CREATE TABLE data_source (id INTEGER PRIMARY KEY, uid TEXT UNIQUE, name TEXT UNIQUE, content TEXT, prunable INTEGER);
    CREATE TABLE dashboard (id INTEGER PRIMARY KEY, uid TEXT UNIQUE, title TEXT, folder_uid TEXT, data TEXT, version INTEGER,
                            provider TEXT, external TEXT);
    CREATE TABLE annotation (id INTEGER PRIMARY KEY, time INTEGER, time_end INTEGER, text TEXT, tags TEXT, dashboard_uid TEXT);
    """,
    # The tags of annotations move into a table of their own.
    """
    CREATE TABLE annotation_tag (annotation_id INTEGER, tag TEXT);
    INSERT INTO annotation_tag SELECT annotation.id, each.value FROM annotation, json_each(annotation.tags) AS each;
    ALTER TABLE annotation DROP COLUMN tags;
    """,
)
FIRST_OF_STEP = ((0, 0), (12, 0))


def newest_step(version: str) -> int:
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    return sum(numbers >= first for first in FIRST_OF_STEP)


class Database:
    """grafana.db, converted to what *version* knows."""

    def __init__(self, path: Path, version: str, wal: bool) -> None:
        self.lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=SECONDS)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute(f"PRAGMA journal_mode={'wal' if wal else 'delete'}")
        self.step = newest_step(version)
        found = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if found > self.step:
            raise Refused(
                f"{path} was converted by a newer version (step {found}), {version} knows step {self.step} only"
            )
        for number in range(found, self.step):
            log("info", f"converting the database: step {number + 1}")
            self.connection.executescript(f"BEGIN; {STEPS[number]} PRAGMA user_version={number + 1}; COMMIT;")

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.lock:
            return [dict(row) for row in self.connection.execute(statement, values)]

    def row(self, statement: str, *values: Any) -> dict[str, Any] | None:
        return next(iter(self.rows(statement, *values)), None)

    def insert(self, statement: str, *values: Any) -> int:
        with self.lock:
            return int(self.connection.execute(statement, values).lastrowid or 0)

    def close(self) -> None:
        with self.lock:
            self.connection.close()

    # -- people --

    def set_password(self, user: int, password: str) -> None:
        salt = secrets.token_hex(8)
        self.rows("UPDATE user SET password = ?, salt = ? WHERE id = ?", hashed(password, salt), salt, user)

    def has_password(self, login: str, password: str) -> bool:
        """Check a password; raise when too many were wrong lately."""
        since = time.time() - ATTEMPT_SECONDS
        wrong = self.rows("SELECT 1 FROM login_attempt WHERE login = ? AND created > ?", login, since)
        if len(wrong) >= ATTEMPTS:
            log("error", f"too many consecutive incorrect login attempts for {login}: login temporarily blocked")
            return False
        user = self.row("SELECT * FROM user WHERE login = ?", login)
        good = user is not None and hmac.compare_digest(hashed(password, user["salt"]), user["password"])
        if not good:
            self.rows("INSERT INTO login_attempt VALUES (?, ?)", login, time.time())
        return good

    # -- annotations --

    def tags_of(self, annotation: dict[str, Any]) -> list[str]:
        if self.step == 1:
            return list(json.loads(annotation["tags"]))
        rows = self.rows("SELECT tag FROM annotation_tag WHERE annotation_id = ? ORDER BY rowid", annotation["id"])
        return [row["tag"] for row in rows]

    def set_tags(self, number: int, tags: list[str]) -> None:
        if self.step == 1:
            self.rows("UPDATE annotation SET tags = ? WHERE id = ?", json.dumps(tags), number)
            return
        self.rows("DELETE FROM annotation_tag WHERE annotation_id = ?", number)
        for tag in tags:
            self.rows("INSERT INTO annotation_tag VALUES (?, ?)", number, tag)


def hashed(password: str, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 10000).hex()


def open_database(settings: Settings) -> Database:
    """Open it; a new one gets its administrator."""
    version = version_of(settings.home)
    database = Database(settings.database(), version, settings.flag("database", "wal"))
    if not database.row("SELECT 1 FROM user"):
        login = settings.text("security", "admin_user")
        database.rows("INSERT INTO user (id, login, password, salt) VALUES (1, ?, '', '')", login)
        database.set_password(1, settings.text("security", "admin_password"))
        log("info", f"created the administrator {login}")
    return database


# -- provisioning --------------------------------------------------------------------------------------------------


def provisioning_files(folder: Path, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what the files of a folder say. This reads the YAML that is JSON too, with whole lines of comment."""
    found = []
    if not folder.is_dir():
        log("error", f"failed to read provisioning files from {folder}")
        return []
    for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
        lines = path.read_text(encoding="utf-8").splitlines()
        try:
            content = json.loads("\n".join(line for line in lines if not line.startswith("#")))
        except ValueError as exc:
            raise Refused(f"provisioning error: {path}: {exc}") from exc
        if not isinstance(content, dict):
            raise Refused(f"provisioning error: {path} is no mapping")
        found.append(provisioned(content, environment))
    return found


def provision_sources(database: Database, files: list[dict[str, Any]]) -> None:
    wanted = [(item, bool(file.get("prune"))) for file in files for item in file.get("datasources") or []]
    for item, _prune in wanted:
        missing = [key for key in ("name", "type") if not item.get(key)]
        if missing:
            raise Refused(f"datasource provisioning error: {' and '.join(missing)} missing in {item.get('name')}")
        if item.get("access") not in ("proxy", "direct", None):
            raise Refused(f"datasource provisioning error: invalid access {item['access']} of {item['name']}")
        item.setdefault("uid", hashlib.sha256(item["name"].encode()).hexdigest()[:14])
    if sum(bool(item.get("isDefault")) for item, _prune in wanted) > 1:
        raise Refused(
            "datasource.yaml config is invalid. Only one datasource per organization can be marked as default"
        )
    for key in ("name", "uid"):
        if len({item[key] for item, _prune in wanted}) != len(wanted):
            raise Refused(f"datasource provisioning error: two data sources of the same {key}")
    with database.lock:
        names = {item["name"] for item, _prune in wanted}
        removed = [item["name"] for file in files for item in file.get("deleteDatasources") or []]
        stale = [row["name"] for row in database.rows("SELECT name FROM data_source WHERE prunable = 1")]
        for name in {*removed, *stale} - (names - set(removed)):
            database.rows("DELETE FROM data_source WHERE name = ?", name)
            log("info", f"deleted the data source {name}")
        for item, prune in wanted:
            database.rows("DELETE FROM data_source WHERE uid = ? AND name <> ?", item["uid"], item["name"])
            database.rows(
                "INSERT INTO data_source (uid, name, content, prunable) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET uid = excluded.uid, content = excluded.content, prunable = excluded.prunable",
                *(item["uid"], item["name"], json.dumps(item), int(prune)),
            )


def provision_dashboards(database: Database, files: list[dict[str, Any]]) -> None:
    providers = [item for file in files for item in file.get("providers") or []]
    for provider in providers:
        if (
            provider.get("type") != "file"
            or not (provider.get("options") or {}).get("path")
            or not provider.get("name")
        ):
            raise Refused(
                f"failed to load dashboards: provider {provider.get('name')} needs name, type file and options.path"
            )
    names = [provider["name"] for provider in providers]
    if len(set(names)) != len(names):
        raise Refused("failed to load dashboards: two providers of the same name")
    with database.lock:
        for row in database.rows("SELECT uid, provider FROM dashboard WHERE provider IS NOT NULL"):
            if row["provider"] not in names:
                delete_dashboard(database, row["uid"])
        for provider in providers:
            provide(database, provider)


def provide(database: Database, provider: dict[str, Any]) -> None:
    folder = ""
    if provider.get("folder"):
        folder = provider.get("folderUid") or hashlib.sha256(provider["folder"].encode()).hexdigest()[:14]
        statement = "INSERT INTO folder VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET title = excluded.title"
        database.rows(statement, folder, provider["folder"])
    place = Path(provider["options"]["path"])
    if not place.is_dir():
        log("error", f"failed to search for dashboards: {place} is no folder")
    # Known by the paths of their files, as in Grafana: what has another path now is deleted and made anew.
    paths = {str(path.resolve()): path for path in sorted(place.rglob("*.json"))}
    for row in database.rows("SELECT uid, external FROM dashboard WHERE provider = ?", provider["name"]):
        if row["external"] not in paths and not provider.get("disableDeletion"):
            delete_dashboard(database, row["uid"])
    kept = set()
    for external, path in paths.items():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            title = content["title"]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            # As Grafana does: it says so here only and goes on.
            log("error", f"failed to load dashboard from {path}: {exc!r}")
            continue
        uid = content.get("uid") or hashlib.sha256(str(path).encode()).hexdigest()[:14]
        kept.add(uid)
        before = database.row("SELECT data, version, provider FROM dashboard WHERE uid = ?", uid)
        data = json.dumps({**content, "uid": uid})
        number = before["version"] + (before["data"] != data) if before else 1
        database.rows(
            "INSERT INTO dashboard (uid, title, folder_uid, data, version, provider, external) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (uid) DO UPDATE SET title = excluded.title, folder_uid = excluded.folder_uid, data = excluded.data,"
            " version = excluded.version, provider = excluded.provider, external = excluded.external",
            *(uid, title, folder, data, number, provider["name"], external),
        )
    for row in database.rows("SELECT uid FROM dashboard WHERE provider = ?", provider["name"]):
        if row["uid"] not in kept and not provider.get("disableDeletion"):
            delete_dashboard(database, row["uid"])


def delete_dashboard(database: Database, uid: str) -> None:
    database.rows("DELETE FROM dashboard WHERE uid = ?", uid)
    log("info", f"deleted the provisioned dashboard {uid}")


# -- data sources --------------------------------------------------------------------------------------------------


def ask(
    source: dict[str, Any], path: str, method: str = "GET", body: bytes | None = None, kind: str = ""
) -> tuple[int, bytes, str]:
    """Ask a data source as its provisioning says; return status, body and type of what it answers."""
    request = urllib.request.Request(f"{source.get('url', '').rstrip('/')}/{path.lstrip('/')}", body, method=method)
    secret = source.get("secureJsonData") or {}
    if kind:
        request.add_header("Content-Type", kind)
    if source.get("basicAuth"):
        pair = f"{source.get('basicAuthUser', '')}:{secret.get('basicAuthPassword', '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    context = ssl.create_default_context()
    if (source.get("jsonData") or {}).get("tlsAuthWithCACert"):
        context = ssl.create_default_context(cadata=secret.get("tlsCACert", ""))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return answer.status, answer.read(LIMIT), answer.headers.get("Content-Type", "")
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read(LIMIT), exc.headers.get("Content-Type", "")
    except (OSError, ValueError) as exc:
        return 502, str(getattr(exc, "reason", exc)).encode(), "text/plain"


def source_health(source: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    if source["type"] != "prometheus":
        return 404, {"message": "Plugin not found", "messageId": "plugin.notRegistered"}
    status, body, _kind = ask(source, "/api/v1/query?query=1%2B1")
    try:
        good = status == 200 and json.loads(body)["data"]["result"][1] == "2"
    except (ValueError, KeyError, TypeError, IndexError):
        good = False
    if good:
        return 200, {"status": "OK", "message": "Successfully queried the Prometheus API."}
    said = body.decode(errors="replace").strip()[:200]
    return 400, {
        "status": "ERROR",
        "message": f"{status} {said} - There was an error returned querying the Prometheus API.",
    }


def shown_source(row: dict[str, Any]) -> dict[str, Any]:
    item = json.loads(row["content"])
    keys = ("name", "type", "url", "basicAuth", "basicAuthUser", "isDefault", "jsonData")
    shown = {key: item[key] for key in keys if key in item}
    return {
        "id": row["id"],
        "uid": row["uid"],
        "orgId": 1,
        "access": item.get("access", "proxy"),
        **shown,
        "readOnly": not item.get("editable"),
    }


# -- HTTP ----------------------------------------------------------------------------------------------------------

ROUTES: list[tuple[str, re.Pattern[str], bool, Callable[..., Any]]] = []


def route(method: str, path: str, public: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        ROUTES.append((method, re.compile(path), public, function))
        return function

    return add


class Server(ThreadingHTTPServer):
    """The one port; what a handler needs."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.version = version_of(settings.home)
        self.metrics = (
            settings.text("metrics", "basic_auth_username"),
            settings.text("metrics", "basic_auth_password"),
        )
        self.context: ssl.SSLContext | None = None
        if settings.text("server", "protocol") == "https":
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            try:
                self.context.load_cert_chain(settings.text("server", "cert_file"), settings.text("server", "cert_key"))
            except OSError as exc:
                raise Refused(f"cannot read the certificate: {exc}") from exc
        address = settings.text("server", "http_addr")
        self.address_family = (
            socket.AF_INET6 if address in ("", "::") and socket.has_dualstack_ipv6() else socket.AF_INET
        )
        super().__init__((address, int(settings.text("server", "http_port"))), Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        connection.settimeout(30)
        if self.context:
            # The handshake is the handler's, in its own thread.
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, _request: Any, _client: Any) -> None:
        log("debug", f"a connection ended: {sys.exc_info()[1]!r}")


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_arguments: Any) -> None:
        """Grafana does not log every request either."""

    def do_GET(self) -> None:
        self.act()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query)

    def one(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[-1]

    def body(self) -> Any:
        try:
            return json.loads(self.raw or b"{}")
        except ValueError as exc:
            raise Refused("bad request data") from exc

    def act(self) -> None:
        self.raw = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), LIMIT))
        path = unquote(urlsplit(self.path).path)
        for method, pattern, public, function in ROUTES:
            match = pattern.fullmatch(path)
            if match and method in (self.command, "*"):
                if not public and not self.signed_in():
                    self.answer(401, {"message": "Unauthorized"})
                    return
                try:
                    found = function(self, *match.groups())
                except Missing as exc:
                    found = (404, {"message": str(exc)})
                except (Refused, KeyError, TypeError, ValueError) as exc:
                    found = (400, {"message": f"bad request data: {exc}"})
                self.answer(*found)
                return
        self.answer(404, {"message": "Not found"})

    def answer(self, status: int, content: Any, kind: str = "application/json", cookie: str = "") -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Grafana-Stand-In", NOTICE)
        if self.server.context and self.server.settings.flag("security", "strict_transport_security"):
            self.send_header("Strict-Transport-Security", "max-age=86400")
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(body)

    def signed_in(self) -> bool:
        settings, database = self.server.settings, self.server.database
        pair = self.basic()
        if pair and settings.flag("auth.basic", "enabled"):
            return database.has_password(*pair)
        cookie = re.search(rf"(?:^|;\s*){SESSION}=([0-9a-f]+)", self.headers.get("Cookie", ""))
        if cookie and database.row("SELECT 1 FROM session WHERE token = ?", cookie.group(1)):
            return True
        return settings.flag("auth.anonymous", "enabled")

    def basic(self) -> tuple[str, str] | None:
        kind, _blank, value = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            login, _colon, password = base64.b64decode(value).decode().partition(":")
        except ValueError:
            return None
        return login, password


@route("GET", "/api/health", public=True)
def health(handler: Handler) -> Any:
    handler.server.database.rows("SELECT 1 FROM user")
    return 200, {"database": "ok", "version": handler.server.version, "commit": "stand-in", "notice": NOTICE}


@route("GET", "/(?:login)?", public=True)
def page(handler: Handler) -> Any:
    text = (handler.server.settings.home / "public" / "index.html").read_text(encoding="utf-8")
    return 200, text.replace("VERSION", handler.server.version).encode(), "text/html; charset=utf-8"


@route("POST", "/login", public=True)
def login(handler: Handler) -> Any:
    asked = handler.body()
    database, settings = handler.server.database, handler.server.settings
    if not database.has_password(str(asked["user"]), str(asked["password"])):
        return 401, {"message": "Invalid username or password", "messageId": "password-auth.failed"}
    token = secrets.token_hex(16)
    user = database.row("SELECT id FROM user WHERE login = ?", str(asked["user"]))
    database.rows("INSERT INTO session VALUES (?, ?, ?)", token, user["id"] if user else 0, time.time())
    secure = "; Secure" if settings.flag("security", "cookie_secure") else ""
    return (
        200,
        {"message": "Logged in"},
        "application/json",
        f"{SESSION}={token}; Path=/; HttpOnly{secure}; SameSite=Lax",
    )


@route("GET", "/metrics", public=True)
def metrics(handler: Handler) -> Any:
    name, password = handler.server.metrics
    if not handler.server.settings.flag("metrics", "enabled"):
        return 404, {"message": "Not found"}
    if name and handler.basic() != (name, password):
        return 401, {"message": "Unauthorized"}
    text = (
        "# HELP grafana_build_info A metric with a constant '1' value labeled by version.\n"
        "# TYPE grafana_build_info gauge\n"
        f'grafana_build_info{{edition="stand-in",version="{handler.server.version}"}} 1\n'
    )
    return 200, text.encode(), "text/plain; version=0.0.4; charset=utf-8"


@route("GET", "/api/user")
def user(_handler: Handler) -> Any:
    return 200, {"id": 1, "login": "admin", "isGrafanaAdmin": True, "orgId": 1}


@route("GET", "/api/datasources")
def list_sources(handler: Handler) -> Any:
    return 200, [shown_source(row) for row in handler.server.database.rows("SELECT * FROM data_source ORDER BY name")]


def source_row(handler: Handler, uid: str) -> dict[str, Any]:
    row = handler.server.database.row("SELECT * FROM data_source WHERE uid = ?", uid)
    if row is None:
        raise Missing("Data source not found")
    return row


@route("GET", "/api/datasources/uid/([^/]+)")
def get_source(handler: Handler, uid: str) -> Any:
    return 200, shown_source(source_row(handler, uid))


@route("GET", "/api/datasources/uid/([^/]+)/health")
def get_source_health(handler: Handler, uid: str) -> Any:
    return source_health(json.loads(source_row(handler, uid)["content"]))


@route("*", "/api/datasources/proxy/uid/([^/]+)/(.*)")
def proxy(handler: Handler, uid: str, path: str) -> Any:
    source = json.loads(source_row(handler, uid)["content"])
    question = urlsplit(handler.path).query
    asked = f"{path}?{question}" if question else path
    return ask(source, asked, handler.command, handler.raw or None, handler.headers.get("Content-Type", ""))


@route("GET", "/api/folders")
def list_folders(handler: Handler) -> Any:
    return 200, handler.server.database.rows("SELECT uid, title FROM folder ORDER BY title")


@route("GET", "/api/folders/([^/]+)")
def get_folder(handler: Handler, uid: str) -> Any:
    found = handler.server.database.row("SELECT uid, title FROM folder WHERE uid = ?", uid)
    if found is None:
        raise Missing("folder not found")
    return 200, found


@route("GET", "/api/search")
def search(handler: Handler) -> Any:
    database, kind, words = handler.server.database, handler.one("type"), handler.one("query").lower()
    folders = database.rows("SELECT uid, title FROM folder ORDER BY title")
    titles = {row["uid"]: row["title"] for row in folders}
    found = [{"uid": row["uid"], "title": row["title"], "type": "dash-folder"} for row in folders]
    for row in database.rows("SELECT * FROM dashboard ORDER BY title"):
        place = {"folderUid": row["folder_uid"], "folderTitle": titles[row["folder_uid"]]} if row["folder_uid"] else {}
        tags = json.loads(row["data"]).get("tags") or []
        found.append(
            {
                "uid": row["uid"],
                "title": row["title"],
                "type": "dash-db",
                "tags": tags,
                "url": f"/d/{row['uid']}",
                **place,
            }
        )
    wanted, limit = set(handler.query.get("tag", [])), int(handler.one("limit", "1000"))
    return 200, [
        item
        for item in found
        if kind in ("", item["type"]) and words in item["title"].lower() and wanted <= set(item.get("tags", []))
    ][:limit]


@route("GET", "/api/dashboards/uid/([^/]+)")
def get_dashboard(handler: Handler, uid: str) -> Any:
    database = handler.server.database
    row = database.row("SELECT * FROM dashboard WHERE uid = ?", uid)
    if row is None:
        raise Missing("Dashboard not found")
    folder = database.row("SELECT title FROM folder WHERE uid = ?", row["folder_uid"])
    content = {**json.loads(row["data"]), "id": row["id"], "version": row["version"]}
    meta = {"provisioned": row["provider"] is not None, "provisionedExternalId": row["external"] or ""}
    place = {"folderUid": row["folder_uid"], "folderTitle": folder["title"] if folder else "Dashboards"}
    return 200, {"meta": {"type": "db", "version": row["version"], **meta, **place}, "dashboard": content}


@route("POST", "/api/dashboards/db")
def save_dashboard(handler: Handler) -> Any:
    asked = handler.body()
    content = asked["dashboard"]
    uid = content.get("uid") or secrets.token_hex(7)
    database = handler.server.database
    with database.lock:
        before = database.row("SELECT * FROM dashboard WHERE uid = ?", uid)
        if before and before["provider"] is not None:
            return 400, {"message": "Cannot save provisioned dashboard"}
        if before and not asked.get("overwrite"):
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        number = before["version"] + 1 if before else 1
        database.rows("DELETE FROM dashboard WHERE uid = ?", uid)
        database.rows(
            "INSERT INTO dashboard (uid, title, folder_uid, data, version) VALUES (?, ?, ?, ?, ?)",
            *(uid, content["title"], asked.get("folderUid", ""), json.dumps({**content, "uid": uid}), number),
        )
    return 200, {"status": "success", "uid": uid, "version": number, "url": f"/d/{uid}"}


@route("GET", "/api/annotations")
def list_annotations(handler: Handler) -> Any:
    database = handler.server.database
    start, end, limit = (
        int(handler.one("from", "0")),
        int(handler.one("to", str(1 << 62))),
        int(handler.one("limit", "100")),
    )
    wanted, dashboard = set(handler.query.get("tags", [])), handler.one("dashboardUID")
    found = []
    for row in database.rows(
        "SELECT * FROM annotation WHERE time <= ? AND time_end >= ? ORDER BY time_end DESC", end, start
    ):
        tags = database.tags_of(row)
        if wanted <= set(tags) and dashboard in ("", row["dashboard_uid"]):
            place = {"dashboardUID": row["dashboard_uid"] or ""}
            found.append(
                {
                    "id": row["id"],
                    "time": row["time"],
                    "timeEnd": row["time_end"],
                    "text": row["text"],
                    "tags": tags,
                    **place,
                }
            )
    return 200, found[:limit]


ADD_ANNOTATION = "INSERT INTO annotation (time, time_end, text, dashboard_uid) VALUES (?, ?, ?, ?)"
CHANGE_ANNOTATION = {
    "text": "UPDATE annotation SET text = ? WHERE id = ?",
    "time": "UPDATE annotation SET time = ? WHERE id = ?",
    "timeEnd": "UPDATE annotation SET time_end = ? WHERE id = ?",
}


@route("POST", "/api/annotations")
def add_annotation(handler: Handler) -> Any:
    asked = handler.body()
    if not asked.get("text"):
        raise Refused("text field should not be empty")
    start = int(asked.get("time") or time.time() * 1000)
    values = (start, int(asked.get("timeEnd") or start), asked["text"], asked.get("dashboardUID") or "")
    database = handler.server.database
    with database.lock:
        number = database.insert(ADD_ANNOTATION, *values)
        database.set_tags(number, [str(tag) for tag in asked.get("tags") or []])
    return 200, {"id": number, "message": "Annotation added"}


@route("PATCH", "/api/annotations/([0-9]+)")
def change_annotation(handler: Handler, number: str) -> Any:
    asked, database = handler.body(), handler.server.database
    with database.lock:
        if database.row("SELECT 1 FROM annotation WHERE id = ?", int(number)) is None:
            raise Missing("Could not find annotation to update")
        for key, statement in CHANGE_ANNOTATION.items():
            if key in asked:
                database.rows(statement, asked[key], int(number))
        if "tags" in asked:
            database.set_tags(int(number), [str(tag) for tag in asked["tags"] or []])
    return 200, {"message": "Annotation patched"}


@route("DELETE", "/api/annotations/([0-9]+)")
def delete_annotation(handler: Handler, number: str) -> Any:
    handler.server.database.set_tags(int(number), [])
    handler.server.database.rows("DELETE FROM annotation WHERE id = ?", int(number))
    return 200, {"message": "Annotation deleted"}


# -- commands ------------------------------------------------------------------------------------------------------


def serve(settings: Settings) -> int:
    database = open_database(settings)
    folder = settings.path("provisioning")
    provision_sources(database, provisioning_files(folder / "datasources", settings.environment))
    provision_dashboards(database, provisioning_files(folder / "dashboards", settings.environment))
    server = Server(settings, database)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    log("info", f"{NOTICE} Version {server.version} listens on port {server.server_address[1]}")
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    database.close()
    return 0


def reset_password(settings: Settings) -> int:
    password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise Refused("new password is too short")
    database = open_database(settings)
    if database.row("SELECT 1 FROM user WHERE id = 1") is None:
        raise Refused("could not read user from database. Error: user not found")
    database.set_password(1, password)
    database.close()
    print("Admin password changed successfully")
    return 0


def options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Take apart --name=value, --name value and the rest."""
    found, rest, waiting = {}, [], ""
    for word in words:
        if waiting:
            found[waiting], waiting = word, ""
        elif word.startswith("--") and "=" in word:
            name, value = word[2:].split("=", 1)
            found[name] = value
        elif word in ("--homepath", "--config"):
            waiting = word[2:]
        else:
            rest.append(word)
    return found, rest


def main() -> int:
    words = sys.argv[1:]
    if words in (["--version"], ["-v"], ["server", "-v"]):
        print(f"grafana version {version_of(HOME)} (stand-in)")
        return 0
    given, rest = options(words[1:])
    home = Path(given.get("homepath") or HOME)
    config = Path(given["config"]) if "config" in given else None
    try:
        settings = Settings(home, config, [word for word in rest if word.startswith("cfg:")], os.environ)
        if words[:1] == ["server"]:
            return serve(settings)
        if words[:1] == ["cli"] and rest == ["admin", "reset-admin-password", "--password-from-stdin"]:
            return reset_password(settings)
    except (Refused, OSError, sqlite3.Error) as exc:
        log("error", str(exc))
        return 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
