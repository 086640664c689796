# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release: a link to its artifact, its rendered configuration, and how to activate and prove it.

Everything that a later rollback needs is written into release.json, so no controller is needed then.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping
from urllib.parse import urlsplit

from . import fs, signature
from .errors import EngineError, InputError

OPT = Path("/opt/plano")
VAR = Path("/var/lib/plano")
RUN = Path("/run/plano")

STRATEGIES = ("bluegreen", "restart", "reload", "none")
SLOTS = ("blue", "green")
SCHEMES = ("file", "http", "https", "s3")

_COMPONENT = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_~-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SECRET = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_TOKEN = re.compile(r"@([A-Z0-9]+)@")
STAGING = ".staging-"
MOVING_VERSIONS = ("latest", "stable", "current", "main", "master", "head")


@dataclass(frozen=True)
class Layout:
    """Where a component keeps its things on a host."""

    component: str
    opt: Path = OPT
    var: Path = VAR
    run: Path = RUN

    @property
    def home(self) -> Path:
        return self.opt / self.component

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def current(self) -> Path:
        return self.home / "current"

    @property
    def store(self) -> Path:
        return self.opt / "store"

    @property
    def ledger(self) -> Path:
        return self.var / self.component / "ledger.jsonl"

    @property
    def lock(self) -> Path:
        return self.var / self.component / "lock"

    @property
    def secrets(self) -> Path:
        return self.var / self.component / "secrets"

    @property
    def state(self) -> Path:
        return self.var / self.component / "state"

    @property
    def metrics(self) -> Path:
        return self.var / "metrics"

    @property
    def staging_lock(self) -> Path:
        return self.opt / ".staging.lock"

    def outcome(self, attempt: str) -> Path:
        return self.run / self.component / f"{attempt}.json"

    def confirm(self, attempt: str) -> Path:
        return self.run / self.component / f"{attempt}.confirm"


def version_fault(version: Any) -> str | None:
    """Say what is wrong with an artifact version, if anything."""
    text = str(version)
    if text.lower() in MOVING_VERSIONS:
        return f"version '{text}' moves; pin an exact version, for example 1.4.2"
    if not _VERSION.fullmatch(text):
        return f"version '{text}' is not a version: letters, digits and . + _ ~ - only, 64 at most"
    return None


def artifact_faults(artifact: Mapping[str, Any]) -> list[str]:
    """Return every fault of an artifact description, in words for the person who wrote it."""
    faults = []
    wrong = version_fault(artifact.get("version") or "")
    if wrong:
        faults.append(wrong)
    sha256 = str(artifact.get("sha256") or "")
    if not sha256:
        faults.append("sha256 is missing; it is mandatory: sha256sum FILE prints it")
    elif not _SHA256.fullmatch(sha256):
        faults.append(
            f"sha256 '{sha256}' is malformed: 64 lower-case hexadecimal digits are needed, this has {len(sha256)} characters"
        )
    strip = artifact.get("strip") or 0
    if not re.fullmatch(r"[0-9]{1,2}", str(strip)):
        faults.append(f"strip '{strip}' must say how many leading directories to drop, 0 to 99")
    sources = artifact.get("sources") or []
    if not sources:
        faults.append("sources is empty; name at least one file:, http:, https: or s3: URL")
    for source in sources:
        if urlsplit(str(source)).scheme not in SCHEMES:
            faults.append(f"source '{source}' is no file:, http:, https: or s3: URL")
    unreadable = signature.envelope_fault(str(artifact["signature"])) if artifact.get("signature") else None
    if unreadable:
        faults.append(unreadable)
    return faults


def _relative_fault(path: str) -> bool:
    return path.startswith("/") or ".." in path.split("/") or path in ("", "release.json", "artifact")


