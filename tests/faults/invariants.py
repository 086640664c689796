"""Runs on a host and says which invariants do not hold; shares no code with the engine it judges.

    python3 - COMPONENT URL

Prints JSON: ``violations``, a list of sentences that begin with the invariant's name, and ``facts``, what was seen.

    I1  current resolves to a complete release, byte by byte what its description says, with its whole artifact
    I2  the service answers its health check with the version and release that the ledger confirmed last
    I3  the ledger's hash chain holds, its head names its last entry, and no attempt is without an outcome
    I4  nobody holds the lock
    I6  no secret stands in a ledger, a release, a unit file, the journal or on a command line
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

OPT, VAR, RUN = Path("/opt/plano"), Path("/var/lib/plano"), Path("/run/plano")
UNITS = Path("/etc/systemd/system")
MAP = VAR / "haproxy/backend.map"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def chain_faults(folder: Path) -> tuple[list[str], list[dict]]:
    """Return what is wrong with the ledger, and its entries."""
    faults, entries, prev = [], [], "0" * 64
    text = (folder / "ledger.jsonl").read_bytes()
    if not text.endswith(b"\n"):
        faults.append("the ledger ends within a line")
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            faults.append(f"line {number} is no JSON")
            break
        body = {key: value for key, value in entry.items() if key != "hash"}
        digest = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        if (digest, prev, number) != (entry["hash"], entry["prev"], entry["seq"]):
            faults.append(f"line {number} breaks the chain")
        prev = entry["hash"]
        entries.append(entry)
    head = json.loads((folder / "ledger.head").read_bytes())
    if entries and head != {"seq": entries[-1]["seq"], "hash": entries[-1]["hash"]}:
        faults.append(f"the head names entry {head['seq']} of {len(entries)}")
    still_open: dict[str, str] = {}
    for entry in entries:
        if entry.get("attempt") and entry["state"] in ("staged", "switched"):
            still_open[entry["attempt"]] = entry["state"]
        elif entry["state"] in ("confirmed", "reverted", "failed"):
            still_open.pop(entry.get("attempt"), None)
    faults += [f"attempt {name} is {state} and has no outcome" for name, state in still_open.items()]
    return faults, entries


def release_faults(release: Path) -> list[str]:
    """Compare every file with its description, and the artifact with the store's own record of it."""
    described = json.loads((release / "release.json").read_bytes())
    faults = [
        f"{name} is not what release.json says"
        for name, item in described["files"].items()
        if not (release / name).is_file() or sha256(release / name) != item["sha256"]
    ]
    if described["artifact"]:
        stored = release / "artifact"
        entry = json.loads((stored / "entry.json").read_bytes())
        if entry["sha256"] != described["artifact"]["sha256"]:
            faults.append("the artifact is another one")
        for name, item in entry["files"].items():
            path = stored / name
            if item.startswith("-> "):
                sound = path.is_symlink() and os.readlink(path) == item[3:]
            else:
                sound = path.is_file() and sha256(path) == item.split()[1]
            if not sound:
                faults.append(f"{name} of the artifact is not what was stored")
    return faults


def ask(url: str) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except (OSError, ValueError) as exc:
        return getattr(exc, "code", 0), {"error": str(exc)}


def secret_faults(component: str) -> list[str]:
    secrets = {path.read_bytes().strip() for path in (VAR / component / "secrets").glob("*/*")} - {b""}
    if not secrets:
        return ["there is no secret to look for"]
    places = [*VAR.glob("*/ledger*"), *OPT.glob("*/releases/**/*"), *UNITS.glob("plano-*"), *RUN.glob("**/*")]
    texts = {str(path): path.read_bytes() for path in places if path.is_file()}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            texts[str(path)] = path.read_bytes()
        except OSError:
            continue  # it has ended meanwhile
    texts["the journal"] = subprocess.run(
        ["journalctl", "--output=cat", "--lines=2000"], capture_output=True, check=True
    ).stdout
    return [f"{place} holds a secret" for place, text in texts.items() if any(secret in text for secret in secrets)]


def main() -> None:
    """Judge one component."""
    component, url = sys.argv[1:3]
    violations: list[str] = []
    current = OPT / component / "current"
    try:
        violations += [f"I1 {fault}" for fault in release_faults(current)]
    except (OSError, ValueError, KeyError) as exc:
        violations.append(f"I1 {exc}")
    live = os.path.basename(os.readlink(current)) if current.is_symlink() else None
    chain, entries = chain_faults(VAR / component)
    violations += [f"I3 {fault}" for fault in chain]
    confirmed = [entry for entry in entries if entry["state"] == "confirmed"][-1]
    wanted = (confirmed["release"], confirmed["version"])
    if confirmed["release"] != live:
        violations.append(f"I2 the ledger confirmed {wanted[0]}, current names {live}")
    status, said = ask(f"{url}/version")
    if (status, said.get("release"), said.get("version")) != (200, *wanted):
        violations.append(f"I2 the ledger confirmed {wanted[0]}, the service answers {status} {said}")
    health, why = ask(f"{url}/health")
    if health != 200:
        violations.append(f"I2 the service is not healthy: {health} {why}")
    serving = MAP.read_text().split()[1]
    if confirmed.get("slot") != serving:
        violations.append(f"I2 the ledger confirmed slot {confirmed.get('slot')}, the map names {serving}")
    wants = sorted(path.name for path in UNITS.glob(f"multi-user.target.wants/plano-{component}@*"))
    if wants != [f"plano-{component}@{serving}.service"]:
        violations.append(f"I2 slot {serving} serves, but a reboot starts {wants}")
    with (VAR / component / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            violations.append("I4 the lock is held")
    violations += [f"I6 {fault}" for fault in secret_faults(component)]
    facts = {
        "version": confirmed["version"],
        "release": confirmed["release"],
        "slot": serving,
        "entries": len(entries),
        "last": entries[-1]["state"],
        "litter": [str(path) for pattern in ("**/.staging-*", "*/.*.tmp") for path in OPT.glob(pattern)],
    }
    print(json.dumps({"violations": violations, "facts": facts}))


main()
