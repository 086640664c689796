# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matchers of labels such as severity="page" or host=~"web.+": read, checked, written the one way all versions read alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping

LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Control characters and halves of pairs, which no label and no command line should have.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_MATCHER = re.compile(
    r"""\s* (?P<name>[a-zA-Z_][a-zA-Z0-9_]*) \s* (?P<operator>=~|!~|!=|=) \s*
    (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<bare>[^\s"{}!=~,\\'`]+) ) \s*""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

# Alertmanager's regular expressions (RE2) and Python's are not the same. What is allowed here is written and works alike in both:
# characters, classes, groups, alternatives, repetitions. The versions' own parsers are asked again before every switch.
_ESCAPED = r"\\[dDwWsS!-/:-@\[-`{-~]"
_CLASS = rf"\[\^?(?:[^\\\[\]]|{_ESCAPED})+\]"
_REPEAT = r"(?:(?:[*+?]|\{[0-9]{1,4}(?:,[0-9]{0,4})?\})\??(?![*+?{]))"
_ATOM = rf"(?:[^\\\[\](){{}}*+?|^$]|{_ESCAPED}|{_CLASS}|\))"
_REGEX = re.compile(rf"(?:\(\?i\))?(?:{_ATOM}{_REPEAT}?|\((?:\?:)?|[|^$])*")
_COUNT = re.compile(r"\{([0-9]+)(?:,([0-9]*))?\}")
# RE2 refuses more, also of one repetition within another.
_MOST_REPETITIONS = 1000


class MatcherError(ValueError):
    """A text that is no matcher; says why."""


@dataclass(frozen=True)
class Matcher:
    """One matcher. A label that an alert does not have is an empty one."""

    name: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{quoted(self.value)}"

    def holds(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.name, "")
        if self.operator in ("=", "!="):
            same = found == self.value
        else:
            same = re.fullmatch(self.value, found, re.ASCII) is not None
        return same is (self.operator in ("=", "=~"))


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def matcher(text: str) -> Matcher:
    """Read one matcher. Raises MatcherError."""
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise MatcherError(
            'a matcher is a label, one of = != =~ !~ and a value in double quotes, such as severity="page"'
        )
    value = found["bare"] if found["quoted"] is None else _ESCAPE.sub(_unescaped, found["quoted"])
    if CONTROL.search(value):
        raise MatcherError("its value has a control character")
    if found["operator"] in ("=~", "!~"):
        fault = regex_fault(value)
        if fault:
            raise MatcherError(fault)
    return Matcher(found["name"], found["operator"], value)


def _unescaped(escape: re.Match[str]) -> str:
    # As Alertmanager has it: any other backslash stands for itself.
    return {"n": "\n", '"': '"', "\\": "\\"}.get(escape[1], escape[0])


def regex_fault(pattern: str) -> str:
    """Return why *pattern* is no regular expression that Alertmanager and Python read alike, empty if it is one."""
    if not _REGEX.fullmatch(pattern):
        return (
            "its regular expression may have characters, . [classes] (groups) | * + ? {n,m} ^ $ (?i) at the start, "
            "\\d \\w \\s and \\ before a sign, nothing else"
        )
    total = 1
    for least, most in _COUNT.findall(pattern):
        total *= max(int(most or least), 1)
    if total > _MOST_REPETITIONS:
        return f"its regular expression repeats more than {_MOST_REPETITIONS} times"
    try:
        re.compile(pattern, re.ASCII)
    except (re.error, RecursionError) as exc:
        return f"its regular expression is none: {exc}"
    return ""
