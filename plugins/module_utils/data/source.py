# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of client data, read as a stream in bounded memory: CSV of any dialect, and JSON lines.

There are two ways through a file. *direct* hands its bytes to the server's COPY as they are, after cheap looks at whole blocks that
prove that the server will read them as this module would; at the first doubt it gives up. *records* takes every line apart, so that
it can say where each fault is. The server reads CSV more leniently than is good for client data (documentation of COPY, "CSV Format"):
a quote in the midst of a value is dropped there, and before PostgreSQL 18 a line of ``\\.`` alone ends the data without a word.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import itertools
import json
import os
import re
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterable, Iterator, NamedTuple, Sequence

from .errors import DataError
from .names import literal

CSV, JSONL, SQL = "csv", "jsonl", "sql"
FORMATS = (CSV, JSONL, SQL)
BLOCK = 256 << 10
MAX_LINE = 1 << 20
# How many faults one message lists; all are counted.
TOLD = 20
# Where a dialect has no quote, COPY is given a byte that no text has.
_NO_QUOTE = "\x01"
_END_OF_COPY = re.compile(rb"(?m)^\\\.\r?$")


class Fault(NamedTuple):
    """What is wrong in a file; *line* and *column* count from 1, column 0 is the whole line. It never holds a value of the file."""

    line: int
    column: int
    reason: str

    def at(self, name: str) -> str:
        return f"{name}:{self.line}:{f'{self.column}:' if self.column else ''} {self.reason}"


class FileFault(DataError):
    """A file that cannot be imported; nothing was changed."""

    def __init__(self, name: str, faults: Sequence[Fault], count: int = 0) -> None:
        more = max(count, len(faults)) - TOLD
        told = [fault.at(name) for fault in faults[:TOLD]]
        super().__init__("; ".join(told) + (f"; and {more} more" if more > 0 else ""))
        self.faults = list(faults)
        self.count = max(count, len(faults))


class Doubt(Exception):
    """The bytes cannot go to the server unread."""


@dataclass(frozen=True)
class Dialect:
    """How a file is written. *fields* are the names of its columns when it has no header; an empty *quote* means that none is used."""

    format: str = CSV
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    null: str = ""
    encoding: str = "utf-8"
    header: bool = True
    fields: tuple[str, ...] = ()
    max_line_bytes: int = MAX_LINE

    def faults(self) -> list[str]:
        """Return everything that is wrong with it."""
        found = []
        if self.format not in FORMATS:
            found.append(f"format {self.format!r} is unknown; known are {', '.join(FORMATS)}")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            found.append(f"encoding {self.encoding!r} is unknown to Python")
        for name, optional in (("delimiter", False), ("quote", True), ("escape", True)):
            sign = getattr(self, name)
            if not ((len(sign) == 1 and sign.isascii() and sign not in "\r\n\0") or (optional and not sign)):
                found.append(f"{name} {sign!r} must be one ASCII character, no line break")
        if self.delimiter and self.delimiter in (self.quote, self.escape):
            found.append(f"delimiter {self.delimiter!r} cannot also be quote or escape")
        if any(sign and sign in self.null for sign in (self.delimiter, self.quote, "\r", "\n")):
            found.append("null must hold neither delimiter nor quote nor a line break")
        if (self.format == CSV and not self.header and not self.fields) or (self.format == SQL and not self.fields):
            found.append(
                "a file without a header needs fields, the names of its columns in their order; so does one of SQL"
            )
        if self.max_line_bytes < 1:
            found.append("max_line_bytes must be at least 1")
        return found

    @property
    def escapes(self) -> str:
        return self.escape or self.quote


@dataclass(frozen=True)
class Source:
    """A file on this host, or its content. *name* is what messages call it."""

    name: str
    path: Path | None = None
    content: bytes = b""

    @staticmethod
    def of(path: str, content: str | None) -> Source:
        """Return the source that a module's options name."""
        if content is not None:
            return Source("content", None, content.encode())
        return Source(path, Path(path))

    def open(self) -> BinaryIO:
        """Open it to be read; the caller closes it. Raises DataError."""
        if self.path is None:
            return io.BytesIO(self.content)
        try:
            if not self.path.is_file() and self.path.exists():
                raise DataError(f"{self.name} is no file")
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise DataError(
                f"{self.name} cannot be read: {error.strerror}. Name a file on the host that this runs on"
            ) from None

    def stamp(self) -> tuple[int, ...]:
        """Return what changes when the file does: its inode, size and time."""
        if self.path is None:
            return ()
        found = os.stat(self.path)
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def digest(self) -> tuple[str, int]:
        """Return the SHA-256 of its bytes, in hex, and how many there are."""
        total, size = hashlib.sha256(), 0
        with self.open() as stream:
            while chunk := stream.read(1 << 20):
                total.update(chunk)
                size += len(chunk)
        return total.hexdigest(), size


