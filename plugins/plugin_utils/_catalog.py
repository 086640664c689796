# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: an entry is put into a catalog that people edit too; everything else of the file stays as they wrote it."""

from __future__ import annotations

import fcntl
import os
import textwrap
from pathlib import Path
from typing import Any, Mapping

import yaml

from ansible_collections.plano.delivery.plugins.module_utils.aws.artifacts import order
from ansible_collections.plano.delivery.plugins.module_utils.engine import fs
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError

CATALOG = "plano_artifacts"
INDENT = 2


class _Loader(yaml.SafeLoader):
    """Reads tags that only Ansible knows, such as !vault, as what they are made of."""


class _Dumper(yaml.SafeDumper):
    """Quotes texts, so that a version such as 1.10 stays one."""


def _any_tag(loader: Any, suffix: str, node: Any) -> Any:
    plain = {
        yaml.ScalarNode: loader.construct_scalar,
        yaml.SequenceNode: lambda some: loader.construct_sequence(some, deep=True),
        yaml.MappingNode: lambda some: loader.construct_mapping(some, deep=True),
    }
    return (suffix, plain[type(node)](node))


_Loader.add_multi_constructor("!", _any_tag)
_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'),
)


def written(component: str, entry: Mapping[str, Any]) -> str:
    """Return the text of a catalog that holds this entry alone, ready to be pasted."""
    return f"{CATALOG}:\n" + textwrap.indent(_component(component, entry), " " * INDENT)


def with_entry(text: str, component: str, entry: Mapping[str, Any]) -> str:
    """Return the file *text* with *entry* among those of *component*: in the place of the same version, else in order.

    Raises EngineError when it is written in a way that cannot be edited without touching other things.
    """
    try:
        old = _load(text)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as exc:
        raise EngineError(f"it is no YAML: {exc}") from None
    if not isinstance(old, dict):
        raise EngineError("it holds no variables")
    if _says(_entries(old, component).get(entry["version"]), entry):
        return text
    new = _edited(text, root, component, entry)
    wanted = dict(old.get(CATALOG) or {})
    wanted[component] = {**_entries(old, component), entry["version"]: entry}
    try:
        found = _load(new)
        good = {**found, CATALOG: None} == {**old, CATALOG: None} and (
            {**found[CATALOG], component: _entries(found, component)} == wanted
        )
    except (yaml.YAMLError, EngineError, TypeError):
        good = False
    if not good:
        raise EngineError(f"its {CATALOG} is written in a way that cannot be edited here: paste the entry by hand")
    return new


def _says(old: Mapping[str, Any] | None, entry: Mapping[str, Any]) -> bool:
    """Say whether *old* is *entry* already; it may name more sources."""
    return (
        old is not None
        and {**old, "sources": entry["sources"]} == entry
        and {*entry["sources"]} <= {*old.get("sources", [])}
    )


def _load(text: str) -> Any:
    # The loader is a safe one: unknown tags become plain tuples.
    return yaml.load(text, Loader=_Loader) or {}  # noqa: S506


def _entries(variables: Mapping[str, Any], component: str) -> dict[str, Any]:
    catalog = variables.get(CATALOG) or {}
    if not isinstance(catalog, dict):
        raise EngineError(f"its {CATALOG} is made elsewhere: name the file that holds the entries")
    entries = catalog.get(component) or []
    if not isinstance(entries, list) or not all(isinstance(item, dict) and "version" in item for item in entries):
        raise EngineError(f"its {CATALOG}.{component} is no list of entries that name a version")
    return {str(item["version"]): item for item in entries}


