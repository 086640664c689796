"""Prove that the CloudWatch Exporters of all regions are of the wanted version and can read what they are to read.

prove.py VERSION EXPECTED SECONDS

Each has SECONDS to answer. EXPECTED is a file with, by region, the ports, and the families: names of the metrics that the region's configuration can bring.
CloudWatch is paid by the question, so each exporter is asked for its metrics once, and only after all are there. Says so in a line, or
says what is wrong and exits with 1.
"""

import concurrent.futures
import http.client
import json
import re
import sys
import time

READY_SECONDS = 5
# The engine asks again until its time is over; a scrape that failed is not to be paid for ten times a second.
PAUSE_SECONDS = 5


class NotProven(Exception):
    """What runs is not what should run, or cannot read what it should."""


def ask(port, path, seconds):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as exc:
        raise NotProven(f"port {port}{path} does not answer: {exc or type(exc).__name__}") from exc
    finally:
        connection.close()
    if answer.status != 200:
        raise NotProven(f"port {port}{path} answers {answer.status} instead of 200: {body[:200].strip()}")
    return body


def fault(version, families, metrics):
    """Return what *metrics* say against the exporter, or None."""
    found = re.search(r'^cloudwatch_exporter_build_info\{[^}]*build_version="([^"]*)"', metrics, re.MULTILINE)
    if found is None or found.group(1) != version:
        return f"version {found.group(1) if found else 'unknown'} runs instead of {version}"
    if not re.search(r"^cloudwatch_exporter_scrape_error 0(\.0)?$", metrics, re.MULTILINE):
        return "it cannot read all it is to read (cloudwatch_exporter_scrape_error); its log says why"
    shown = set(re.findall(r"^# TYPE (aws_\S+) ", metrics, re.MULTILINE)) - {"aws_resource_info"}
    strangers = sorted(shown - set(families))
    if strangers:
        return f"it runs another configuration, which has {', '.join(strangers)}"
    return None


def prove(version, path, seconds):
    with open(path, encoding="utf-8") as file:
        expected = json.load(file)
    ports, families = expected["ports"], expected["families"]
    for port in ports.values():
        ask(port, "/-/ready", READY_SECONDS)
    # All at once, or two long scrapes would take twice as long as one may.
    with concurrent.futures.ThreadPoolExecutor(len(ports)) as pool:
        asked = {region: pool.submit(ask, port, "/metrics", float(seconds)) for region, port in ports.items()}
    faults, series = [], 0
    for region, answer in asked.items():
        try:
            metrics = answer.result()
            found = fault(version, families[region], metrics)
        except NotProven as exc:
            metrics, found = "", str(exc)
        series += len(re.findall(r"^aws_(?!resource_info)", metrics, re.MULTILINE))
        if found:
            faults.append(f"{region}: {found}")
    if faults:
        time.sleep(PAUSE_SECONDS)
        raise NotProven("; ".join(faults))
    return f"CloudWatch Exporter {version} reads {', '.join(ports)}: {series} series of AWS"


def main():
    if len(sys.argv) != 4:
        print(f"usage: {__doc__}", file=sys.stderr)
        return 1
    try:
        print(prove(*sys.argv[1:]))
    except (NotProven, OSError, ValueError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
