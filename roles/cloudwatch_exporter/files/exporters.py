"""Run one CloudWatch Exporter for each region as one service, because one process reads one region only.

exporters.py check FOLDER
    Is this machine's Java new enough for the jar in FOLDER?
exporters.py start FOLDER CONFIGURATIONS REGION:PORT... -- OPTION...
    Run an exporter for each REGION on its PORT, with CONFIGURATIONS/REGION.yml, until one of them ends.
exporters.py reload REGION:PORT...
    Let each of them read its configuration again, and insist that it does.
"""

import glob
import http.client
import os
import re
import struct
import subprocess
import sys
import threading
import zipfile

JAVA = "/usr/bin/java"
MAIN = "io/prometheus/cloudwatch/WebServer.class"
# The first version of class files is 45, that of Java 1.
BEFORE_JAVA_1 = 44
SECONDS = 30
MOST = 500
FRAME = re.compile(r"\s+(at |\.\.\. \d+ (more|common frames))")


class Fault(Exception):
    """What keeps the exporters from running as they should."""


def jar(folder):
    found = glob.glob(os.path.join(folder, "*.jar"))
    if len(found) != 1:
        raise Fault(f"there must be one jar in {folder}, there are {len(found)}")
    return found[0]


def needed(path):
    """Return the version of Java that the jar at *path* was compiled for."""
    try:
        with zipfile.ZipFile(path) as packed, packed.open(MAIN) as file:
            _magic, _minor, major = struct.unpack(">IHH", file.read(8))
    except (OSError, KeyError, zipfile.BadZipFile, struct.error) as exc:
        raise Fault(f"{path} is no CloudWatch Exporter: {exc}") from exc
    return major - BEFORE_JAVA_1


def installed():
    try:
        done = subprocess.run([JAVA, "-version"], capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Fault(f"Java does not run: {exc}; install default-jre-headless") from exc
    # Before 9 they were 1.8 and the like.
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    if found is None:
        raise Fault(f"{JAVA} -version does not say a version: {(done.stderr or done.stdout).strip()[:200]}")
    return int(found.group(1))


def check(folder):
    path = jar(folder)
    found, least = installed(), needed(path)
    if found < least:
        raise Fault(
            f"{path} needs Java {least}, {JAVA} is Java {found}: install a newer one, or release an older exporter"
        )
    print(f"Java {found} runs {path}, which needs {least}")


def retell(region, stream):
    """Say whose words they are, and leave out where in Java's code they were said: the reason would drown in it."""
    for line in stream:
        text = line.decode(errors="replace").rstrip()
        if text and not FRAME.match(text):
            print(f"{region}: {text[:MOST]}", flush=True)


def start(folder, configurations, listeners, options):
    path = jar(folder)
    running = {}
    for listener in listeners:
        region, port = listener.split(":")
        argv = [JAVA, *options, "-jar", path, port, os.path.join(configurations, f"{region}.yml")]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        teller = threading.Thread(target=retell, args=(region, process.stdout), daemon=True)
        teller.start()
        running[process.pid] = region, teller
    pid, status = os.wait()
    region, teller = running[pid]
    teller.join(SECONDS)
    # systemd ends the others with this process, and then starts all of them again.
    raise Fault(f"the exporter of {region} ended by itself, with {os.waitstatus_to_exitcode(status)}")


def reload(listeners):
    for listener in listeners:
        region, port = listener.split(":")
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)
        try:
            connection.request("POST", "/-/reload")
            answer = connection.getresponse()
            body = answer.read(200).decode(errors="replace").strip()
        except (OSError, http.client.HTTPException) as exc:
            raise Fault(f"the exporter of {region} does not answer: {exc or type(exc).__name__}") from exc
        finally:
            connection.close()
        if answer.status != 200:
            raise Fault(f"the exporter of {region} answers {answer.status} to a reload: {body}")


def main(argv):
    what, words = (argv[0], argv[1:]) if argv else ("", [])
    try:
        if what == "check" and len(words) == 1:
            check(words[0])
        elif what == "start" and "--" in words[3:]:
            end = words.index("--")
            start(words[0], words[1], words[2:end], words[end + 1 :])
        elif what == "reload" and words:
            reload(words)
        else:
            raise Fault(f"usage: {__doc__}")
    except Fault as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
