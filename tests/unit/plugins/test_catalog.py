# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An entry comes into a catalog that people edit too, and nothing else of it changes."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.plugin_utils import _catalog

ROOT = Path(__file__).resolve().parents[3]
SIGNED = "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"


def entry(version, **more):
    return {"version": version, "sha256": "ab" * 32, "sources": [f"s3://b/app-{version}.tar.gz"], **more}


def versions(text, component="backend"):
    return [item["version"] for item in yaml.safe_load(text)["plano_artifacts"][component]]


def test_a_new_file_holds_the_entry_alone():
    text = _catalog.with_entry("", "backend", entry("1.10", strip=1, signature=SIGNED))
    assert yaml.safe_load(text) == {"plano_artifacts": {"backend": [entry("1.10", strip=1, signature=SIGNED)]}}
    assert text == "---\n" + _catalog.written("backend", entry("1.10", strip=1, signature=SIGNED))


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_inventories_catalogs_keep_every_other_line(environment):
    text = (ROOT / "inventories" / environment / "group_vars" / "all" / "artifacts.yml").read_text(encoding="utf-8")
    new = text
    for version in ("1.10.0", "0.9", "1.9.0"):
        new = _catalog.with_entry(new, "backend", entry(version, signature=SIGNED))
    new = _catalog.with_entry(new, "prometheus", entry("3.5.0"))
    new = _catalog.with_entry(new, "alertmanager", entry("0.28.1"))
    assert versions(new) == ["0.9", "1.0.0", "1.9.0", "1.10.0"]
    assert list(yaml.safe_load(new)["plano_artifacts"]) == ["alertmanager", "backend", "prometheus"]
    added = iter(new.splitlines())
    assert all(line in added for line in text.splitlines())


def test_the_same_version_takes_the_old_ones_place_and_the_same_entry_changes_nothing():
    text = "".join(
        [
            "plano_artifacts:\n  backend:\n",
            '    # the first\n    - version: "1.0"\n      sha256: "x"\n      sources: []\n\n',
            '    # the second\n    - version: "2.0"\n      sha256: "y"\n      sources: []\n',
            "  # another\n  api: []\nsecret: !vault |\n  abc\n",
        ]
    )
    new = _catalog.with_entry(text, "backend", entry("1.0"))
    assert new == text.replace(
        'sha256: "x"\n      sources: []', f'sha256: "{"ab" * 32}"\n      sources: ["s3://b/app-1.0.tar.gz"]'
    )
    assert _catalog.with_entry(new, "backend", entry("1.0")) == new


def test_an_entry_with_more_sources_says_the_same():
    text = _catalog.with_entry("", "backend", entry("1.0"))
    more = text.replace('["s3', '["https://example.com/a", "s3')
    assert _catalog.with_entry(more, "backend", entry("1.0")) == more


@pytest.mark.parametrize(
    "text",
    [
        "plano_artifacts: {}\n",
        "plano_artifacts:\n",
        "plano_artifacts:\n  backend: []\n",
        "plano_artifacts:\n    backend:\n    - version: '0.1'\n      sources: []",
        "other: 1",
        "---\n",
        "# only a comment\n",
    ],
)
def test_whatever_is_there_the_entry_comes_last(text):
    new = _catalog.with_entry(text, "backend", entry("1.0"))
    assert versions(new)[-1] == "1.0"
    assert {**yaml.safe_load(new), "plano_artifacts": 0} == {**(yaml.safe_load(text) or {}), "plano_artifacts": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plano_artifacts: '{{ x }}'\n", "its plano_artifacts is made elsewhere"),
        ("plano_artifacts: {backend: [{version: '1'}]}\n", "cannot be edited here: paste the entry by hand"),
        ("plano_artifacts:\n  backend: {a: 1}\n", "is no list of entries that name a version"),
        ("a: [\n", "it is no YAML"),
        ("- 1\n", "it holds no variables"),
    ],
)
def test_what_cannot_be_edited_is_left_alone(tmp_path, text, message):
    path = tmp_path / "artifacts.yml"
    path.write_text(text)
    with pytest.raises(EngineError, match=f"catalog {path}: .*{message}"):
        _catalog.add(path, "backend", entry("1.0"), apply=True)
    assert path.read_text() == text


def test_many_publishers_at_once_lose_no_entry(tmp_path):
    path = tmp_path / "artifacts.yml"
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda number: _catalog.add(path, "backend", entry(f"1.{number}"), True), range(10)))
    assert versions(path.read_text()) == [f"1.{number}" for number in range(10)]
    path.chmod(0o600)
    before, after = _catalog.add(path, "backend", entry("2.0"), apply=False)
    assert path.read_text() == before != after
    _catalog.add(path, "backend", entry("2.0"), apply=True)
    assert path.read_text() == after and path.stat().st_mode & 0o777 == 0o600


def test_a_component_deeper_than_two_spaces_stays_in_line():
    text = textwrap.dedent("""\
        plano_artifacts:
            zebra:
                - version: "1.0"
                  sources: []
        """)
    new = _catalog.with_entry(_catalog.with_entry(text, "zebra", entry("2.0")), "backend", entry("1.0"))
    assert versions(new, "zebra") == ["1.0", "2.0"] and versions(new) == ["1.0"]
