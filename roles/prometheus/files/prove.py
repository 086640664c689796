"""Prove that the Prometheus on this host runs the configuration that was released, and reaches what it is to read.

It asks the running process, over TLS and with the password, as any client does: does it run the released version, was the
configuration loaded, is it this very one (a rule of it carries its digest), are there as many rules as were shipped? With --targets,
for a change: is every target up that was up before? One that was down before is not its fault; a new one that does not answer is.
One line says that all is well; otherwise each line names a fault, and the exit status is 1.
"""

import argparse
import base64
import http.client
import json
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from datetime import datetime
from pathlib import Path

SECONDS = 5
DIGEST = "plano:configuration:info"
SHOWN = 5
# How often a target is asked that Prometheus has not taken up yet is not known: a minute, twice over.
UNKNOWN_SECONDS = 120


class Prometheus:
    """The HTTP API of the running process."""

    def __init__(self, url, authority, user, password_file):
        self.url = url
        context = ssl.create_default_context(cafile=authority)
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        password = Path(password_file).read_text(encoding="utf-8").rstrip("\n")
        self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def get(self, path, **query):
        """Return the data of an answer."""
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, headers={"Authorization": self.authorization})
        with self.opener.open(request, timeout=SECONDS) as answer:
            return json.load(answer)["data"]

    def ready(self):
        """Raise unless it has read its storage."""
        request = urllib.request.Request(f"{self.url}/-/ready", headers={"Authorization": self.authorization})
        with self.opener.open(request, timeout=SECONDS):
            pass


def version_faults(prometheus, version):
    """Debian's builds append to the version what they changed."""
    running = prometheus.get("/api/v1/status/buildinfo")["version"]
    return [] if running.split("+")[0] == version else [f"version {running} runs instead of {version}"]


def rule_faults(prometheus, expected):
    """Compare the rules it evaluates with those that were shipped."""
    loaded = Counter()
    digests = set()
    for group in prometheus.get("/api/v1/rules")["groups"]:
        loaded[Path(group["file"]).name] += len(group["rules"])
        digests |= {rule["labels"]["digest"] for rule in group["rules"] if rule["name"] == DIGEST}
    faults = []
    if digests != {expected["digest"]}:
        faults.append(f"the configuration with digest {expected['digest'][:12]} is not loaded")
    for name in sorted(set(loaded) | set(expected["rules"])):
        if loaded[name] != expected["rules"].get(name, 0):
            faults.append(f"{loaded[name]} rules of {name} are loaded, {expected['rules'].get(name, 0)} were shipped")
    return faults


def seconds_of(duration):
    """Return the seconds of a duration as Prometheus writes it, such as 1m30s."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


def samples(prometheus, expression, moment):
    """Return the values of an expression over targets, by job and instance."""
    found = prometheus.get("/api/v1/query", query=expression, time=moment)["result"]
    return {(item["metric"].get("job"), item["metric"].get("instance")): float(item["value"][1]) for item in found}


def target_faults(prometheus, expected, since):
    """Return targets that do not answer, unless they did not before this configuration either."""
    moment = since - 0.001
    answered = samples(prometheus, "up", moment)
    asked = samples(prometheus, "timestamp(up)", moment)
    known = {
        (target["labels"]["job"], target["labels"]["instance"]): target
        for target in prometheus.get("/api/v1/targets", state="active")["activeTargets"]
    }
    waiting, faults = [], []
    for name in map(tuple, expected["targets"]):
        target = known.get(name)
        before = last_answer(target, answered.get(name), asked.get(name), moment)
        # New targets are taken up some seconds after the reload. One with other labels than before is a new one to Prometheus, too.
        if target is None or target["health"] == "unknown":
            if before != 1:
                waiting.append(" ".join(name))
        elif target["health"] == "down" and before != 0:
            faults.append(f"target {' '.join(name)} does not answer: {target['lastError']}")
    # With nothing seen before, this is the first start of all, which need not wait for anybody.
    if not answered:
        return []
    if waiting:
        faults.append(f"not asked yet: {', '.join(waiting[:SHOWN])}{' and others' if waiting[SHOWN:] else ''}")
    return faults


def last_answer(target, answered, asked, moment):
    """Return 1 or 0: what the configuration before had from the target when it asked last, or None if it did not have it.

    Of a target that it did not have, only older samples may be left, from an attempt to add it.
    """
    newest = UNKNOWN_SECONDS
    if target is not None:
        newest = seconds_of(target["scrapeInterval"]) + seconds_of(target["scrapeTimeout"]) + 1
    return answered if answered is not None and moment - asked <= newest else None


def faults_of(arguments):
    """Return everything that is wrong, or what keeps us from asking."""
    expected = json.loads(Path(arguments.expected).read_text(encoding="utf-8"))
    try:
        prometheus = Prometheus(arguments.url, arguments.authority, arguments.user, arguments.password_file)
        prometheus.ready()
        running = prometheus.get("/api/v1/status/runtimeinfo")
        faults = version_faults(prometheus, arguments.version)
        if not running["reloadConfigSuccess"]:
            faults.append("the last reload of the configuration failed; the journal of its unit says why")
        faults += rule_faults(prometheus, expected)
        since = datetime.fromisoformat(running["lastConfigTime"].replace("Z", "+00:00")).timestamp()
        return faults or (target_faults(prometheus, expected, since) if arguments.targets else [])
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as exc:
        why = " ".join(str(exc).split()) or type(exc).__name__
        return [f"{arguments.url} does not answer as Prometheus: {why}"]


def main():
    """Look once; whoever runs this asks again."""
    parser = argparse.ArgumentParser(description="Prove that Prometheus runs what was released.")
    for name in ("url", "authority", "user", "password-file", "expected", "version"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--targets", action="store_true")
    faults = faults_of(parser.parse_args())
    print("\n".join(faults) or "proven")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
