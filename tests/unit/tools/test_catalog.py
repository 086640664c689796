"""What the builders left is signed, every entry for itself, and comes into one catalog."""

from __future__ import annotations

import json
import shutil
import subprocess

import catalog
import pytest
import yaml

DIGEST = "7d1a54127b222502f5b79b5fb0803061152a44f92b37e23c6527baf665d4da9a"


@pytest.fixture
def output(tmp_path, monkeypatch):
    """Two builders' folders, and a place for the key."""
    monkeypatch.setattr(catalog, "SIGNING", tmp_path / "signing")
    left(tmp_path / "out", "backend", {"version": "1.0.0", "file": "backend-1.0.0.tar.gz", "inputs": "x"})
    jar = {"version": "0.16.0", "file": "exporter-0.16.0.jar", "format": "file"}
    left(tmp_path / "out", "exporter", jar, {"version": "1.5.0", "file": "exporter-1.5.0.tar.gz", "strip": 1})
    return tmp_path / "out"


def left(output, component, *entries):
    folder = output / component
    folder.mkdir(parents=True)
    for entry in entries:
        (folder / entry["file"]).write_bytes(b"an artifact")
    (folder / "index.json").write_text(json.dumps([{"sha256": DIGEST, **entry} for entry in entries]))


def test_the_catalog_says_what_a_release_needs_and_nothing_else(output):
    catalog.write(output)
    found = yaml.safe_load((output / "catalog.yml").read_text())
    for entries in found.values():
        for entry in entries:
            assert entry.pop("signature").startswith("-----BEGIN SSH SIGNATURE-----")
    assert found == {
        "backend": [
            {"version": "1.0.0", "sha256": DIGEST, "sources": [f"file://{output}/backend/backend-1.0.0.tar.gz"]}
        ],
        "exporter": [
            {
                "version": "0.16.0",
                "sha256": DIGEST,
                "sources": [f"file://{output}/exporter/exporter-0.16.0.jar"],
                "format": "file",
            },
            {
                "version": "1.5.0",
                "sha256": DIGEST,
                "sources": [f"file://{output}/exporter/exporter-1.5.0.tar.gz"],
                "strip": 1,
            },
        ],
    }


def test_every_entry_is_signed_for_its_component_version_and_digest(output, tmp_path):
    catalog.write(output)
    allowed, signature = tmp_path / "signing" / "allowed_signers", tmp_path / "signature"

    def verdict(entry, **said):
        signature.write_text(entry["signature"])
        argv = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", catalog.SIGNER]
        argv += ["-n", catalog.NAMESPACE, "-s", str(signature)]
        text = "".join(f"{name} {value}\n" for name, value in said.items())
        return subprocess.run(argv, input=text, text=True, check=False, stdout=subprocess.DEVNULL).returncode

    for component, entries in yaml.safe_load((output / "catalog.yml").read_text()).items():
        for entry in entries:
            said = {"component": component, "version": entry["version"], "sha256": entry["sha256"]}
            assert verdict(entry, **said) == 0
            for name, wrong in (("component", "other"), ("version", "9.9.9"), ("sha256", "0" * 64)):
                assert verdict(entry, **{**said, name: wrong}) != 0
    assert (tmp_path / "signing" / "id_ed25519").stat().st_mode & 0o777 == 0o600


def test_the_key_stays_and_with_it_the_catalog_and_another_checkout_has_another(output, tmp_path):
    catalog.write(output)
    path = output / "catalog.yml"
    first, written = path.read_text(), path.stat().st_mtime_ns
    catalog.write(output)
    assert path.stat().st_mtime_ns == written
    path.unlink()
    catalog.write(output)
    assert path.read_text() == first
    shutil.rmtree(tmp_path / "signing")
    catalog.write(output)
    assert path.read_text() != first


def test_an_artifact_that_is_gone_and_an_empty_folder_are_told(output, tmp_path):
    (output / "backend" / "backend-1.0.0.tar.gz").unlink()
    with pytest.raises(catalog.CatalogError, match=r"lists backend-1\.0\.0\.tar\.gz, which is not there; run make"):
        catalog.write(output)
    with pytest.raises(catalog.CatalogError, match="there is nothing to sign in"):
        catalog.write(tmp_path / "empty")
    assert not (output / "catalog.yml").exists()


def test_a_machine_that_cannot_sign_is_told_what_it_lacks(output, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(catalog.CatalogError, match="ssh-keygen is not installed; install the package openssh-client"):
        catalog.write(output)
    assert not (output / "catalog.yml").exists()