def request_faults(request: Mapping[str, Any]) -> list[str]:
    """Return every fault of a request at once; an empty list means it can be carried out."""
    faults = []
    if not _COMPONENT.fullmatch(str(request.get("component") or "")):
        faults.append(f"component '{request.get('component')}' must be a lower-case name such as backend")
    if request.get("artifact"):
        policy = (str(request.get("allowed_signers") or ""), bool(request.get("require_signature")))
        found = artifact_faults(request["artifact"]) + signature.policy_faults(request["artifact"], *policy)
        faults += [f"artifact: {fault}" for fault in found]
    for item in request.get("files") or []:
        if _relative_fault(str(item.get("dest") or "")):
            faults.append(f"files: dest '{item.get('dest')}' must be a path inside the release")
        if not re.fullmatch(r"0?[0-7]{3}", str(item.get("mode") or "0644")):
            faults.append(
                f"files: mode '{item.get('mode')}' of {item.get('dest')} must be a quoted octal such as \"0644\""
            )
    names = {item.get("dest") for item in request.get("files") or []}
    for place, path in (request.get("links") or {}).items():
        if not str(place).startswith("/"):
            faults.append(f"links: '{place}' must be an absolute path")
        if path not in names:
            faults.append(f"links: '{path}' is not among the files of the release")
    for name in request.get("secrets") or {}:
        if not _SECRET.fullmatch(str(name)):
            faults.append(f"secrets: name '{name}' must be letters, digits and . _ -")
    faults += _activation_faults(request, names)
    for check in request.get("health") or []:
        faults += _check_faults(check)
    if not request.get("health") and (request.get("activation") or {}).get("strategy") != "none":
        faults.append("health is empty; no evidence is failure: name at least one check")
    elif request.get("health") and all(check.get("only") for check in request["health"]):
        faults.append("health: every check is for changes only; no evidence is failure: name one that is always asked")
    return faults


def _activation_faults(request: Mapping[str, Any], names: set[Any]) -> list[str]:
    faults = []
    activation = request.get("activation") or {}
    strategy = activation.get("strategy")
    if strategy not in STRATEGIES:
        faults.append(f"activation: strategy '{strategy}' must be one of {', '.join(STRATEGIES)}")
    unit_file = activation.get("unit_file")
    if unit_file and unit_file not in names:
        faults.append(f"activation: unit_file '{unit_file}' is not among the files of the release")
    if strategy in ("restart", "reload") and not (activation.get("unit") or activation.get("commands")):
        faults.append(f"activation: strategy {strategy} needs unit or commands")
    for place in activation.get("state_files") or []:
        if not str(place).startswith("/"):
            faults.append(f"activation: state_files '{place}' must be an absolute path")
    if activation.get("state_files") and strategy != "restart":
        faults.append("activation: state_files are kept by strategy restart only, which stops the service")
    if strategy == "bluegreen":
        for name in ("unit", "unit_file", "ports", "proxy"):
            if not activation.get(name):
                faults.append(f"activation: strategy bluegreen needs {name}")
        if sorted(activation.get("ports") or []) != sorted(SLOTS):
            faults.append("activation: ports must name a port for blue and one for green")
        if not any(check.get("type") == "http" for check in request.get("health") or []):
            faults.append("health: strategy bluegreen needs a check of type http, which is asked through the proxy too")
    return faults


def _check_faults(check: Mapping[str, Any]) -> list[str]:
    needed = {"http": "url", "tcp": "port", "command": "argv"}
    kind = check.get("type")
    if kind not in needed:
        return [f"health: type '{kind}' must be http, tcp or command"]
    if not check.get(needed[kind]):
        return [f"health: a check of type {kind} needs {needed[kind]}"]
    for name in ("match", "stdout"):
        try:
            re.compile(str(check.get(name) or ""))
        except re.error as exc:
            return [f"health: {name} '{check[name]}' is not a regular expression: {exc}"]
    if check.get("only") not in (None, "change"):
        return [f"health: only '{check['only']}' must be change, or not be there"]
    timeout = check.get("timeout")
    if timeout is not None and not re.fullmatch(r"[1-9][0-9]*(\.[0-9]+)?", str(timeout)):
        return [f"health: timeout '{timeout}' is not a number of seconds"]
    if bool(check.get("user")) != bool(check.get("password_file")):
        return [f"health: the check of {check.get('url')} needs user and password_file, or neither"]
    return []


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def secrets_id(component: str, secrets: Mapping[str, str]) -> str:
    """Name a set of secrets without telling them: 32 bits of scrypt (RFC 7914, N=2^14, r=8, p=1)."""
    if not secrets:
        return ""
    return hashlib.scrypt(
        canonical(dict(secrets)), salt=f"plano:{component}".encode(), n=1 << 14, r=8, p=1, dklen=4
    ).hex()


