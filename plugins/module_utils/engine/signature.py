# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who vouches for an artifact: an SSH signature, judged by OpenSSH's own ssh-keygen.

Signed is not the file but a statement that names component, version and sha256. The digest binds the bytes, which
are hashed anyway; the version keeps an old signed file from being passed off as a newer one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from .errors import EngineError
from .systemd import Done, Host

# A signature made for anything else, a git commit or a mail, says nothing about an artifact.
NAMESPACE = "artifact@plano.delivery"

# OpenSSH's PROTOCOL.sshsig: armor, then magic, version 1, public key, namespace and more, each with its length.
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG\x00\x00\x00\x01"
_LENGTH = 4
_PUBLIC_KEY = re.compile(r"\s([a-z0-9@.-]+)\s+(AAAA[0-9A-Za-z+/]+={0,2})(?=\s|$)")

MISSING = "signature is missing; it is required here (release_require_signature): docs/signatures.md tells how to sign"
NO_SIGNERS = (
    "a signature is required here (release_require_signature), but nobody is allowed to sign: "
    "name the public keys in release_allowed_signers"
)


class SignatureError(EngineError):
    """An artifact is not signed as it must be."""


class NoTool(SignatureError):
    """This machine cannot judge signatures."""


@dataclass(frozen=True)
class Envelope:
    """What a signature says about itself; none of it is proven yet."""

    namespace: str
    key: str


def statement(component: str, version: str, sha256: str) -> bytes:
    """Return what is signed. None of the three can hold a space or a line end, so there is one way to read it."""
    return f"component {component}\nversion {version}\nsha256 {sha256}\n".encode()


def read(armored: str) -> Envelope:
    """Read a signature's envelope. Raises SignatureError when it is no SSH signature."""
    lines = [line.strip() for line in armored.strip().splitlines()]
    try:
        if lines[:1] != [_BEGIN] or lines[-1:] != [_END]:
            raise ValueError(f"it must begin with {_BEGIN} and end with {_END}")
        blob = _decode("".join(lines[1:-1]))
        if not blob.startswith(_MAGIC):
            raise ValueError("what it encodes is something else")
        key, rest = _take(blob[len(_MAGIC) :])
        namespace, _rest = _take(rest)
    except ValueError as exc:
        raise SignatureError(
            f"signature is no SSH signature: {exc}; ssh-keygen -Y sign -n {NAMESPACE} prints one"
        ) from None
    return Envelope(namespace.decode(errors="replace"), fingerprint(key))


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("its text is not base64") from None


def _take(data: bytes) -> tuple[bytes, bytes]:
    """Split a string with its length (RFC 4251, section 5) off *data*."""
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    if len(data) < max(end, _LENGTH):
        raise ValueError("it is cut short")
    return data[_LENGTH:end], data[end:]


def fingerprint(key: bytes) -> str:
    """Name a public key as ssh-keygen -l does."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def envelope_fault(armored: str) -> str | None:
    """Say what is wrong with a signature that can be seen without knowing who may sign, if anything."""
    try:
        envelope = read(armored)
    except SignatureError as exc:
        return str(exc)
    if envelope.namespace != NAMESPACE:
        return (
            f"signature was made for the namespace {envelope.namespace!r}, expected {NAMESPACE!r}: "
            f"sign with ssh-keygen -Y sign -n {NAMESPACE}"
        )
    return None


def signers_faults(allowed: str) -> list[str]:
    """Name the lines of an allowed signers file that ssh-keygen would pass over; it does so without failing."""
    return [
        f"line {number} of release_allowed_signers holds no public key: "
        "it must read PRINCIPAL [OPTIONS] ssh-ed25519 AAAA..., see ALLOWED SIGNERS in ssh-keygen(1)"
        for number, line in enumerate(allowed.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#") and not _holds_key(line.strip())
    ]


def _holds_key(line: str) -> bool:
    for kind, key in _PUBLIC_KEY.findall(line):
        try:
            if _take(_decode(key))[0].decode() == kind:
                return True
        except ValueError:
            continue
    return False


def policy_faults(artifact: Mapping[str, Any], allowed: str, required: bool) -> list[str]:
    """Say what is wrong about who may sign, and whether somebody did, without looking at the signature itself."""
    faults = [MISSING] if required and not artifact.get("signature") else []
    if required and not allowed.strip():
        faults.append(NO_SIGNERS)
    return faults + signers_faults(allowed)


def verify(host: Host, component: str, artifact: Mapping[str, Any], allowed: str) -> dict[str, str]:
    """Let ssh-keygen judge the signature of *artifact* now; return who signed, with which key.

    Raises SignatureError with the reason.
    """
    armored = str(artifact["signature"])
    wrong = envelope_fault(armored)
    if wrong:
        raise SignatureError(wrong)
    said = statement(component, str(artifact["version"]), str(artifact["sha256"]))
    with tempfile.TemporaryDirectory(prefix="plano-signature-") as folder:
        signers, signature = Path(folder, "allowed_signers"), Path(folder, "signature")
        signers.write_text(allowed.strip() + "\n", encoding="utf-8")
        signature.write_text(armored.strip() + "\n", encoding="utf-8")

        def ask(command: str, *more: str) -> Done:
            argv = ["ssh-keygen", "-Y", command, "-s", str(signature), "-f", str(signers), *more]
            return host.run(argv, stdin=said)

        def why(done: Done) -> str:
            return done.why.replace(f"{folder}/", "")

        found = ask("find-principals")
        if found.code == 127:
            raise NoTool(
                f"the signature cannot be checked: {found.why} on this host; install the package openssh-client"
            )
        # It names a principal whose line may still forbid the namespace: only 'verify' has the last word.
        principals = found.stdout.splitlines() if found.code == 0 else []
        if not principals:
            raise SignatureError(
                f"it is signed by key {read(armored).key}, which release_allowed_signers does not permit now "
                f"({why(found)}): let somebody sign who is allowed to, or allow that key"
            )
        for principal in principals:
            done = ask("verify", "-n", NAMESPACE, "-I", principal)
            if done.code == 0:
                # Good "NAMESPACE" signature for PRINCIPAL with ED25519 key SHA256:...
                return {"principal": principal, "key": done.stdout.strip().rpartition(" ")[2]}
        raise SignatureError(
            f"the signature of {principals[0]} does not hold for component {component}, version {artifact['version']} and "
            f"sha256 {artifact['sha256']} ({why(done)}): sign exactly this version and these bytes"
        )


def check(host: Host, request: Mapping[str, Any]) -> dict[str, str] | None:
    """Insist on the signature that *request* asks for; return who signed, or None where nobody had to.

    Whether the artifact is in the store already makes no difference: what was let in under another policy is asked again.
    """
    artifact = request.get("artifact")
    if not artifact:
        return None
    allowed = str(request.get("allowed_signers") or "")
    try:
        faults = policy_faults(artifact, allowed, bool(request.get("require_signature")))
        if faults:
            raise SignatureError("; ".join(faults))
        if not artifact.get("signature") or not allowed.strip():
            return None
        return verify(host, request["component"], artifact, allowed)
    except SignatureError as exc:
        raise SignatureError(f"artifact {artifact['version']} is refused: {exc}. Nothing was changed") from None
