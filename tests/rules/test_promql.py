"""The reader of PromQL, by literals."""

from __future__ import annotations

import pytest
from promql import Matcher, PromqlError, Selector, selectors, tokens


def names(expression: str) -> list[str]:
    return [found.name for found in selectors(expression)]


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("up", ["up"]),
        ("up == 0 unless on (host) other:name:rate5m", ["up", "other:name:rate5m"]),
        ("sum by (a, b) (rate(x_total[5m])) / sum(rate(y_total[5m])) by (a)", ["x_total", "y_total"]),
        ("sum without (le) (x) or avg(y)", ["x", "y"]),
        ("a * on (host) group_left (version) b", ["a", "b"]),
        ("a * ignoring(x) group_right b", ["a", "b"]),
        ("time() - last_over_time(a[7d] offset 1w) > 26 * 3600", ["a"]),
        ("rate(a[1h:5m] @ 1609746000)", ["a"]),
        ("a > bool 0 and -b ^ 2 atan2 c % 1e3", ["a", "b", "c"]),
        ("absent(a) or vector(NaN) or b == Inf", ["a", "b"]),
        ("a # and b\n + c", ["a", "c"]),
        ('label_replace(a, "b", "$1", "c", "(.+)")', ["a"]),
        ("quantile(0.9, a)", ["a"]),
        ("count_values('version', a)", ["a"]),
        ("sum(x)", ["x"]),
        ("Sum(x)", ["x"]),
        ("rate", ["rate"]),
        ("topk(3, by)", None),
    ],
)
def test_the_names_that_are_read(expression, expected):
    if expected is None:
        with pytest.raises(PromqlError):
            names(expression)
    else:
        assert names(expression) == expected


def test_a_selector_with_its_matchers():
    assert selectors("""a{b="1", c!~'x|y', d!=`z`,}[5m]""") == [
        Selector("a", (Matcher("b", "=", "1"), Matcher("c", "!~", "x|y"), Matcher("d", "!=", "z")))
    ]


def test_strings_hide_nothing_and_invent_nothing():
    assert names(r'a{b="} or c{"} or d{e="\"f\" + g"}') == ["a", "d"]


def test_durations_and_numbers_are_told_apart():
    assert [(word.kind, word.text) for word in tokens("1h30m 5 0x1F .5 1.5e-3 5ms")] == [
        ("duration", "1h30m"),
        ("number", "5"),
        ("number", "0x1F"),
        ("number", ".5"),
        ("number", "1.5e-3"),
        ("duration", "5ms"),
    ]


@pytest.mark.parametrize(
    "expression",
    [
        '{__name__="a"}',
        '{job="a"}',
        'a{__name__="b"}',
        "a{b}",
        "a{b=1}",
        'a{b="1"',
        "sum by a",
        "sum by (a",
        "sum by (a + b) (c)",
        "nosuch(a)",
        "a ? b",
        'a{b="1}',
    ],
)
def test_what_is_not_understood_is_refused(expression):
    with pytest.raises(PromqlError):
        selectors(expression)
