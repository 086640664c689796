# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of SQL, one statement at a time (documentation of PostgreSQL, 4.1 "Lexical Structure")."""

from __future__ import annotations

import re
from typing import Iterator

from .source import Fault, FileFault, Reader

# A statement may be longer than a line, and is still held whole.
MAX_STATEMENT = 16 << 20
_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|[eE]'(?:[^'\\]|\\.|'')*'|'[^']*'|\"[^\"]*\"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|;|[^-/'\"$;eE]+|(?P<open>['\"]|/\*)|.",
    re.DOTALL,
)


def statements(reader: Reader) -> Iterator[tuple[int, str]]:
    """Yield each statement without its semicolon, and the line it begins on. Raises FileFault."""
    text, begun, number = "", 1, 0
    for number, line in enumerate(reader.lines(), start=1):
        text = f"{text}\n{line}" if text else line
        if not text.strip():
            text, begun = "", number + 1
            continue
        if len(text) > MAX_STATEMENT:
            raise FileFault(
                reader.source.name, [Fault(begun, 0, f"the statement is longer than {MAX_STATEMENT} characters")]
            )
        if line.rstrip().endswith(";"):
            whole, rest = _split(text)
            for piece in whole:
                lead = len(piece) - len(piece.lstrip())
                if piece.strip():
                    yield begun + piece.count("\n", 0, lead), piece.strip()
                begun += piece.count("\n")
            text = rest
            if not text.strip():
                text, begun = "", number + 1
    if _bare(text).strip():
        raise FileFault(reader.source.name, [Fault(begun, 0, "the statement does not end with a semicolon")])


def _split(text: str) -> tuple[list[str], str]:
    """Return the whole statements of *text* without comments, and what follows the last semicolon outside quotes."""
    whole: list[str] = []
    parts: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        lexeme = match[0]
        if match["open"] or (lexeme == "$" and "$" in text[match.end() :]):
            break
        if lexeme == ";":
            whole.append("".join(parts))
            parts, end = [], match.end()
        else:
            parts.append("\n" * lexeme.count("\n") if lexeme.startswith(("--", "/*")) else lexeme)
    return whole, text[end:]


def _bare(text: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
