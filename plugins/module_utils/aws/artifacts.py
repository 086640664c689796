# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published artifacts: where each stands in its bucket, what the object says about itself, and its entry in the catalog."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Iterable, Mapping

from ..engine.release import version_fault

# S3 keeps at most 2 KB of user metadata, names and values together.
METADATA_LIMIT = 2048
ARMOR_WIDTH = 70  # as ssh-keygen writes it
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"

_COMPONENT = re.compile(r"[a-z][a-z0-9_]{0,39}")
# AWS's rules for names, without dots: a bucket with a dot has no certificate that fits its address.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9._/-]*")
_EXTENSION = r"(?:\.tar)?\.[A-Za-z][A-Za-z0-9]{0,7}"
# How the host handles the file: no part of its bytes, and not said where it is what goes without saying.
_HANDLING = {"build": "none", "format": "tar", "strip": 0}


@dataclass(frozen=True)
class Place:
    """Below which address artifacts are published."""

    bucket: str
    prefix: str = ""

    def key(self, component: str, version: str, extension: str) -> str:
        return f"{self.stem(component, version)}{extension}"

    def stem(self, component: str, version: str) -> str:
        """Return the key of a version without its extension, which is unknown until it is looked for."""
        return f"{self.folder(component)}{component}-{version}"

    def folder(self, component: str) -> str:
        return "".join(f"{part}/" for part in (self.prefix.strip("/"), component) if part)

    def url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def faults(self) -> list[str]:
        faults = []
        if not _BUCKET.fullmatch(self.bucket):
            faults.append(
                f"bucket '{self.bucket}' is no bucket's name: 3 to 63 lower-case letters, digits and hyphens, without dots"
            )
        if not _PREFIX.fullmatch(self.prefix):
            faults.append(f"prefix '{self.prefix}' may hold letters, digits and . _ - / only")
        return faults


@dataclass(frozen=True)
class Artifact:
    """A version of a component, as it is or will be in the bucket."""

    component: str
    version: str
    sha256: str
    signature: str = ""
    handling: Mapping[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Return what the object says about itself; an HTTP header is one line."""
        lines = self.signature.split("\n")
        flat = "".join(line.strip() for line in lines if not line.startswith("-----"))
        said = {"component": self.component, "version": self.version, "sha256": self.sha256, "signature": flat}
        return {name: str(value) for name, value in {**said, **self.handled()}.items() if value}

    def signed(self, signature: str) -> Artifact:
        return replace(self, signature=signature)

    def handled(self) -> dict[str, Any]:
        return {
            name: self.handling[name] for name, usual in _HANDLING.items() if self.handling.get(name, usual) != usual
        }

    def entry(self, url: str) -> dict[str, Any]:
        """Return the entry of plano_artifacts for this artifact at *url*."""
        entry = {"version": self.version, "sha256": self.sha256, "sources": [url], **self.handled()}
        return {**entry, "signature": self.signature} if self.signature else entry

    def faults(self) -> list[str]:
        faults = []
        if not _COMPONENT.fullmatch(self.component):
            faults.append(f"component '{self.component}' must be a lower-case name such as backend")
        wrong = version_fault(self.version)
        if wrong:
            faults.append(wrong)
        size = sum(len(name) + len(value) for name, value in self.metadata().items())
        if size > METADATA_LIMIT:
            faults.append(
                f"the signature makes {size} bytes of metadata, S3 keeps {METADATA_LIMIT}: "
                "sign with an ed25519 key (docs/signatures.md), whose signatures have about 300 bytes"
            )
        return faults


def artifact(metadata: Mapping[str, str]) -> Artifact | None:
    """Return the artifact that an object says it is; None for one that was not published here."""
    if not all(metadata.get(name) for name in ("component", "version", "sha256")):
        return None
    handling: dict[str, Any] = {name: metadata[name] for name in _HANDLING if metadata.get(name)}
    if "strip" in handling:
        handling["strip"] = int(handling["strip"])
    armored = armor(metadata.get("signature", ""))
    return Artifact(metadata["component"], metadata["version"], metadata["sha256"], armored, handling)


def armor(flat: str) -> str:
    """Return a signature as ssh-keygen prints it, empty when there is none."""
    if not flat:
        return ""
    lines = [flat[start : start + ARMOR_WIDTH] for start in range(0, len(flat), ARMOR_WIDTH)]
    return "\n".join([_BEGIN, *lines, _END]) + "\n"


def extension(name: str) -> str | None:
    """Return how a file's name ends, with .tar before it if it is there; None when it has no such end."""
    found = re.search(_EXTENSION + "$", name)
    return found.group(0) if found else None


def same_version(stem: str, keys: Iterable[str]) -> list[str]:
    """Return those of *keys* that are the version of *stem*, whatever their extension: not 1.0.1 for 1.0."""
    return sorted(key for key in keys if key.startswith(stem) and re.fullmatch(_EXTENSION, key[len(stem) :]))


def order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return what versions are sorted by: 1.10 comes after 1.9, 1.9-rc1 before it, 1.9+b behind it."""
    parts = re.findall(r"[0-9]+|[^0-9.]+", version)
    ranks = [(1, int(part), "") if part.isdigit() else (0, 2 if part.startswith("+") else 0, part) for part in parts]
    return (*ranks, (0, 1, ""))


def part_size(size: int, least: int) -> int:
    """Return the size of an upload's parts: S3 takes 10,000 of them at most."""
    return max(least, -(-size // 10_000))
