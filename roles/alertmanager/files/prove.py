"""Prove that the running Alertmanager is the wanted one, with the wanted configuration.

prove.py https://HOST:PORT CA-FILE USER PASSWORD-FILE VERSION CONFIGURATION

Says so in a line, or says what is wrong and exits with 1. Each question is given up after 5 seconds.
"""

import base64
import hashlib
import http.client
import json
import signal
import ssl
import sys
from urllib.parse import urlsplit

SECONDS = 5
LIMIT = 1 << 24


class NotProven(Exception):
    """What runs is not what should run, or does not say so."""


def give_up(_signal, _frame):
    raise TimeoutError(f"no whole answer within {SECONDS} s")


def ask(server, context, authorization, path):
    """Return the body that the server answers. One that drips a byte now and then is too late as a whole."""
    connection = http.client.HTTPSConnection(server.hostname, server.port, timeout=SECONDS, context=context)
    signal.alarm(SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": authorization})
        answer = connection.getresponse()
        body = answer.read(LIMIT).decode(errors="replace")
    except (OSError, http.client.HTTPException) as exc:
        raise NotProven(f"{server.geturl()}{path} does not answer: {exc or type(exc).__name__}") from exc
    finally:
        signal.alarm(0)
        connection.close()
    if answer.status != 200:
        raise NotProven(f"{server.geturl()}{path} answers {answer.status} instead of 200: {body[:200].strip()}")
    return body


def running_version(status):
    try:
        return str(json.loads(status)["versionInfo"]["version"])
    except (ValueError, KeyError, TypeError) as exc:
        raise NotProven("/api/v2/status does not say a version") from exc


def metric(metrics, name):
    for line in metrics.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name:
            return float(words[1])
    raise NotProven(f"/metrics does not say {name}")


def config_hash(content):
    """Return what Alertmanager says of a configuration: the first 6 bytes of its MD5 as a little-endian number."""
    return float(int.from_bytes(hashlib.md5(content, usedforsecurity=False).digest()[:6], "little"))


def prove(url, ca, user, password_file, version, configuration):
    with open(password_file, encoding="utf-8") as file:
        password = file.read().rstrip("\n")
    with open(configuration, "rb") as file:
        wanted = config_hash(file.read())
    authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    context = ssl.create_default_context(cafile=ca)
    server = urlsplit(url)

    ask(server, context, authorization, "/-/ready")
    found = running_version(ask(server, context, authorization, "/api/v2/status"))
    # Debian's builds say 0.28.1+ds.
    if found != version and not found.startswith(f"{version}+"):
        raise NotProven(f"version {found} runs instead of {version}")
    metrics = ask(server, context, authorization, "/metrics")
    if metric(metrics, "alertmanager_config_last_reload_successful") != 1:
        raise NotProven(f"it refused {configuration} and runs the configuration before; its log says why")
    if metric(metrics, "alertmanager_config_hash") != wanted:
        raise NotProven(f"it runs another configuration than {configuration}")
    return f"Alertmanager {found} runs {configuration}"


def main():
    if len(sys.argv) != 7:
        print(f"usage: {__doc__}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGALRM, give_up)
    try:
        print(prove(*sys.argv[1:]))
    except (NotProven, OSError, ValueError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
