"""Which series a PromQL expression reads: a tokenizer of the whole language and a reader of its selectors.

promtool says whether an expression is valid; this says what is in it. What it does not know it refuses, so that no name slips.
"""

from __future__ import annotations

import re
from typing import Iterator, NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


AGGREGATIONS = _words(
    """
    sum avg min max group count stddev stdvar topk bottomk quantile count_values limitk limit_ratio
    """
)
FUNCTIONS = _words(
    """
    abs absent absent_over_time avg_over_time ceil changes clamp clamp_max clamp_min count_over_time day_of_month
    day_of_week days_in_month delta deriv exp floor histogram_quantile hour idelta increase irate label_join
    label_replace last_over_time ln log10 log2 max_over_time min_over_time minute month predict_linear
    present_over_time quantile_over_time rate resets round scalar sgn sort sort_desc sqrt stddev_over_time
    stdvar_over_time sum_over_time time timestamp vector year
    """
)
# Each is followed by labels in parentheses, none of which is a metric.
_GROUPINGS = _words("by without on ignoring group_left group_right")
_WORDS = _words("and or unless atan2 bool offset")
_NUMBERS = _words("inf nan")

_TOKENS = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
  | (?P<duration>(?:\d+(?:ms|[smhdwy]))+(?![\w.]))
  | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>:?[a-zA-Z_][a-zA-Z0-9_:]*)
  | (?P<operator>=~|!~|==|!=|<=|>=|[-+*/%^<>=(){}\[\],:@])
    """,
    re.VERBOSE,
)


class PromqlError(ValueError):
    """Something that is not PromQL, or not a part of it that is understood here."""


class Token(NamedTuple):
    """A word of the language."""

    kind: str
    text: str


class Matcher(NamedTuple):
    """A condition on a label of a selector."""

    label: str
    operator: str
    value: str


class Selector(NamedTuple):
    """What an expression reads from the storage."""

    name: str
    matchers: tuple[Matcher, ...]


def tokens(expression: str) -> list[Token]:
    """Cut an expression into its words, without spaces and comments."""
    found, at = [], 0
    while at < len(expression):
        match = _TOKENS.match(expression, at)
        if match is None or match.lastgroup is None:
            raise PromqlError(f"not PromQL at {expression[at : at + 20]!r}")
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup, match.group()))
        at = match.end()
    return found


def selectors(expression: str) -> list[Selector]:
    """Return every selector of an expression, in order."""
    words = tokens(expression)
    return list(_selectors(words, [*words[1:], Token("end", "")]))


def _selectors(words: list[Token], following: list[Token]) -> Iterator[Selector]:
    at = 0
    while at < len(words):
        word, after = words[at], following[at]
        at += 1
        if word.kind == "name":
            lower = word.text.lower()
            if lower in _GROUPINGS:
                at = _past_labels(words, at, needed=lower not in ("group_left", "group_right"))
            elif after.text == "(":
                if word.text not in FUNCTIONS and lower not in AGGREGATIONS:
                    raise PromqlError(f"unknown function {word.text}")
            elif lower in AGGREGATIONS and after.text.lower() in ("by", "without"):
                continue
            elif lower not in _WORDS | _NUMBERS:
                matchers: tuple[Matcher, ...] = ()
                if after.text == "{":
                    matchers, at = _matchers(words, at + 1)
                yield Selector(word.text, matchers)
        elif word.text == "{":
            raise PromqlError("a selector without a name in front of it")


def _past_labels(words: list[Token], at: int, needed: bool) -> int:
    if at >= len(words) or words[at].text != "(":
        if needed:
            raise PromqlError("a grouping without labels")
        return at
    for end in range(at + 1, len(words)):
        if words[end].text == ")":
            return end + 1
        if words[end].kind != "name" and words[end].text != ",":
            break
    raise PromqlError("labels of a grouping end too early")


def _matchers(words: list[Token], at: int) -> tuple[tuple[Matcher, ...], int]:
    found = []
    while at < len(words) and words[at].text != "}":
        label, operator, value = (*words[at : at + 3], *[Token("end", "")] * 3)[:3]
        if label.kind != "name" or operator.text not in ("=", "!=", "=~", "!~") or value.kind != "string":
            raise PromqlError(f"not a matcher: {label.text} {operator.text} {value.text}")
        if label.text == "__name__":
            raise PromqlError("a selector by __name__ hides what it reads")
        found.append(Matcher(label.text, operator.text, value.text[1:-1]))
        at += 3
        if at < len(words) and words[at].text == ",":
            at += 1
    if at >= len(words):
        raise PromqlError("a selector without an end")
    return tuple(found), at + 1
