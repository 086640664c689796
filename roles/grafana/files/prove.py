"""Prove that the running Grafana is the wanted one, lets the administrator in, and has the data sources and dashboards of the release.

prove.py https://HOST:PORT CA-FILE PASSWORD-FILE VERSION EXPECTED

Says so in a line, or says what is wrong, a line each, and exits with 1. Each question is given up after 8 seconds.

Nobody tries the default password: the administrator has one password, and this proves which. A wrong one counts, and after five
within five minutes Grafana lets nobody in under that name, also not the release that comes back; hence the long pause after one.
"""

import base64
import hashlib
import http.client
import json
import signal
import ssl
import sys
import time
from urllib.parse import urlsplit

SECONDS = 8
LIMIT = 1 << 24
# Four times within the 90 seconds that a release has by default. Whoever asks waits 30 seconds for this program.
PAUSE_SECONDS = 25
ADMINISTRATOR = "admin"
QUERIES = ("expr", "query", "rawSql")


class NotProven(Exception):
    """What runs is not what should run, or does not say so."""


def give_up(_signal, _frame):
    raise TimeoutError(f"no whole answer within {SECONDS} s")


class Grafana:
    """The HTTP API of the running process."""

    def __init__(self, url, authority, password):
        self.server = urlsplit(url)
        self.context = ssl.create_default_context(cafile=authority)
        self.authorization = "Basic " + base64.b64encode(f"{ADMINISTRATOR}:{password}".encode()).decode()

    def ask(self, path, known=True):
        """Return status and body. One that drips a byte now and then is too late as a whole."""
        connection = http.client.HTTPSConnection(
            self.server.hostname, self.server.port, timeout=SECONDS, context=self.context
        )
        signal.alarm(SECONDS)
        try:
            connection.request("GET", path, headers={"Authorization": self.authorization} if known else {})
            answer = connection.getresponse()
            return answer.status, answer.read(LIMIT).decode(errors="replace")
        except (OSError, http.client.HTTPException) as exc:
            raise NotProven(f"{self.server.geturl()}{path} does not answer: {exc or type(exc).__name__}") from exc
        finally:
            signal.alarm(0)
            connection.close()

    def get(self, path, known=True):
        status, body = self.ask(path, known)
        if status != 200:
            raise NotProven(f"{self.server.geturl()}{path} answers {status} instead of 200: {body[:200].strip()}")
        try:
            return json.loads(body)
        except ValueError as exc:
            raise NotProven(f"{self.server.geturl()}{path} does not answer JSON") from exc


def check_process(grafana, version):
    health = grafana.get("/api/health", known=False)
    if health.get("version") != version:
        raise NotProven(f"version {health.get('version')} runs instead of {version}")
    if health.get("database") != "ok":
        raise NotProven(f"its database is not ok: {health.get('database')}")


def check_access(grafana):
    """Return the data sources, which the administrator may see and nobody else."""
    status, _body = grafana.ask("/api/datasources", known=False)
    if status not in (401, 403):
        raise NotProven(f"/api/datasources answers {status} to whom nobody knows, instead of 401")
    status, body = grafana.ask("/api/datasources")
    if status == 401:
        time.sleep(PAUSE_SECONDS)
        raise NotProven(f"{ADMINISTRATOR} does not get in with grafana_admin_password: {body[:200].strip()}")
    if status != 200:
        raise NotProven(f"/api/datasources answers {status} instead of 200: {body[:200].strip()}")
    return {source["uid"]: source for source in json.loads(body)}


def source_faults(grafana, found, wanted):
    for source in wanted:
        there = found.get(source["uid"])
        if there is None:
            yield f"data source {source['uid']} is missing"
            continue
        for key in ("name", "type", "url"):
            if there.get(key) != source[key]:
                yield f"data source {source['uid']}: {key} is {there.get(key)!r} instead of {source[key]!r}"
        if source["check"]:
            yield from answer_faults(grafana, source)
    for uid in sorted(set(found) - {source["uid"] for source in wanted}):
        if found[uid].get("readOnly"):
            yield f"data source {uid} is there, though no longer provisioned"


def answer_faults(grafana, source):
    """Let Grafana ask a data source. Of Alertmanager its server knows no more than the way."""
    way = f"/api/datasources/proxy/uid/{source['uid']}/api/v2/status"
    path = way if source["type"] == "alertmanager" else f"/api/datasources/uid/{source['uid']}/health"
    status, body = grafana.ask(path)
    try:
        said = str(json.loads(body).get("message", body))
    except (ValueError, AttributeError):
        said = body
    if status != 200:
        yield f"data source {source['uid']} at {source['url']} does not answer Grafana: {status} {said[:300].strip()}"


def panels(content):
    for panel in content.get("panels") or []:
        yield panel
        yield from panels(panel)


def digest(content):
    """Return a digest of what a dashboard shows, as the controller made it of the file."""
    shows = [
        [
            panel.get("title") or "",
            [item[key] for item in panel.get("targets") or [] for key in QUERIES if item.get(key)],
        ]
        for panel in panels(content)
    ]
    return hashlib.sha256(json.dumps(shows).encode()).hexdigest()[:16]


def dashboard_faults(grafana, wanted):
    for board in wanted:
        status, body = grafana.ask(f"/api/dashboards/uid/{board['uid']}")
        if status != 200:
            yield f"dashboard {board['uid']} is missing ({status})"
            continue
        answer = json.loads(body)
        for key, there in (("title", answer["dashboard"].get("title")), ("folder", answer["meta"].get("folderTitle"))):
            if there != board[key]:
                yield f"dashboard {board['uid']}: {key} is {there!r} instead of {board[key]!r}"
        if digest(answer["dashboard"]) != board["digest"]:
            yield f"dashboard {board['uid']} shows other panels or queries than the released file"
    known = {board["uid"] for board in wanted}
    for item in grafana.get("/api/search?type=dash-db&limit=5000"):
        if item["uid"] not in known and provisioned(grafana, item["uid"]):
            yield f"dashboard {item['uid']} is there, though no longer provisioned"


def provisioned(grafana, uid):
    """Say whether a dashboard came from a file; one that a person made is left alone."""
    status, body = grafana.ask(f"/api/dashboards/uid/{uid}")
    return status == 200 and bool(json.loads(body)["meta"].get("provisioned"))


def prove(url, authority, password_file, version, expected_file):
    with open(password_file, encoding="utf-8") as file:
        password = file.read().strip()
    with open(expected_file, encoding="utf-8") as file:
        expected = json.load(file)
    grafana = Grafana(url, authority, password)
    check_process(grafana, version)
    found = check_access(grafana)
    faults = [
        *source_faults(grafana, found, expected["sources"]),
        *dashboard_faults(grafana, expected["dashboards"]),
    ]
    if faults:
        raise NotProven("\n".join(faults))
    return f"Grafana {version} has {len(expected['sources'])} data sources and {len(expected['dashboards'])} dashboards"


def main():
    if len(sys.argv) != 6:
        print(f"usage: {__doc__}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGALRM, give_up)
    try:
        print(prove(*sys.argv[1:]))
    except (NotProven, OSError, ValueError, KeyError, TypeError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
