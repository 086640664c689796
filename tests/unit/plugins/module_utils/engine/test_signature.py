# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures are made and judged by the real ssh-keygen, with keys that live as long as a test."""

from __future__ import annotations

import base64
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import signature
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import request_faults
from ansible_collections.plano.delivery.plugins.module_utils.engine.signature import NAMESPACE, SignatureError
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Host

DOCS = Path(__file__).resolve().parents[5] / "docs" / "signatures.md"
SHA = "ab" * 32
ANA = "ana@example.com"


def ssh_keygen(*arguments: str, text: str = "") -> str:
    done = subprocess.run(["ssh-keygen", *arguments], input=text, capture_output=True, text=True, check=True)
    return done.stdout


class Signer:
    """A key pair and what can be done with it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.key = folder / name
        ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.key))
        self.public = " ".join(self.key.with_suffix(".pub").read_text().split()[:2])
        self.fingerprint = ssh_keygen("-l", "-f", str(self.key)).split()[1]

    def line(self, options: str = "", principal: str = ANA) -> str:
        return " ".join(word for word in (principal, options, self.public) if word) + "\n"

    def sign(
        self, component="backend", version="1.0.0", sha256=SHA, namespace=NAMESPACE, key: Path | None = None
    ) -> str:
        said = f"component {component}\nversion {version}\nsha256 {sha256}\n"
        return ssh_keygen("-Y", "sign", "-f", str(key or self.key), "-n", namespace, text=said)


@pytest.fixture
def ana(tmp_path):
    return Signer(tmp_path, "ana")


@pytest.fixture
def eve(tmp_path):
    return Signer(tmp_path, "eve")


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Where the check keeps its files; empty again after every test, whatever came of it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def request(armored: str | None, allowed: str, required: bool = True) -> dict:
    artifact = {"version": "1.0.0", "sha256": SHA, "sources": ["file:///x.tar.gz"], "signature": armored}
    return {
        "component": "backend",
        "artifact": artifact,
        "allowed_signers": allowed,
        "require_signature": required,
        "activation": {"strategy": "none"},
    }


def refusal(armored: str | None, allowed: str, required: bool = True, host: Host | None = None) -> str:
    with pytest.raises(SignatureError) as caught:
        signature.check(host or Host(), request(armored, allowed, required))
    assert str(caught.value).startswith("artifact 1.0.0 is refused: ")
    assert str(caught.value).endswith(". Nothing was changed")
    return str(caught.value)


def test_a_good_signature_tells_who_signed_with_which_key(ana):
    good = request(ana.sign(), f"# who may sign\n\n{ana.line(f'namespaces={chr(34)}{NAMESPACE}{chr(34)}')}")
    assert request_faults(good) == []
    assert signature.check(Host(), good) == {"principal": ANA, "key": ana.fingerprint}
    assert signature.read(good["artifact"]["signature"]) == signature.Envelope(NAMESPACE, ana.fingerprint)


def test_a_signature_is_checked_wherever_it_can_be(ana, eve):
    assert signature.check(Host(), request(ana.sign(), ana.line(), required=False)) is not None
    assert f"signed by key {eve.fingerprint}" in refusal(eve.sign(), ana.line(), required=False)


@pytest.mark.parametrize("allowed", [True, False])
def test_where_none_is_required_an_unsigned_artifact_passes(ana, allowed):
    assert signature.check(Host(), request(None, ana.line() if allowed else "", required=False)) is None


def test_a_signature_passes_where_nobody_knows_who_may_sign_and_none_is_required(ana):
    assert signature.check(Host(), request(ana.sign(), "", required=False)) is None


def test_a_configuration_has_nothing_to_sign():
    assert signature.check(Host(), {"component": "haproxy", "artifact": None, "require_signature": True}) is None


def test_a_missing_signature(ana):
    told = "signature is missing; it is required here (release_require_signature): docs/signatures.md tells how to sign"
    for nothing in (None, ""):
        assert told in refusal(nothing, ana.line())
        assert f"artifact: {told}" in request_faults(request(nothing, ana.line()))


@pytest.mark.parametrize("allowed", ["", " \n"])
def test_nobody_is_allowed_to_sign(ana, allowed):
    told = (
        "a signature is required here (release_require_signature), but nobody is allowed to sign: "
        "name the public keys in release_allowed_signers"
    )
    assert told in refusal(ana.sign(), allowed)
    assert f"artifact: {told}" in request_faults(request(ana.sign(), allowed))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (" \n", "it must begin"),
        ("signed", "it must begin with -----BEGIN SSH SIGNATURE----- and end with -----END SSH SIGNATURE-----"),
        ("{whole}-----BEGIN", "it must begin with"),
        ("-----BEGIN SSH SIGNATURE-----\nU1NI*\n-----END SSH SIGNATURE-----", "its text is not base64"),
        ("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----", "what it encodes is something else"),
        ("{cut}", "it is cut short"),
    ],
)
def test_what_is_no_ssh_signature(ana, text, why):
    whole = ana.sign()
    cut = armor(base64.b64decode("".join(whole.splitlines()[1:-1]))[:40])
    armored = text.format(whole=whole, cut=cut)
    told = refusal(armored, ana.line())
    assert f"signature is no SSH signature: {why}" in told
    assert "; ssh-keygen -Y sign -n artifact@plano.delivery prints one" in told
    assert any("artifact: signature is no SSH signature: " in fault for fault in request_faults(request(armored, "")))


def armor(blob: bytes) -> str:
    return f"-----BEGIN SSH SIGNATURE-----\n{base64.encodebytes(blob).decode()}-----END SSH SIGNATURE-----\n"


def test_a_damaged_signature(ana):
    """Whichever of its bytes was changed."""
    blob = base64.b64decode("".join(ana.sign().splitlines()[1:-1]))
    assert signature.check(Host(), request(armor(blob), ana.line()))
    for place in range(len(blob)):
        refusal(armor(blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]), ana.line())
    told = refusal(armor(blob[:-1] + bytes([blob[-1] ^ 1])), ana.line())
    assert "does not hold for component backend, version 1.0.0" in told


def test_a_key_that_may_not_sign(ana, eve):
    told = refusal(eve.sign(), ana.line())
    assert f"it is signed by key {eve.fingerprint}, which release_allowed_signers does not permit now (" in told
    assert "No principal matched" in told
    assert "let somebody sign who is allowed to, or allow that key" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('valid-before="20200101"', "allowed_signers:1: key has expired: verify time "),
        ('valid-after="20990101"', "allowed_signers:1: key is not yet valid: verify time "),
        ('valid-until="20990101"', "allowed_signers:1: bad options: unknown key option"),
    ],
)
def test_a_key_that_may_not_sign_now(ana, options, words):
    told = refusal(ana.sign(), ana.line(options))
    assert f"signed by key {ana.fingerprint}, which release_allowed_signers does not permit now ({words}" in told


def test_a_key_is_rotated_by_dates_and_revoked_by_taking_its_line_out(ana, eve):
    both = ana.line('valid-before="20990101Z"') + eve.line('valid-after="20200101Z"', "bob@example.com")
    assert signature.check(Host(), request(ana.sign(), both))["principal"] == ANA
    assert signature.check(Host(), request(eve.sign(), both))["principal"] == "bob@example.com"
    assert f"signed by key {eve.fingerprint}" in refusal(eve.sign(), ana.line())


@pytest.mark.parametrize("namespace", ["file", "git", "artifact"])
def test_a_signature_for_something_else(ana, namespace):
    armored = ana.sign(namespace=namespace)
    told = (
        f"signature was made for the namespace '{namespace}', expected 'artifact@plano.delivery': "
        "sign with ssh-keygen -Y sign -n artifact@plano.delivery"
    )
    assert told in refusal(armored, ana.line())
    assert f"artifact: {told}" in request_faults(request(armored, ""))


def test_a_key_that_may_sign_other_things_only(ana):
    told = refusal(ana.sign(), ana.line('namespaces="git"'))
    assert 'key is not permitted for use in signature namespace "artifact@plano.delivery"' in told


@pytest.mark.parametrize("other", [{"version": "1.0.1"}, {"sha256": "cd" * 32}, {"component": "frontend"}])
def test_a_signature_of_another_version_or_other_bytes(ana, other):
    told = refusal(ana.sign(**other), ana.line())
    assert f"the signature of {ANA} does not hold for component backend, version 1.0.0 and sha256 {SHA} (" in told
    assert "incorrect signature" in told
    assert "): sign exactly this version and these bytes" in told


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDLsRJtMYUCZ2ZQeFtLbL7+Sy7mhiKxHs/h7HYdkx0ck",
        "ana@example.com ssh-ed25519",
        "ana@example.com ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIDLsRJtMYUCZ2ZQeFtLbL7+Sy7mhiKxHs/h7HYdkx0ck",
        "ana@example.com ssh-ed25519 AAAAC3Nza",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_allowed_signers_that_ssh_keygen_would_pass_over(ana, line):
    allowed = f"{ana.line()}{line}\n"
    told = "line 2 of release_allowed_signers holds no public key: it must read PRINCIPAL [OPTIONS] ssh-ed25519 AAAA..."
    assert told in refusal(ana.sign(), allowed)
    assert any(told in fault for fault in request_faults(request(ana.sign(), allowed)))
    # It may be a secret that got into the wrong file.
    assert line not in "".join(request_faults(request(ana.sign(), allowed)))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_lines_that_ssh_keygen_reads_are_sound(tmp_path, kind):
    ssh_keygen("-q", "-t", kind, "-N", "", "-f", str(tmp_path / kind))
    public = (tmp_path / f"{kind}.pub").read_text()
    options = 'namespaces="git, artifact@plano.delivery",valid-before="20990101"'
    assert signature.signers_faults(f"a@b,*@c {options} {public}\n  # a comment\n\n\ta@b {public}") == []


def test_a_host_without_ssh_keygen(ana, monkeypatch, tmp_path):
    good = ana.sign()
    monkeypatch.setenv("PATH", str(tmp_path))
    told = refusal(good, ana.line())
    assert "the signature cannot be checked: ssh-keygen is not installed on this host" in told
    assert "install the package openssh-client" in told


def test_a_certificate_counts_as_long_as_it_is_valid(ana, eve, tmp_path):
    allowed = eve.line("cert-authority")
    certificate = tmp_path / "ana-cert.pub"

    def signed(validity: str) -> str:
        public = str(ana.key.with_suffix(".pub"))
        ssh_keygen("-q", "-s", str(eve.key), "-I", "ana", "-n", ANA, "-V", validity, public)
        return ana.sign(key=certificate)

    assert signature.check(Host(), request(signed("-1h:+1h"), allowed)) == {"principal": ANA, "key": ana.fingerprint}
    assert "which release_allowed_signers does not permit now" in refusal(signed("-2h:-1h"), allowed)


def test_the_documented_commands_make_a_signature_that_holds(tmp_path):
    """Every command of docs/signatures.md, in its order, as a person would type it."""
    commands = "".join(re.findall(r"^```sh\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    artifact = tmp_path / "backend-1.4.2.tar.gz"
    artifact.write_bytes(b"an artifact")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    digest = subprocess.check_output(["sha256sum", artifact], text=True).split()[0]
    wanted = request((tmp_path / "backend-1.4.2.sig").read_text(), (tmp_path / "allowed_signers").read_text())
    wanted["artifact"].update(version="1.4.2", sha256=digest)
    assert signature.check(Host(), wanted)["principal"] == "release@example.com"
    assert 'Good "artifact@plano.delivery" signature for release@example.com' in done.stdout