def describe(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a release: all of the request that a later rollback needs, and its id.

    Pure: the same request gives the same id on every host. Raises InputError with every fault.
    """
    faults = request_faults(request)
    if faults:
        raise InputError(faults)
    artifact = request.get("artifact")
    kept = {
        "component": request["component"],
        "version": str(artifact["version"] if artifact else request.get("version") or "configuration"),
        "artifact": {
            "version": str(artifact["version"]),
            "sha256": artifact["sha256"],
            "build": artifact.get("build") or "none",
            "format": artifact.get("format") or "tar",
            "strip": int(artifact.get("strip") or 0),
        }
        if artifact
        else None,
        "files": {
            item["dest"]: {
                "mode": f"{int(str(item.get('mode') or '0644'), 8):04o}",
                "sha256": hashlib.sha256((item.get("content") or "").encode()).hexdigest(),
            }
            for item in request.get("files") or []
        },
        "links": dict(request.get("links") or {}),
        "secrets": secrets_id(request["component"], request.get("secrets") or {}),
        "validate": [list(argv) for argv in request.get("validate") or []],
        "migrate": request.get("migrate") or None,
        "activation": {key: value for key, value in (request.get("activation") or {}).items() if value is not None},
        "health": [
            {key: value for key, value in check.items() if value is not None} for check in request.get("health") or []
        ],
        "confirm_within": int(request.get("confirm_within") or 0),
    }
    # Version and digest stand in the id themselves; how the artifact is unpacked and built does not.
    handling = {key: value for key, value in (kept["artifact"] or {}).items() if key not in ("version", "sha256")}
    configuration = hashlib.sha256(canonical({**kept, "artifact": handling, "version": None})).hexdigest()
    parts = [kept["version"]] + ([artifact["sha256"][:8]] if artifact else []) + [configuration[:8]]
    return {**kept, "id": "-".join(parts)}


class Releases:
    """The releases of one component on this host."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def path(self, release: str) -> Path:
        return self.layout.releases / release

    def has(self, release: str) -> bool:
        return (self.path(release) / "release.json").is_file()

    def names(self) -> list[str]:
        folder = self.layout.releases
        return (
            sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
        )

    def description(self, release: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.path(release) / "release.json").read_text(encoding="utf-8"))
            return found
        except (OSError, ValueError) as exc:
            raise EngineError(f"release {release} of {self.layout.component} cannot be read: {exc}") from None

    def content(self, release: str) -> dict[str, str]:
        """Return the text of every file of *release*, for a diff."""
        if not self.has(release):
            return {}
        return {
            name: (self.path(release) / name).read_text(encoding="utf-8", errors="replace")
            for name in self.description(release)["files"]
            if (self.path(release) / name).is_file()
        }

    def verify(self, release: str) -> list[str]:
        """Hash every file of *release* again and say what differs."""
        if not self.has(release):
            return [f"release {release} is not on this host"]
        description = self.description(release)
        expected = {name: f"{item['mode']} {item['sha256']}" for name, item in description["files"].items()}
        if description["artifact"]:
            expected["artifact"] = f"-> {self.layout.store / 'sha256' / description['artifact']['sha256']}"
        return fs.manifest_faults(expected, fs.tree_manifest(self.path(release), frozenset({"release.json"})))

    def add(self, description: Mapping[str, Any], files: Mapping[str, str]) -> bool:
        """Write a release complete or not at all; say whether it was new."""
        release = description["id"]
        if self.has(release) and not self.verify(release):
            fs.fsync_dir(self.layout.releases)
            return False
        staging = self.layout.releases / f"{STAGING}{uuid.uuid4().hex}"
        try:
            fs.make_dir(self.layout.releases)
            staging.mkdir(mode=0o755)
            for name, item in description["files"].items():
                target = staging / name
                target.parent.mkdir(parents=True, exist_ok=True)
                fs.write_new(target, files[name].encode(), int(item["mode"], 8))
            if description["artifact"]:
                os.symlink(self.layout.store / "sha256" / description["artifact"]["sha256"], staging / "artifact")
            fs.write_new(staging / "release.json", json.dumps(description, indent=1, sort_keys=True).encode(), 0o644)
            fs.sync_file_system(staging)
            self._publish(staging, release)
        except OSError as exc:
            raise EngineError(
                f"cannot write release {release} below {self.layout.releases}: {fs.reason(exc, self.layout.releases)}. "
                "What serves was not touched; mend that and run the same command again"
            ) from exc
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        fs.fsync_dir(self.layout.releases)
        return True

    def _publish(self, staging: Path, release: str) -> None:
        final = self.path(release)
        try:
            os.rename(staging, final)
        except OSError:
            # Another run may have written the very same release meanwhile, and may be switching to it by now.
            if not final.is_dir():
                raise
            if self.verify(release):
                # A release that no longer matches its own description is replaced as a whole.
                fs.remove_tree(final)
                os.rename(staging, final)

    def add_secrets(self, description: Mapping[str, Any], secrets: Mapping[str, str]) -> None:
        """Keep the secrets of a release outside of it, readable by root only."""
        final = self.layout.secrets / description["secrets"]
        if not description["secrets"]:
            return
        if final.is_dir():
            fs.fsync_dir(self.layout.secrets)
            return
        staging = self.layout.secrets / f"{STAGING}{uuid.uuid4().hex}"
        try:
            fs.make_dir(self.layout.secrets, 0o700)
            staging.mkdir(mode=0o700)
            for name, value in secrets.items():
                fs.write_new(staging / name, value.encode(), 0o400)
            fs.fsync_dir(staging)
            os.rename(staging, final)
        except OSError as exc:
            # Another run may have written the same secrets meanwhile.
            if not final.is_dir():
                raise EngineError(
                    f"cannot keep the secrets of {description['id']} below {self.layout.secrets}: "
                    f"{fs.reason(exc, self.layout.secrets)}. What serves was not touched; mend that and run the same command again"
                ) from exc
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        fs.fsync_dir(self.layout.secrets)

    def remove(self, release: str) -> None:
        fs.remove_tree(self.path(release))

    def sweep(self) -> None:
        """Remove what a killed process left half written; nobody may be staging."""
        for folder in (self.layout.releases, self.layout.secrets):
            fs.remove_litter(folder)