class Record(NamedTuple):
    """One row of a file as text, None for null. With a *reason* it is no row: *values* is then the one raw text."""

    line: int
    values: Sequence[str | None]
    reason: str = ""
    column: int = 0


@dataclass
class Reader:
    """One file in one dialect; every pass opens it anew."""

    source: Source
    dialect: Dialect
    fields: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        wrong = self.dialect.faults()
        if wrong:
            raise DataError("; ".join(wrong))
        with self.source.open() as stream:
            self.fields = self._fields(self._lines(stream))

    def lines(self) -> Iterator[str]:
        """Yield the file's lines as text. Raises FileFault."""
        with self.source.open() as stream:
            lines = self._lines(stream)
            while (line := lines.take()) is not None:
                try:
                    yield _decoded(line, lines.number)
                except _BadRecord as bad:
                    raise FileFault(self.source.name, [Fault(bad.line, bad.column, bad.reason)]) from None

    def _fields(self, lines: _Lines) -> tuple[str, ...]:
        if self.dialect.format == SQL:
            return self.dialect.fields
        if self.dialect.format == JSONL:
            return self.dialect.fields or _json_fields(lines, self.source.name)
        if not self.dialect.header:
            if lines.take() is None:
                raise FileFault(self.source.name, [Fault(1, 0, "the file is empty")])
            return self.dialect.fields
        return _header(lines, self.dialect, self.source.name)

    def records(self) -> Iterator[Record]:
        """Yield every row. Raises FileFault where it makes no sense to read on, with the faults so far."""
        faults: list[Fault] = []
        count = 0
        try:
            for record in self._records():
                if record.reason:
                    count += 1
                    if count <= TOLD:
                        faults.append(Fault(record.line, record.column, record.reason))
                yield record
        except FileFault as last:
            raise FileFault(self.source.name, [*faults, *last.faults], count + len(last.faults)) from None

    def _records(self) -> Iterator[Record]:
        with self.source.open() as stream:
            lines = self._lines(stream)
            if self.dialect.format == JSONL:
                yield from _json_records(lines, self.fields)
                return
            if self.dialect.header:
                _header(lines, self.dialect, self.source.name)
            yield from _Csv(lines, self.dialect, self.source.name).records(len(self.fields))

    def direct(self) -> Iterator[bytes]:
        """Yield what COPY with *copy_options* takes. Raises Doubt, FileFault."""
        with self.source.open() as stream:
            lines = self._lines(stream)
            if self.dialect.format == JSONL:
                yield from _batches(_sound(record) for record in _json_records(lines, self.fields))
                return
            if self.dialect.header:
                _header(lines, self.dialect, self.source.name)
            yield from clean_pieces(lines.rest(), self.dialect)

    @property
    def copy_options(self) -> str:
        """The options of COPY that *direct* speaks."""
        if self.dialect.format == JSONL:
            return "FORMAT text"
        quote = self.dialect.quote or _NO_QUOTE
        words = {
            "DELIMITER": self.dialect.delimiter,
            "NULL": self.dialect.null,
            "QUOTE": quote,
            "ESCAPE": self.dialect.escape or quote,
        }
        return "FORMAT csv, " + ", ".join(f"{word} {literal(sign)}" for word, sign in words.items())

    def _lines(self, stream: BinaryIO) -> _Lines:
        return _Lines(utf8_blocks(stream, self.dialect.encoding, self.source.name), self.dialect, self.source.name)


# --- bytes ---------------------------------------------------------------------------------------------------------------------


