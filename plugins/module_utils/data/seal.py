# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption of a checkpoint's files, and the proof that nobody changed them.

age authenticates what it decrypts. openssl's command knows no authenticated mode, so its files are encrypted first and then
authenticated: HMAC-SHA256 over the name and the whole encrypted file, with a key of its own derived from the secret (encrypt-then-MAC).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from ..engine import fs
from .errors import DataError

NONE, AGE, OPENSSL = "none", "age", "openssl"
METHODS = (NONE, AGE, OPENSSL)
SUFFIX = {NONE: "", AGE: ".age", OPENSSL: ".enc"}
# The secret is a key, not a word one remembers: then no number of rounds has to make up for guessing.
MINIMUM = 32
ROUNDS = 10000
PACKAGE = {AGE: "age", OPENSSL: "openssl"}


@dataclass(frozen=True)
class Seal:
    """How files are encrypted. *key_file* holds age's identity, or in its first line openssl's secret; *recipient* is age's public key."""

    method: str = NONE
    key_file: str = ""
    recipient: str = ""

    @staticmethod
    def of(options: Mapping[str, Any] | None) -> Seal:
        """Return the seal that a module's option describes. Raises DataError."""
        given = options or {}
        seal = Seal(given.get("method") or NONE, given.get("key_file") or "", given.get("recipient") or "")
        seal.check_installed()
        if seal.method == OPENSSL:
            seal.mac_key()
        if seal.method == AGE and not (seal.recipient or seal.key_file):
            raise DataError("encryption age: needs recipient (to encrypt) or key_file (to encrypt and to decrypt)")
        return seal

    @property
    def suffix(self) -> str:
        return SUFFIX[self.method]

    def mac_key(self) -> bytes:
        """Return the key that authenticates, empty where the method does so itself or there is none. Raises DataError."""
        if self.method != OPENSSL:
            return b""
        try:
            with open(self.key_file, "rb") as stream:
                secret = stream.readline().rstrip(b"\r\n")
        except OSError as error:
            raise DataError(f"encryption openssl: key_file {self.key_file!r}: {error.strerror}") from None
        if len(secret) < MINIMUM:
            raise DataError(
                f"encryption openssl: the first line of key_file {self.key_file} has fewer than {MINIMUM} characters; "
                "make one with: openssl rand -hex 32"
            )
        return hmac.new(secret, b"plano.delivery checkpoint", hashlib.sha256).digest()

    def encrypt(self, path: Path) -> Path:
        """Replace the file *path* by its encrypted form and return that; the plain file is gone."""
        if self.method == NONE:
            return path
        target = path.with_name(path.name + self.suffix)
        if self.method == AGE:
            who = ["-r", self.recipient] if self.recipient else ["-e", "-i", self.key_file]
            self._run(["age", *who, "-o", str(target), str(path)])
        else:
            self._run(["openssl", "enc", *self._cipher(), "-in", str(path), "-out", str(target)])
        path.unlink()
        return target

    def decrypt(self, path: Path, target: int) -> subprocess.Popen[bytes]:
        """Start writing the plain form of *path* to the open file *target*, or to subprocess.PIPE."""
        if self.method == AGE:
            command = ["age", "-d", "-i", self.key_file, str(path)]
        else:
            command = ["openssl", "enc", "-d", *self._cipher(), "-in", str(path)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=target, stderr=subprocess.DEVNULL)

    def plain(self, path: Path, target: Path) -> None:
        """Write the plain form of *path* to *target*. Raises DataError when the key is another one."""
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            process = self.decrypt(path, fd)
        finally:
            os.close(fd)
        if process.wait() != 0:
            raise DataError(
                f"{path} cannot be decrypted with key_file {self.key_file or 'none'}: it is not the key it was encrypted for"
            )

    def check_installed(self) -> None:
        """Raises DataError when the program is missing."""
        if self.method != NONE and not shutil.which(self.method):
            raise DataError(f"encryption {self.method}: install the package {PACKAGE[self.method]} on this host")

    def check_readable(self) -> None:
        """Raises DataError when there is nothing to decrypt with."""
        self.check_installed()
        if self.method != NONE and not os.access(self.key_file, os.R_OK):
            raise DataError(
                f"encryption {self.method}: key_file {self.key_file!r} cannot be read; the checkpoint needs it"
            )

    def _cipher(self) -> list[str]:
        return ["-aes-256-ctr", "-pbkdf2", "-iter", str(ROUNDS), "-md", "sha256", "-pass", f"file:{self.key_file}"]

    def _run(self, command: list[str]) -> None:
        with tempfile.TemporaryFile() as errors:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, check=False)
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip().splitlines()
        if done.returncode != 0:
            raise DataError(f"encryption {self.method}: {said[0] if said else f'ended with code {done.returncode}'}")


def describe(path: Path, name: str, key: bytes) -> dict[str, Any]:
    """Return size, digest and, with a *key*, the authentication of a file that the manifest knows as *name*."""
    digest = hashlib.sha256()
    mac = hmac.new(key, name.encode() + b"\0", hashlib.sha256)
    size = 0
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(fs.CHUNK), b""):
            size += len(chunk)
            digest.update(chunk)
            if key:
                mac.update(chunk)
    return {"size": size, "sha256": digest.hexdigest(), **({"mac": mac.hexdigest()} if key else {})}


def authenticate(text: bytes, key: bytes) -> str:
    """Return the authentication of the manifest's own text, empty without a key."""
    return hmac.new(key, b"manifest\0" + text, hashlib.sha256).hexdigest() if key else ""