def tokens(
    layout: Layout, description: Mapping[str, Any], slot: str | None = None, base: str | None = None
) -> dict[str, str]:
    """Return what @NAME@ stands for in unit files, commands and checks of a release."""
    artifact = description["artifact"]
    activation = description["activation"]
    port = str((activation.get("ports") or {}).get(slot, "")) if slot else ""
    return {
        "ID": description["id"],
        "VERSION": description["version"],
        "SHA256": artifact["sha256"] if artifact else "",
        "RELEASE": str(layout.releases / description["id"]),
        "CURRENT": str(layout.current),
        "ARTIFACT": str(layout.store / "sha256" / artifact["sha256"]) if artifact else "",
        "SECRETS": str(layout.secrets / description["secrets"]) if description["secrets"] else "",
        "SLOT": slot or "",
        "PORT": port,
        "BASE": base or (f"http://127.0.0.1:{port}" if port else ""),
    }


def expand(value: Any, words: Mapping[str, str]) -> Any:
    """Replace @NAME@ in every string inside *value*; unknown names stay as they are."""
    if isinstance(value, str):
        return _TOKEN.sub(lambda match: words.get(match.group(1), match.group(0)), value)
    if isinstance(value, list):
        return [expand(item, words) for item in value]
    if isinstance(value, dict):
        return {key: expand(item, words) for key, item in value.items()}
    return value
