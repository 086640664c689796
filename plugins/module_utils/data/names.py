# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of tables and columns, and how SQL spells them."""

from __future__ import annotations

import re
from typing import Iterable, NamedTuple

from .errors import DataError

# What PostgreSQL itself takes for a name without quotes; NAMEDATALEN - 1 bytes are its limit (documentation, 4.1.1).
_PART = r'[a-z_][a-z0-9_$]{0,62}|"(?:[^"\x00]|""){1,63}"'
_TABLE = re.compile(rf"(?:({_PART})\.)?({_PART})")


class Table(NamedTuple):
    """A table or another relation of a schema."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        return f"{identifier(self.schema)}.{identifier(self.name)}"


def parse_table(text: str, schema: str = "public") -> Table:
    """Return the table that *text* names as SQL would: lower case without quotes, anything within them. Raises DataError."""
    match = _TABLE.fullmatch(text)
    if match is None:
        raise DataError(
            f"{text!r} does not name a table: write schema.table, in lower case, or in double quotes what needs them"
        )
    return Table(_bare(match[1]) if match[1] else schema, _bare(match[2]))


def _bare(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def identifier(name: str) -> str:
    """Return *name* as SQL spells a name that may hold anything."""
    return '"' + name.replace('"', '""') + '"'


def identifiers(names: Iterable[str], prefix: str = "") -> str:
    """Return *names* as a list, each behind *prefix*, such as the alias of a table with its dot."""
    return ", ".join(prefix + identifier(name) for name in names)


def literal(text: str) -> str:
    """Return *text* as a string constant that means the same whatever standard_conforming_strings is."""
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in text else f"'{quoted}'"