def utf8_blocks(stream: BinaryIO, encoding: str, name: str, size: int = BLOCK) -> Iterator[bytes]:
    """Yield the text of *stream* as UTF-8 without a byte order mark. UTF-8 itself is not looked into here.

    Raises FileFault for text that is not of another *encoding*.
    """
    chunks = iter(lambda: stream.read(size) or b"", b"")
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        first = next(chunks, b"")
        if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise FileFault(name, [Fault(1, 1, "the file is UTF-16, not UTF-8: set encoding to utf-16")])
        first = first[3:] if first.startswith(codecs.BOM_UTF8) else first
        if first:
            yield first
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, begun = 0, False
    for chunk in itertools.chain(chunks, [b""]):
        try:
            text = decoder.decode(chunk, not chunk)
        except UnicodeError as error:
            read = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
            line = lines + 1 + read.decode(encoding, "ignore").count("\n")
            raise FileFault(name, [Fault(line, 0, f"is not {encoding} text")]) from None
        if text and not begun:
            text, begun = text[1:] if text.startswith("\ufeff") else text, True
        lines += text.count("\n")
        if text:
            yield text.encode()


def clean_pieces(blocks: Iterable[bytes], dialect: Dialect) -> Iterator[bytes]:
    """Yield CSV in pieces of whole records that the server and `records` read alike. Raises Doubt at what they might not."""
    quote, most = dialect.quote.encode(), dialect.max_line_bytes
    tail = b""
    for block in blocks:
        data = tail + block
        cut = _whole(data, dialect, quote, last=False)
        if cut:
            yield _looked_at(data[:cut], most)
        tail = data[cut:]
        if len(tail) > most:
            raise Doubt("a record is longer than it may be")
    if tail:
        _whole(tail, dialect, quote, last=True)
        yield _looked_at(tail, most)


def _looked_at(piece: bytes, most: int) -> bytes:
    if b"\\." in piece and _END_OF_COPY.search(piece):
        raise Doubt("a line would end the data")
    if most < BLOCK and max(map(len, piece.split(b"\n"))) > most:
        raise Doubt("a line is longer than it may be")
    return piece


def _whole(data: bytes, dialect: Dialect, quote: bytes, last: bool) -> int:
    """Return where the last whole record of *data* ends, which begins with one. Raises Doubt for quotes that are not in order."""
    if not quote or quote not in data:
        return data.rfind(b"\n") + 1
    if dialect.escapes != dialect.quote and dialect.escapes.encode() in data:
        raise Doubt("an escape has to be looked at")
    parts = data.split(quote)
    outside = parts[
        0::2
    ]  # the rest is within quotes; an escaped quote leaves an empty part between two that are within
    opens, closes = dialect.delimiter.encode() + b"\n", dialect.delimiter.encode() + b"\r\n"
    if outside[0] and outside[0][-1] not in opens:
        raise Doubt("a quote within a value")
    middle = outside[1:-1] if len(parts) % 2 else outside[1:]
    if any(part and (part[0] not in closes or part[-1] not in opens) for part in middle):
        raise Doubt("a quote within a value")
    if len(parts) % 2 and len(parts) > 1 and outside[-1] and outside[-1][0] not in closes:
        raise Doubt("text behind a quoted value")
    if last and not len(parts) % 2:
        raise Doubt("a quote that is never closed")
    within, end = not len(parts) % 2, len(data)
    while (found := data.rfind(b"\n", 0, end)) >= 0:
        within ^= data.count(quote, found, end) % 2 == 1
        if not within:
            return found + 1
        end = found
    return 0


class _Lines:
    """Lines without their line feed, never one longer than the dialect allows."""

    def __init__(self, blocks: Iterator[bytes], dialect: Dialect, name: str) -> None:
        self.number = 0
        self.name = name
        self._blocks = blocks
        self._most = dialect.max_line_bytes
        self._ready: deque[bytes] = deque()
        self._tail = b""
        self._ended = False

    def take(self) -> bytes | None:
        """Return the next line, None at the end. Raises FileFault for one that is too long."""
        while not self._ready and not self._ended:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                if self._tail:
                    self._ready.append(self._tail)
                self._tail = b""
            else:
                parts = (self._tail + block).split(b"\n")
                self._tail = parts.pop()
                self._ready.extend(parts)
            if len(self._tail) > self._most:
                break
        line = self._ready.popleft() if self._ready else None
        if len(line if line is not None else self._tail) > self._most:
            raise FileFault(
                self.name,
                [
                    Fault(
                        self.number + 1,
                        0,
                        f"the line is longer than max_line_bytes, {self._most}; the rest was not read",
                    )
                ],
            )
        self.number += line is not None
        return line

    def rest(self) -> Iterator[bytes]:
        """Yield the bytes that were not taken."""
        if self._ready:
            yield b"\n".join(self._ready) + (b"" if self._ended else b"\n")
        if self._tail:
            yield self._tail
        yield from self._blocks