def _edited(text: str, root: Any, component: str, entry: Mapping[str, Any]) -> str:
    """Edit by position: the parser says where each entry begins and ends."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    pairs = root.value if root is not None else []
    key, catalog = next(((key, value) for key, value in pairs if key.value == CATALOG), (None, None))
    if key is None:
        return "".join([*(lines or ["---\n"]), written(component, entry)])
    if not isinstance(catalog, yaml.MappingNode) or not catalog.value:
        # plano_artifacts: {} or nothing at all
        return _replaced(lines, key.start_mark.line, key.start_mark.line + 1, written(component, entry))
    indent = catalog.start_mark.column
    for name, entries in catalog.value:
        if name.value == component and entries.value and isinstance(entries, yaml.SequenceNode):
            return _among(lines, entries, entry)
        if name.value == component:
            return _replaced(
                lines,
                name.start_mark.line,
                name.start_mark.line + 1,
                textwrap.indent(_component(component, entry), " " * indent),
            )
    later = [name.start_mark.line for name, _entries_of in catalog.value if name.value > component]
    at = min(later, default=_end(lines, catalog))
    return _replaced(lines, at, at, textwrap.indent(_component(component, entry), " " * indent))


def _among(lines: list[str], entries: Any, entry: Mapping[str, Any]) -> str:
    """Put *entry* among the items of the sequence *entries*, each of which begins with its hyphen."""
    version = str(entry["version"])
    starts = [item.start_mark.line for item in entries.value] + [_end(lines, entries)]
    versions = [next(value.value for key, value in item.value if key.value == "version") for item in entries.value]
    new = textwrap.indent(_item(entry), " " * entries.start_mark.column)
    if version in versions:
        index = versions.index(version)
        end = _end(lines, entries.value[index])
        return _replaced(lines, starts[index], end, new)
    index = next((at for at, other in enumerate(versions) if order(other) > order(version)), len(versions))
    return _replaced(lines, starts[index], starts[index], new)


def _end(lines: list[str], node: Any) -> int:
    """Return the line behind the last of *node*, without what stands between it and the next: empty lines and comments."""
    end: int = node.end_mark.line + (1 if node.end_mark.column else 0)
    end = min(end, len(lines))
    start = node.start_mark.line
    while end > start + 1 and (not lines[end - 1].strip() or _outside(lines[end - 1], node)):
        end -= 1
    return end


def _outside(line: str, node: Any) -> bool:
    depth = len(line) - len(line.lstrip())
    return depth < node.start_mark.column or line.lstrip().startswith("#")


def _replaced(lines: list[str], start: int, end: int, text: str) -> str:
    return "".join([*lines[:start], text, *lines[end:]])


def _component(component: str, entry: Mapping[str, Any]) -> str:
    return f"{component}:\n" + textwrap.indent(_item(entry), " " * INDENT)


def _item(entry: Mapping[str, Any]) -> str:
    lines = []
    for name, value in entry.items():
        said = yaml.dump(value, Dumper=_Dumper, width=4096, default_flow_style=True).removesuffix("...\n")
        lines.append(f"{name}: {said}" if "\n" not in str(value) else f"{name}: {_block(str(value))}")
    text = "".join(lines)
    return "- " + textwrap.indent(text, " " * INDENT)[INDENT:]


def _block(text: str) -> str:
    chomp = "" if text.endswith("\n") else "-"
    return f"|{chomp}\n" + textwrap.indent(text.removesuffix("\n"), " " * INDENT) + "\n"


def add(path: Path, component: str, entry: Mapping[str, Any], apply: bool) -> tuple[str, str]:
    """Put *entry* into the file *path*, whole or not at all; return its text before and after."""
    try:
        if apply:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.parent.is_dir():
            return "", with_entry("", component, entry)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Two publishers must not lose each other's entry.
            fcntl.flock(folder, fcntl.LOCK_EX)
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            after = with_entry(before, component, entry)
            if apply and after != before:
                fs.write_atomic(path, after.encode(), path.stat().st_mode & 0o777 if before else 0o644)
        finally:
            os.close(folder)
    except (OSError, EngineError) as exc:
        raise EngineError(f"catalog {path}: {exc}") from None
    return before, after
