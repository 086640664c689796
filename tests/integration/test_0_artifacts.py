"""What `make artifacts` left: the engine takes it, and its programs are the versions they are said to be and start here."""

from __future__ import annotations

import hashlib
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from local_environment import ROOT

from ansible_collections.plano.delivery.plugins.module_utils.engine import archive

ARTIFACTS = ROOT / ".cache" / "artifacts"
PROGRAMS = {
    "prometheus": ["prometheus", "promtool"],
    "alertmanager": ["alertmanager", "amtool"],
    "node_exporter": ["node_exporter"],
    "postgres_exporter": ["postgres_exporter"],
    "blackbox_exporter": ["blackbox_exporter"],
}


def cataloged() -> Iterator[tuple[str, dict[str, Any]]]:
    for component, entries in yaml.safe_load((ARTIFACTS / "catalog.yml").read_text()).items():
        for entry in entries:
            yield component, entry


def path_of(entry: dict[str, Any]) -> Path:
    return Path(unquote(urlsplit(entry["sources"][0]).path))


def test_every_component_is_there_in_two_versions_and_the_file_is_what_the_catalog_says() -> None:
    versions: dict[str, set[str]] = {}
    for component, entry in cataloged():
        versions.setdefault(component, set()).add(entry["version"])
        assert hashlib.sha256(path_of(entry).read_bytes()).hexdigest() == entry["sha256"]
    # One version of the CloudWatch Exporter is all there is by its coordinates.
    assert versions.pop("cloudwatch_exporter") == {"0.16.0"}
    assert set(versions) == {"backend", "grafana", *PROGRAMS}
    assert [component for component, found in versions.items() if len(found) < 2] == []


@pytest.mark.parametrize("component", PROGRAMS)
def test_the_engine_takes_the_archive_and_its_programs_say_the_version(component: str, tmp_path: Path) -> None:
    entries = [entry for name, entry in cataloged() if name == component]
    for entry in entries:
        assert archive.inspect(path_of(entry), strip=entry["strip"]).size > 10_000_000
        place = tmp_path / entry["version"]
        place.mkdir()
        archive.extract(path_of(entry), place, strip=entry["strip"])
        for program in PROGRAMS[component]:
            done = subprocess.run([place / program, "--version"], capture_output=True, text=True, check=True)
            said = done.stdout + done.stderr
            # Debian marks what it left out of a source with +ds.
            assert re.match(rf"{program}, version {re.escape(entry['version'])}(\+ds\d*)? ", said), said


def test_grafanas_archive_has_its_layout_and_says_its_version(tmp_path: Path) -> None:
    for entry in [entry for name, entry in cataloged() if name == "grafana"]:
        place = tmp_path / entry["version"]
        place.mkdir()
        archive.extract(path_of(entry), place, strip=entry["strip"])
        assert (place / "conf" / "defaults.ini").is_file()
        assert (place / "public").is_dir()
        done = subprocess.run([place / "bin" / "grafana", "--version"], capture_output=True, text=True, check=True)
        assert re.match(rf"grafana version {re.escape(entry['version'])}\b", done.stdout), done.stdout


def test_the_jar_is_the_exporter() -> None:
    (entry,) = [entry for name, entry in cataloged() if name == "cloudwatch_exporter"]
    assert entry["format"] == "file"
    # Its manifest names the class that java -jar starts.
    with zipfile.ZipFile(path_of(entry)) as jar:
        manifest = jar.read("META-INF/MANIFEST.MF").decode()
        assert "Main-Class: io.prometheus.cloudwatch.WebServer" in manifest
        assert "io/prometheus/cloudwatch/WebServer.class" in jar.namelist()
