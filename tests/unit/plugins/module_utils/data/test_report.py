# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: the same facts twice, and nothing of what was given can break out of its place."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.data import report, runs
from ansible_collections.plano.delivery.plugins.module_utils.data.facts import (
    Broken,
    Change,
    Conflict,
    Count,
    Facts,
    Moment,
)

AT = datetime(2026, 11, 27, 10, 0, 1, tzinfo=timezone(timedelta(hours=-3)))
EVIL = "<script>alert(1)</script> | a*b* `c` [d](http://x)\nnext"
RUN = runs.Run(
    "r1", "import", "reverted", "public.clients", "ana", EVIL, "c-1", "1.1.0", AT, AT + timedelta(minutes=4), None, {}
)
UNDO = runs.Run("u1", "undo", "confirmed", "run r1", "bob", "", "c-2", "1.2.0", AT + timedelta(hours=1), AT, "r1", {})
FACTS = Facts(
    run=RUN,
    related=(UNDO,),
    place="shop (db1:5432)",
    timeline=(
        Moment(AT, "r1", "import", "begun"),
        Moment(AT + timedelta(minutes=4), "r1", "import", "reverted", "dates: 3"),
    ),
    rules=(Broken("valid_to after valid_from", "critical", 3), Broken("email", "warn", 12)),
    rows={"read": 10, "inserted": 7, "quarantined": 3},
    changes=(Change("r1", "public.clients", 7, 2, 0), Change("u1", "public.clients", 0, 2, 7)),
    counts=(Count("public.clients", 100, 98), Count("public.orders", None, 5)),
    checkpoint="before-import",
    conflicts=(Conflict("public.clients", "changed later", 2, ("id=4", "id=<b>")),),
    told={"pt-BR": 41, "en": 3},
)
BARE = Facts(run=RUN)


class Page(HTMLParser):
    """What a page is made of, and whether every element that is opened is closed in its turn."""

    VOID = ("meta", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("language", report.LANGUAGES)
@pytest.mark.parametrize("facts", [FACTS, BARE], ids=["full", "bare"])
def test_both_forms_say_the_same(facts, language):
    found = report.parts(facts, language)
    page = Page(report.html(found, language))
    shown = re.sub(r"\s+", " ", " ".join(page.words))
    # A Markdown cell is one line, with every sign that means something escaped.
    lines = report.markdown(found).replace("\n", " ")
    words = re.sub(r"\s+", " ", re.sub(r"(?<!\\)[|#]|- \[ \]|(?<= )-+:?(?= )", "", lines).replace("\\", ""))
    assert set(words.split()) <= set(shown.split())


@pytest.mark.parametrize("language", report.LANGUAGES)
def test_the_page_stands_by_itself_and_is_read_by_everybody(language):
    text = report.html(report.parts(FACTS, language), language)
    page = Page(text)
    assert page.named("html") == [{"lang": language}]
    assert {tag for tag, _attributes in page.tags} & {"script", "link", "img", "iframe", "b"} == set()
    assert not re.search(r"""(?:src|href|url)\s*[=(]""", text)
    assert "default-src 'none'" in page.named("meta")[-1]["content"]
    assert [tag for tag, _attributes in page.tags if re.fullmatch("h[1-6]", tag)][:2] == ["h1", "h2"]
    assert len(page.named("h1")) == len(page.named("main")) == 1
    tables = len(page.named("table"))
    assert tables == len(page.named("caption")) == len(page.named("thead"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.named("th"))
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in page.named("div"))
    assert len(page.named("label")) == len(page.named("input")) == len(report.QUESTIONS[language])
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def contrast(one, other):
    """Return the contrast of two colours (WCAG 2.2, relative luminance)."""

    def light(colour):
        digits = "".join(2 * digit for digit in colour) if len(colour) == 3 else colour
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((light(one), light(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_every_text_stands_out_from_its_ground():
    schemes = re.findall(
        r"--ground: #(\w+); --text: #(\w+); --quiet: #(\w+); --line: #\w+; --band: #(\w+);", report.STYLE
    )
    assert len(schemes) == 3
    for ground, text, quiet, band in schemes:
        assert min(contrast(text, ground), contrast(quiet, ground), contrast(text, band)) >= 7


def test_nothing_that_was_given_breaks_out():
    found = report.parts(FACTS, "en")
    text = report.markdown(found)
    assert "<script>" not in report.html(found, "en")
    (line,) = (line for line in text.splitlines() if "alert" in line)
    assert r"\<script\>alert(1)\</script\> \| a\*b\* \`c\` \[d\](http://x) next |" in line
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_numbers_and_times():
    text = report.markdown(report.parts(FACTS, "en"))
    assert "| 2026-11-27 13:04:01 | r1 | import: reverted | dates: 3 |" in text
    assert "| public.clients | 100 | 98 | -2 |" in text
    assert "| public.orders | - | 5 | - |" in text
    assert "| --- | --- | ---: | ---: | ---: |" in text
    assert "messages sent: 44" in text
    assert "| 1.2.0 |" in text


def test_conflicts_show_keys_only_where_they_are_given():
    assert "id=4; id=\\<b\\>" in report.markdown(report.parts(FACTS, "en"))
    hidden = Facts(run=RUN, conflicts=(Conflict("public.clients", "changed later", 2),))
    text = report.markdown(report.parts(hidden, "en"))
    assert "| table | why | rows |" in text
    assert "| public.clients | changed later | 2 |" in text


def test_both_languages_have_the_same_words():
    shown_as_they_are = {
        *runs.KINDS,
        *runs.STATES,
        "checkpoint",
        "message",
        "begun",
        "accepted",
        "sent",
        "critical",
        "warn",
    }
    own = {"read", "unchanged", "quarantined"}
    assert set(report.WORDS["pt-BR"]) - set(report.WORDS["en"]) == (shown_as_they_are | own) - set(report.WORDS["en"])
    assert set(report.WORDS["en"]) <= set(report.WORDS["pt-BR"])
    assert len(report.QUESTIONS["en"]) == len(report.QUESTIONS["pt-BR"])
    for language, words in report.WORDS.items():
        for key, text in words.items():
            given = set(re.findall(r"{(\w+)}", text))
            assert given == set(re.findall(r"{(\w+)}", report.WORDS["en"].get(key, ""))), (language, key)
