# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.monitoring.matchers import (
    Matcher,
    MatcherError,
    matcher,
    regex_fault,
)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("severity=page", 'severity="page"'),
        ('  severity != "a b"  ', 'severity!="a b"'),
        ('a=~"x|y"', 'a=~"x|y"'),
        ('a!~""', 'a!~""'),
        (r'a="say \"no\" \\ \d"', r'a="say \"no\" \\ \\d"'),
        ("a=~web.+", 'a=~"web.+"'),
    ],
)
def test_a_matcher_is_written_in_one_way(text, written):
    assert str(matcher(text)) == written
    assert matcher(written) == matcher(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "severity",
        "severity=",
        "severity==page",
        "a-b=c",
        'a="b',
        "a=b c",
        "a=b,c=d",
        "{a=b}",
        'a="\n"',
        r'a="\n"',
        'a=~"("',
    ],
)
def test_what_is_none_is_refused(text):
    with pytest.raises(MatcherError):
        matcher(text)


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("a=b", ["b"], ["", "bb"]),
        ("a!=b", ["", "bb"], ["b"]),
        ('a=~"b.?|c"', ["b", "bx", "c"], ["", "xb", "cc"]),
        ('a!~"b.?|c"', ["", "xb"], ["b", "c"]),
        ('a=""', [""], ["b"]),
        (r'a=~"\\d"', ["7"], ["x", "٣"]),
        ('a=~"(?i)page"', ["PAGE"], ["PAGES"]),
    ],
)
def test_it_holds_for_the_whole_value(text, yes, no):
    found = matcher(text)
    assert [value for value in [*yes, *no] if found.holds({"a": value})] == yes
    assert found.holds({}) is found.holds({"a": ""})


@pytest.mark.parametrize(
    "pattern", ["", "a|b", r"web-[0-9]{1,3}\.example", "(?i)x", "(?:a)*?", "[^a-z-]+", r"[\]\-]", "a{1000}", "^a$"]
)
def test_what_both_read_alike_is_allowed(pattern):
    assert regex_fault(pattern) == ""


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)",
        "(?P<n>a)",
        r"\1",
        r"\pL",
        r"\b",
        "a++",
        "a**",
        "*",
        "[[:alpha:]]",
        "a{,3}",
        "(",
        "a)",
        "[b-a]",
        "x(?i)",
        "{",
        "(a{500}){500}",
    ],
)
def test_what_one_of_them_reads_otherwise_is_refused(pattern):
    assert regex_fault(pattern) != ""


def test_a_matcher_is_a_value():
    assert matcher("a=b") == Matcher("a", "=", "b")
    assert len({matcher("a=b"), matcher('a="b"')}) == 1