# --- CSV -----------------------------------------------------------------------------------------------------------------------


def _header(lines: _Lines, dialect: Dialect, name: str) -> tuple[str, ...]:
    record = next(_Csv(lines, dialect, name).records(0), None)
    if record is None:
        raise FileFault(name, [Fault(1, 0, "the file is empty")])
    if record.reason:
        raise FileFault(name, [Fault(record.line, record.column, record.reason)])
    return tuple(value or "" for value in record.values)


class _Csv:
    """Takes CSV apart as PostgreSQL's COPY does, but strictly."""

    def __init__(self, lines: _Lines, dialect: Dialect, name: str) -> None:
        self._lines = lines
        self._dialect = dialect
        self._name = name
        quote, escape = re.escape(dialect.quote or _NO_QUOTE), re.escape(dialect.escapes or _NO_QUOTE)
        if quote == escape:
            value = f"([^{quote}]*(?:{quote}{quote}[^{quote}]*)*){quote}(?!{quote})"
        else:
            value = f"((?:[^{quote}{escape}]|{escape}[{quote}{escape}]|{escape}(?![{quote}{escape}]))*){quote}"
        self._value = re.compile(value, re.DOTALL)
        self._escaped = re.compile(f"{escape}([{quote}{escape}])")

    def records(self, width: int) -> Iterator[Record]:
        """Yield every record; one that has not *width* values, 0 for any number, is at fault."""
        quote, delimiter, null = self._dialect.quote, self._dialect.delimiter, self._dialect.null
        raw_quote = quote.encode()
        while (line := self._lines.take()) is not None:
            number = self._lines.number
            try:
                text = _decoded(line, number)
                if quote and raw_quote in line:
                    values = self._quoted(text, number)
                else:
                    text = text[:-1] if text.endswith("\r") else text
                    if "\r" in text:
                        raise _BadRecord(
                            number, text.index("\r") + 1, "a lone carriage return; put the value in quotes"
                        )
                    values = [None if value == null else value for value in text.split(delimiter)]
                if width and len(values) != width:
                    raise _BadRecord(number, 0, _width(len(values), width, line))
            except _BadRecord as bad:
                yield Record(bad.line, [_shown(line)], bad.reason, bad.column)
            else:
                yield Record(number, values)

    def _quoted(self, text: str, number: int) -> list[str | None]:
        quote, delimiter, null = self._dialect.quote, self._dialect.delimiter, self._dialect.null
        values: list[str | None] = []
        place = 0

        def bad(at: int, reason: str) -> _BadRecord:
            return _BadRecord(number + text.count("\n", 0, at), at - text.rfind("\n", 0, at), reason)

        while True:
            if text.startswith(quote, place):
                found = self._value.match(text, place + 1)
                if found is None:
                    text = self._gathered(text, number, place)
                    found = self._value.match(text, place + 1)
                if found is None:
                    raise bad(place, "the quote that opens here is never closed")
                value = found[1]
                values.append(self._escaped.sub(r"\1", value) if self._dialect.escapes in value else value)
                place = found.end()
                rest = text[place : place + 2]
                if rest in ("", "\r"):
                    return values
                if rest[0] != delimiter:
                    raise bad(place, "text behind a closing quote; a quote within a value must be doubled or escaped")
                place += 1
                continue
            end = text.find(delimiter, place)
            value = text[place:] if end < 0 else text[place:end]
            if end < 0 and value.endswith("\r"):
                value = value[:-1]
            for sign, reason in (
                (quote, "a quote within a value that does not begin with one"),
                ("\r", "a lone carriage return"),
            ):
                if sign in value:
                    raise bad(place + value.index(sign), reason)
            values.append(None if value == null else value)
            if end < 0:
                return values
            place = end + 1

    def _gathered(self, text: str, number: int, place: int) -> str:
        """Return *text* with the lines that follow until its quotes are even, which is where a value can end."""
        parts, size = [text], len(text)
        odd = self._quotes(text) % 2
        while True:
            line = self._lines.take()
            if line is None or size > self._dialect.max_line_bytes:
                column = place - text.rfind("\n", 0, place)
                within = "" if line is None else f" within max_line_bytes, {self._dialect.max_line_bytes}"
                reason = f"the quote that opens here is never closed{within}; the rest was not read"
                raise FileFault(self._name, [Fault(number, column, reason)])
            more = _decoded(line, self._lines.number)
            parts.append(more)
            size += len(line) + 1
            odd = (odd + self._quotes(more)) % 2
            if not odd:
                return "\n".join(parts)

    def _quotes(self, text: str) -> int:
        quote, escape = self._dialect.quote, self._dialect.escapes
        if quote != escape:
            text = text.replace(escape + escape, "").replace(escape + quote, "")
        return text.count(quote)


