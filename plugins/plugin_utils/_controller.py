# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what the action plugins do on the controller, without Ansible."""

from __future__ import annotations

import fcntl
import getpass
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Iterable, Mapping
from urllib.parse import unquote, urlsplit

import yaml

from ansible_collections.plano.delivery.plugins.module_utils.engine import archive, fs, signature
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import artifact_faults, version_fault
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Host

PINS = "plano_pins"
PINS_HEADER = (
    "# Written by the rollback playbook: the next deploy goes to 'version' while the inventory still asks for\n"
    "# 'instead_of', the version that was rolled back. Asking for another version needs no edit here.\n"
)


def local_path(source: str) -> Path | None:
    """Return the path of a file: URL, None for any other."""
    parts = urlsplit(source)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def run_id() -> str:
    """Return one id for the whole run: every worker derives it from the same parent process."""
    parent = os.getppid()
    try:
        # proc_pid_stat(5): field 22 is the start time in clock ticks after boot; the name in () may hold spaces.
        ticks = int(Path(f"/proc/{parent}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        boot = next(
            line for line in Path("/proc/stat").read_text(encoding="ascii").splitlines() if line.startswith("btime")
        )
        started = int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except OSError:
        started = time.time()
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(started)) + f"-{parent:x}"


def change_stamp(task_vars: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Say who changes what and why, for the ledgers of all hosts."""
    return {
        "id": given.get("id") or str(task_vars.get("plano_change_id") or run_id()),
        "actor": given.get("actor") or os.environ.get("GITHUB_ACTOR") or f"{getpass.getuser()}@{socket.gethostname()}",
        "reason": given.get("reason") or str(task_vars.get("plano_reason") or ""),
        "commit": given.get("commit")
        or os.environ.get("GITHUB_SHA")
        or _git_commit(str(task_vars.get("playbook_dir") or ".")),
    }


def _git_commit(folder: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def presigned(sources: Iterable[str]) -> list[str]:
    """Turn each s3: URL into one that a host can fetch without any AWS library or key; leave the others as they are."""
    found = list(sources)
    return _aws_s3().presigned(found) if any(map(_in_s3, found)) else found


def _in_s3(source: str) -> bool:
    return urlsplit(source).scheme == "s3"


def _aws_s3() -> Any:
    """Return what speaks to S3. It needs boto3, whose import takes longer than all else here: only where a source is there."""
    from ansible_collections.plano.delivery.plugins.plugin_utils import _s3

    return _s3


def sign(key: Path, component: str, version: str, sha256: str) -> str:
    """Let ssh-keygen sign with *key*: a private key without a passphrase, or a public one whose other half ssh-agent holds."""
    # In a session of its own there is no terminal on which it could ask for a passphrase, and wait.
    alone = ["setsid", "--wait", "ssh-keygen", "-Y", "sign", "-f", str(key), "-n", signature.NAMESPACE]
    said = signature.statement(component, version, sha256)
    done = Host().run(alone, stdin=said, env={"SSH_ASKPASS_REQUIRE": "never"})
    if done.code != 0:
        raise signature.SignatureError(
            f"ssh-keygen cannot sign with {key} ({done.why}): docs/signatures.md tells how such a key is made; "
            "one with a passphrase must be in ssh-agent, and its public half named here"
        )
    return done.stdout


def pinned(pins: Mapping[str, Any], component: str, wanted: str) -> str:
    """Return the version that a deploy of *wanted* goes to while a rollback's pin holds."""
    pin = pins.get(component) or {}
    return str(pin["version"]) if pin.get("instead_of") == wanted else wanted


def catalog_faults(
    component: str, catalog: Iterable[Mapping[str, Any]], wanted: str, seen: dict[tuple[str, ...], list[str]]
) -> list[str]:
    """Return every fault of the pinned artifacts of *component* and of the *wanted* version.

    Files on the controller are read to the last byte; *seen* remembers them between hosts.
    """
    faults = []
    entries = list(catalog)
    for entry in entries:
        faults += [f"artifact {entry.get('version', 'without a version')}: {fault}" for fault in artifact_faults(entry)]
    wrong = version_fault(wanted)
    if wrong:
        return [*faults, wrong]
    chosen = next((entry for entry in entries if str(entry.get("version")) == wanted), None)
    if chosen is None:
        known = ", ".join(str(entry.get("version")) for entry in entries) or "none"
        return [*faults, f"version '{wanted}' of {component} is unknown; pinned artifacts: {known}"]
    if artifact_faults(chosen):
        return faults
    key = (str(chosen["sources"]), chosen["sha256"])
    if key not in seen:
        seen[key] = source_faults(chosen)
    return [*faults, *(f"artifact {wanted}: {fault}" for fault in seen[key])]


def signature_faults(
    component: str,
    catalog: Iterable[Mapping[str, Any]],
    wanted: str,
    allowed: str,
    required: bool,
    seen: dict[tuple[str, ...], list[str]],
) -> list[str]:
    """Return what the *wanted* version's host would find wrong with its signature; *seen* as above.

    A controller without ssh-keygen leaves it to the host, which never takes the controller's word for it.
    """
    chosen = next((entry for entry in catalog if str(entry.get("version")) == wanted), None)
    if chosen is None:
        return []
    faults = signature.policy_faults(chosen, allowed, required)
    if not faults and chosen.get("signature") and allowed.strip() and not artifact_faults(chosen):
        key = (component, wanted, chosen["sha256"], str(chosen["signature"]), allowed)
        if key not in seen:
            seen[key] = _verdict(component, chosen, allowed)
        faults = seen[key]
    return [f"artifact {wanted}: {fault}" for fault in faults]


def _verdict(component: str, artifact: Mapping[str, Any], allowed: str) -> list[str]:
    try:
        signature.verify(Host(), component, artifact, allowed)
    except signature.NoTool:
        return []
    except signature.SignatureError as exc:
        return [str(exc)]
    return []


def source_faults(artifact: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an artifact whose sources are all files on this controller, or in S3.

    Other sources are out of sight from here; the host checks them before it unpacks anything.
    """
    faults = []
    for source in map(str, artifact["sources"]):
        path = local_path(source)
        if path is None:
            missing = _aws_s3().object_faults(source, artifact["sha256"]) if _in_s3(source) else []
            if not missing:
                return []
            faults += missing
            continue
        if not path.is_file():
            faults.append(f"source file {path} does not exist")
            continue
        actual = fs.sha256_file(path)
        if actual != artifact["sha256"]:
            faults.append(
                f"source file {path} ({path.stat().st_size} bytes) has sha256 {actual}, expected {artifact['sha256']}"
            )
            continue
        if (artifact.get("format") or "tar") == "tar":
            try:
                archive.inspect(path, int(artifact.get("strip") or 0))
            except archive.ArchiveError as exc:
                faults.append(f"archive {path.name}: {exc}")
                continue
        return []
    return faults


def find_local(artifact: Mapping[str, Any]) -> Path | None:
    """Return the first source of *artifact* on this controller that exists."""
    for source in artifact.get("sources") or []:
        path = local_path(str(source))
        if path is not None and path.is_file():
            return path
    return None


def update_pins(path: Path, change: dict[str, dict[str, Any] | None]) -> bool:
    """Set (or, with None, remove) the pins of components in the file *path*; say whether it differed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Several hosts roll back at once, each in a process of its own.
        fcntl.flock(folder, fcntl.LOCK_EX)
        old = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}
        pins = dict(old.get(PINS) or {})
        for component, pin in change.items():
            pins.pop(component, None)
            if pin is not None:
                pins[component] = pin
        if pins == (old.get(PINS) or {}):
            return False
        text = PINS_HEADER + "---\n" + yaml.safe_dump({PINS: pins}, sort_keys=True, default_style='"' if pins else None)
        fs.write_atomic(path, text.encode())
    finally:
        os.close(folder)
    return True
