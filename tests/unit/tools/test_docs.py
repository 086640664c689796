"""The documents lead to what is there, and both READMEs give the same commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FOLDERS = [folder for folder in ROOT.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
DOCUMENTS = [path for paths in (ROOT.glob("*.md"), *(folder.rglob("*.md") for folder in FOLDERS)) for path in paths]


def headings(text: str) -> set[str]:
    """Return the names by which a link may lead to a heading, as GitHub makes them."""
    found = re.findall(r"^#+ +(.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    broken = []
    for link in LINK.findall(BLOCK.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _hash, heading = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (heading and heading not in headings(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_both_readmes_give_the_same_commands():
    english, portuguese = (
        [(kind, lines) for kind, lines in BLOCK.findall((ROOT / name).read_text(encoding="utf-8")) if kind]
        for name in ("README.md", "README.pt-BR.md")
    )
    assert english
    assert portuguese == english
