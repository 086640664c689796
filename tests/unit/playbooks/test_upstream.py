"""The catalog of upstream's release files: every entry can be pinned as it is, and none is mistaken for another."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.plano.delivery.plugins.module_utils.engine.release import artifact_faults

CATALOG = Path(__file__).parents[3] / "playbooks" / "group_vars" / "all" / "upstream.yml"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
COMPONENTS = ["prometheus", "alertmanager", "node_exporter", "postgres_exporter", "blackbox_exporter", "grafana"]


@pytest.fixture(scope="module")
def catalog():
    return yaml.safe_load(CATALOG.read_text(encoding="utf-8"))["plano_upstream_artifacts"]


def entries(catalog):
    return [
        (machine, component, entry)
        for machine, components in catalog.items()
        for component, found in components.items()
        for entry in found
    ]


def test_every_component_can_go_up_and_down_on_both_machines(catalog):
    assert list(catalog) == list(MACHINES)
    for components in catalog.values():
        assert list(components) == COMPONENTS
        for found in components.values():
            assert len({entry["version"] for entry in found}) == len(found) >= 2


def test_every_entry_is_one_the_engine_takes(catalog):
    assert {fault for _machine, _component, entry in entries(catalog) for fault in artifact_faults(entry)} == set()
    assert {frozenset(entry) for _machine, _component, entry in entries(catalog)} == {
        frozenset({"version", "sha256", "sources", "strip"})
    }
    assert {entry["strip"] for _machine, _component, entry in entries(catalog)} == {1}


def test_the_file_is_of_the_component_the_version_and_the_machine_it_stands_under(catalog):
    for machine, component, entry in entries(catalog):
        (source,) = entry["sources"]
        assert source.startswith("https://")
        name = f"{component}-{entry['version']}.linux-{MACHINES[machine]}.tar.gz"
        assert source.rsplit("/", 1)[1] == name
        if component != "grafana":
            assert f"/releases/download/v{entry['version']}/" in source


def test_no_digest_stands_twice(catalog):
    digests = [entry["sha256"] for _machine, _component, entry in entries(catalog)]
    assert len(set(digests)) == len(digests)


def test_the_newest_version_stands_first(catalog):
    for components in catalog.values():
        for found in components.values():
            numbers = [[int(part) for part in entry["version"].split(".")] for entry in found]
            assert numbers == sorted(numbers, reverse=True)


def test_each_entry_names_two_witnesses(catalog):
    lines = CATALOG.read_text(encoding="utf-8").splitlines()
    versions = [number for number, line in enumerate(lines) if line.lstrip().startswith("- version:")]
    assert len(versions) == len(entries(catalog))
    for number in versions:
        witnesses = lines[number - 1].strip().removeprefix("# ").split(", ")
        assert len({name.split("/")[0] for name in witnesses}) >= 2
