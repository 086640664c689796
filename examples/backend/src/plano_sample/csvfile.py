"""Read a CSV file of clients: every fault of the file is found, and a file with a fault gives no clients at all.

Standard library only, no database: the same bytes always give the same answer.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

REQUIRED: Final = ("external_id", "name", "email", "valid_from")
OPTIONAL: Final = ("valid_until",)
SEGMENT: Final = "segment"
SAMPLE: Final = b"external_id,name,email,valid_from\n1,Ana,ana@example.org,2026-01-31\n"

_EXTERNAL_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_SEGMENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a file; the header is line 1."""

    line: int
    column: str | None
    message: str


class FaultyFileError(ValueError):
    """A file that cannot be imported, with everything that is wrong in it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(f"the file has {len(faults)} fault{'' if len(faults) == 1 else 's'}; nothing was imported")
        self.faults = faults


@dataclass(frozen=True)
class Client:
    """One client of a file."""

    external_id: str
    name: str
    email: str
    valid_from: date
    valid_until: date | None = None
    segment: str | None = None


@dataclass(frozen=True)
class ClientFile:
    """The clients of a sound file and the columns it had: a column the file leaves out keeps its stored values."""

    columns: tuple[str, ...]
    clients: tuple[Client, ...]


def parse(data: bytes, *, segments: bool) -> ClientFile:
    """Return the clients in *data*, or raise `FaultyFileError` with all faults in the order of their lines."""
    faults: list[Fault] = []
    records = _records(_decode(data), faults)
    header = [cell.strip().lower() for cell in next(records, (1, []))[1]]
    known = (*REQUIRED, *OPTIONAL, *((SEGMENT,) if segments else ()))
    faults += _header_faults(header, known)
    if faults:
        raise FaultyFileError(faults)

    clients: list[Client] = []
    first_line: dict[str, int] = {}
    lines = 0
    for line, cells in records:
        lines += 1
        if len(cells) != len(header):
            faults.append(Fault(line, None, f"has {len(cells)} cells, the header has {len(header)}"))
            continue
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        found = _row_faults(line, row)
        before = first_line.setdefault(row["external_id"], line)
        if before != line and row["external_id"]:
            found.append(Fault(line, "external_id", f"is the same as in line {before}"))
        if found:
            faults += found
        else:
            clients.append(_client(row))
    if not lines and not faults:
        faults.append(Fault(1, None, "the file has a header but no clients"))
    if faults:
        raise FaultyFileError(faults)
    return ClientFile(tuple(name for name in known if name in header), tuple(clients))


def _decode(data: bytes) -> str:
    try:
        # Spreadsheets put a byte order mark in front; it is not part of the first column's name.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FaultyFileError([Fault(line, None, "is not UTF-8 text; save the file as CSV UTF-8")]) from error


def _records(text: str, faults: list[Fault]) -> Iterator[tuple[int, list[str]]]:
    """Yield every record that is not blank with the line it starts on; a broken quote is a fault and ends the file."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.append(Fault(line, None, f"cannot be read as CSV: {error}"))
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _header_faults(header: list[str], known: tuple[str, ...]) -> list[Fault]:
    if not header:
        return [Fault(1, None, "the file is empty")]
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        return [Fault(1, None, "the cells must be separated by commas")]
    faults = [Fault(1, name, "column is missing") for name in REQUIRED if name not in header]
    for name in dict.fromkeys(header):
        if name not in known:
            faults.append(Fault(1, name, f"column is unknown; known are {', '.join(known)}"))
        elif header.count(name) > 1:
            faults.append(Fault(1, name, "column stands there more than once"))
    return faults


def _row_faults(line: int, row: dict[str, str]) -> list[Fault]:
    def fault(column: str, message: str) -> Fault:
        return Fault(line, column, message)

    faults = [fault(column, "has a control character") for column, value in row.items() if _CONTROL.search(value)]
    faults += [fault(column, "is empty") for column in REQUIRED if not row[column]]
    if row["external_id"] and not _EXTERNAL_ID.fullmatch(row["external_id"]):
        faults.append(fault("external_id", "must be 1 to 64 letters, digits, dots, dashes or underscores"))
    if len(row["name"]) > 200:
        faults.append(fault("name", "is longer than 200 characters"))
    if row["email"] and (len(row["email"]) > 254 or not _EMAIL.fullmatch(row["email"])):
        faults.append(fault("email", "is not an e-mail address"))
    if row.get(SEGMENT) and not _SEGMENT.fullmatch(row[SEGMENT]):
        faults.append(fault(SEGMENT, "must be 1 to 32 lower-case letters, digits, dashes or underscores"))

    dates = {column: row.get(column, "") for column in ("valid_from", "valid_until")}
    faults += [
        fault(column, "is not a date as 2025-12-31") for column, value in dates.items() if value and not _date(value)
    ]
    start, end = _date(dates["valid_from"]), _date(dates["valid_until"])
    if start and end and end < start:
        faults.append(fault("valid_until", f"is before valid_from ({start})"))
    return faults


def _date(value: str) -> date | None:
    # fromisoformat also takes 20251231 and 2025-W52-1; a file has one way to write a date.
    if not _DATE.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _client(row: dict[str, str]) -> Client:
    return Client(
        external_id=row["external_id"],
        name=row["name"],
        email=row["email"],
        valid_from=date.fromisoformat(row["valid_from"]),
        valid_until=_date(row.get("valid_until", "")),
        segment=row.get(SEGMENT) or None,
    )
