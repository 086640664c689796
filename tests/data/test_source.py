# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of CSV beside Python's own and beside the server's."""

from __future__ import annotations

import csv
import io
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from ansible_collections.plano.delivery.plugins.module_utils.data import source
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session
from ansible_collections.plano.delivery.plugins.module_utils.data.source import (
    Dialect,
    Doubt,
    FileFault,
    Reader,
    Source,
    clean_pieces,
)

VALUES = st.text(
    st.one_of(st.sampled_from('",;\n\r\\ab'), st.characters(min_codepoint=1, max_codepoint=0xD7FF)),
    max_size=6,
)
ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(VALUES, min_size=width, max_size=width), min_size=1, max_size=6)
)
# What goes wrong is made of these.
TEXT = st.text(st.sampled_from('a,"\n\\.'), max_size=30)


def read(text: str, width: int, dialect: Dialect | None = None) -> list[source.Record]:
    fields = tuple(f"c{number}" for number in range(width))
    dialect = dialect or Dialect(header=False, fields=fields)
    return list(Reader(Source("f", None, text.encode()), dialect).records())


@settings(max_examples=150, deadline=None)
@given(
    ROWS,
    st.sampled_from(",;\t|"),
    st.sampled_from("\"'"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_python_writes_is_read(rows: list[list[str]], delimiter: str, quote: str, end: str, quoting: Any) -> None:
    assume(quoting == csv.QUOTE_ALL or "\r" not in str(rows).replace("\\r", "\r"))  # which Python leaves bare
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quotechar=quote, lineterminator=end, quoting=quoting).writerows(rows)
    dialect = Dialect(delimiter=delimiter, quote=quote, header=False, fields=tuple("abcd"[: len(rows[0])]))
    found = read(out.getvalue(), 0, dialect)
    assert [record.reason for record in found] == [""] * len(rows)
    assert [[value or "" for value in record.values] for record in found] == rows
    assert (
        all(value is None for record in found for value in record.values if not value)
        or quoting == csv.QUOTE_ALL
        or len(rows[0]) == 1
    )


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(1, 40))
def test_pieces_are_whole_records_whatever_the_blocks(rows: list[list[str]], size: int) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL if size % 2 else csv.QUOTE_NONNUMERIC).writerows(rows)
    data = out.getvalue().encode()
    blocks = [data[place : place + size] for place in range(0, len(data), size)]
    try:
        pieces = list(clean_pieces(iter(blocks), Dialect()))
    except Doubt:
        assume(False)
    assert b"".join(pieces) == data
    split = [row for piece in pieces for row in csv.reader(io.StringIO(piece.decode(), newline=""), strict=True)]
    assert split == rows


@pytest.fixture(scope="module")
def scratch(server: Any) -> Any:
    with server.session(server.database()) as session:
        session.execute("CREATE TEMPORARY TABLE t (a text, b text)")
        yield session


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT, size=st.integers(1, 20))
@example(text='a",\n"b,c\n', size=5)
@example(text="a,b\n\\.\nc,d\n", size=3)
@example(text='"a""",b\n', size=4)
def test_the_fast_way_reads_what_the_careful_way_reads(scratch: Session, text: str, size: int) -> None:
    reader = Reader(Source("f", None, (text or "a,b").encode()), Dialect(header=False, fields=("a", "b")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK", size)
        patch.setattr(source.utf8_blocks, "__defaults__", (size,))
        try:
            pieces = b"".join(reader.direct())
        except (Doubt, FileFault):
            return
    scratch.execute("TRUNCATE pg_temp.t")
    try:
        with scratch.connection.cursor() as cursor, cursor.copy(
            f"COPY pg_temp.t FROM STDIN ({reader.copy_options})"
        ) as copy:
            copy.write(pieces)
    except Exception:
        return
    taken = scratch.rows("SELECT a, b FROM pg_temp.t ORDER BY ctid")
    careful = list(reader.records())
    assert [record.reason for record in careful] == [""] * len(taken)
    assert [tuple(record.values) for record in careful] == taken


@pytest.mark.parametrize(
    ("text", "dialect", "rows"),
    [
        (r"'a\'b';'c\\d';x\y", {"delimiter": ";", "quote": "'", "escape": "\\"}, [["a'b", r"c\d", r"x\y"]]),
        ("a|\"b|c", {"delimiter": "|", "quote": ""}, [["a", '"b', "c"]]),
        ('NULL,"NULL",', {"null": "NULL"}, [[None, "NULL", ""]]),
        ('"","a\r\nb",\r\n', {}, [["", "a\r\nb", None]]),
        ('1,"a\n\n""b""\n",x\n2,y,z\n', {}, [["1", 'a\n\n"b"\n', "x"], ["2", "y", "z"]]),
    ],
)  # fmt: skip
def test_dialects(text: str, dialect: dict[str, Any], rows: list[list[str | None]]) -> None:
    found = read(text, 0, Dialect(header=False, fields=("a", "b", "c"), **dialect))
    assert [list(record.values) for record in found] == rows
    assert not any(record.reason for record in found)


def test_lines_are_those_of_the_file() -> None:
    found = read('a,"b\nc"\nd,e,f\n"g\n",h\nbad"\n', 2)
    assert [(record.line, record.column, record.reason[:20]) for record in found] == [
        (1, 0, ""), (3, 0, "3 values instead of "), (4, 0, ""), (6, 4, "a quote within a val"),
    ]  # fmt: skip


class Endless:
    """Ten gigabytes of one sign, behind something else."""

    def __init__(self, start: bytes, sign: bytes) -> None:
        self.given = 0
        self._start, self._sign = start, sign

    def __enter__(self) -> Endless:
        return self

    def __exit__(self, *_caught: object) -> None:
        """There is nothing to close."""

    def read(self, size: int) -> bytes:
        start, self._start = self._start, b""
        self.given += size
        return start + (self._sign * size)[:size] if self.given < 10 << 30 else b""


class Long(Source):
    """A source of what takes no room on a disk."""

    streams: list[Endless]
    start: bytes
    sign: bytes

    def open(self) -> Any:
        self.streams.append(Endless(self.start, self.sign))
        return self.streams[-1]


@pytest.mark.parametrize(
    ("start", "sign"),
    [
        (b"", b"x"),
        (b"", b'""'),
        (b"a\n", b"x"),
        (b'a\n"', b"x"),
        (b'a\n"', b"y\n"),
        (b'a\n"', b'""'),
        (b'a\n"', b'""\n'),
    ],
)
def test_ten_gigabytes_in_one_record_are_not_read(start: bytes, sign: bytes) -> None:
    long = type("Tall", (Long,), {"streams": [], "start": start, "sign": sign})("long.csv")
    tracemalloc.start()
    try:
        with pytest.raises(FileFault, match=r"long.csv:[12]:.* (longer than|within) max_line_bytes, 65536"):
            list(Reader(long, Dialect(max_line_bytes=1 << 16)).records())
        with pytest.raises((Doubt, FileFault)):
            list(Reader(long, Dialect(max_line_bytes=1 << 16)).direct())
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert all(stream.given < 8 << 20 for stream in long.streams)