class _BadRecord(Exception):
    def __init__(self, line: int, column: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.column, self.reason = line, column, reason


def _decoded(line: bytes, number: int) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        column = len(line[: error.start].decode()) + 1
        raise _BadRecord(number, column, "is not UTF-8 text; set encoding, or save the file as UTF-8") from None
    if "\0" in text:
        raise _BadRecord(number, text.index("\0") + 1, "a NUL byte, which PostgreSQL cannot store")
    return text


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _width(found: int, width: int, line: bytes) -> str:
    if not line.strip():
        return "the line is empty"
    return f"{found} value{'s' if found != 1 else ''} instead of {width}"


# --- JSON lines ----------------------------------------------------------------------------------------------------------------


def _json_fields(lines: _Lines, name: str) -> tuple[str, ...]:
    line = lines.take()
    if line is None:
        raise FileFault(name, [Fault(1, 0, "the file is empty")])
    try:
        return tuple(_object(line, 1))
    except _BadRecord as bad:
        raise FileFault(name, [Fault(bad.line, bad.column, bad.reason)]) from None


def _json_records(lines: _Lines, fields: Sequence[str]) -> Iterator[Record]:
    known = set(fields)
    while (line := lines.take()) is not None:
        number = lines.number
        try:
            found = _object(line, number)
            # Names are the file's structure, not its values.
            odd = [f"unknown key {name}" for name in found if name not in known]
            odd += [f"key {name} is missing" for name in fields if name not in found]
            if odd:
                raise _BadRecord(number, 0, ", ".join(odd) + "; every line has the keys of the first, or of fields")
            yield Record(number, [_json_text(found[name], line, name) for name in fields])
        except _BadRecord as bad:
            yield Record(bad.line, [_shown(line)], bad.reason, bad.column)


def _object(line: bytes, number: int) -> dict[str, Any]:
    text = _decoded(line, number)
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice.append("a key stands there twice")
        return found

    try:
        found = json.loads(text, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        reason = "the line is empty" if not text.strip() else f"is not JSON: {error.msg}"
        raise _BadRecord(number, error.colno if text.strip() else 0, reason) from None
    except (ValueError, RecursionError):
        raise _BadRecord(number, 0, "holds NaN, Infinity or a nesting that is no data") from None
    if not isinstance(found, dict):
        raise _BadRecord(number, 1, "is no JSON object; every line is one, such as a name and a value for each column")
    if twice:
        raise _BadRecord(number, 0, twice[0])
    if "\\u" in text and not all(map(_storable, found.values())):
        raise _BadRecord(number, 0, "a NUL or half of a character, which PostgreSQL cannot store")
    return found


def _storable(value: Any) -> bool:
    return not isinstance(value, str) or ("\0" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value))


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _json_text(value: Any, line: bytes, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        # Once more without decimals, which JSON cannot write.
        return json.dumps(json.loads(line)[name], ensure_ascii=False)
    return str(value)


def _sound(record: Record) -> Record:
    if record.reason:
        raise Doubt(record.reason)
    return record


# --- COPY's text format --------------------------------------------------------------------------------------------------------

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_line(values: Iterable[str | None]) -> str:
    """Return a row in COPY's text format."""
    return "\t".join("\\N" if value is None else value.translate(_ESCAPES) for value in values) + "\n"


def _batches(records: Iterable[Record], write: Callable[[Record], str] | None = None) -> Iterator[bytes]:
    parts: list[str] = []
    size = 0
    for record in records:
        line = write(record) if write else copy_line(record.values)
        parts.append(line)
        size += len(line)
        if size >= BLOCK:
            yield "".join(parts).encode()
            parts, size = [], 0
    if parts:
        yield "".join(parts).encode()


def raw_rows(records: Iterable[Record], width: int) -> Iterator[bytes]:
    """Yield rows in COPY's text format: line, column, reason, then *width* texts; a faulty row has its raw text as the first."""

    def write(record: Record) -> str:
        values = list(record.values) + [None] * (width - len(record.values))
        return copy_line([str(record.line), str(record.column), record.reason or None, *values[:width]])

    return _batches(records, write)
