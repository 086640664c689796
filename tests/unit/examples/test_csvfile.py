"""CSV files of clients: sound ones are read exactly, faulty ones tell every fault with its line."""

from __future__ import annotations

import random
from datetime import date

import pytest

HEADER = "external_id,name,email,valid_from,valid_until\n"
ROW = "c1,Ana,ana@example.com,2025-01-01,2025-12-31\n"


def faults(csvfile, text, *, segments=True):
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(csvfile.FaultyFileError) as caught:
        csvfile.parse(data, segments=segments)
    return [(fault.line, fault.column, fault.message) for fault in caught.value.faults]


def test_a_sound_file_is_read_exactly(csvfile):
    read = csvfile.parse((HEADER + ROW + 'c2,"Sá, Bento", b@example.com ,2025-02-01,\n').encode(), segments=True)
    assert read.columns == ("external_id", "name", "email", "valid_from", "valid_until")
    assert read.clients == (
        csvfile.Client("c1", "Ana", "ana@example.com", date(2025, 1, 1), date(2025, 12, 31)),
        csvfile.Client("c2", "Sá, Bento", "b@example.com", date(2025, 2, 1)),
    )


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + ROW,
        (HEADER + ROW).replace("\n", "\r\n"),
        (HEADER + ROW).rstrip("\n"),
        HEADER.upper() + "\n" + ROW + "\n,,,,\n",
        "email,name,valid_until,valid_from,external_id\nana@example.com,Ana,2025-12-31,2025-01-01,c1\n",
    ],
    ids=["byte order mark", "windows lines", "no last newline", "blank lines", "other order"],
)
def test_ways_to_write_the_same_file(csvfile, text):
    expected = csvfile.parse((HEADER + ROW).encode(), segments=False)
    assert csvfile.parse(text.encode(), segments=False) == expected


def test_optional_columns_may_be_left_out(csvfile):
    read = csvfile.parse(b"external_id,name,email,valid_from\nc1,Ana,ana@example.com,2025-01-01\n", segments=True)
    assert "valid_until" not in read.columns
    assert read.clients[0].valid_until is None


def test_segments_are_a_column_only_where_the_release_knows_them(csvfile):
    text = "external_id,name,email,valid_from,segment\nc1,Ana,ana@example.com,2025-01-01,gold\n"
    read = csvfile.parse(text.encode(), segments=True)
    assert (read.columns[-1], read.clients[0].segment) == ("segment", "gold")
    assert faults(csvfile, text, segments=False)[0][:2] == (1, "segment")


def test_all_faults_are_told_by_line(csvfile):
    text = HEADER + (
        "c1,Ana,ana@example.com,2025-01-01,2024-12-31\n"
        ",Bento,nobody,2025-02-30,\n"
        '"c 3","Cla\nra",c@example.com,20250101,\n'
        "c1,Dora,d@example.com,2025-01-01\n"
        "c1,Eva,e@example.com,2025-01-01,never\n"
    )
    assert faults(csvfile, text) == [
        (2, "valid_until", "is before valid_from (2025-01-01)"),
        (3, "external_id", "is empty"),
        (3, "email", "is not an e-mail address"),
        (3, "valid_from", "is not a date as 2025-12-31"),
        (4, "name", "has a control character"),
        (4, "external_id", "must be 1 to 64 letters, digits, dots, dashes or underscores"),
        (4, "valid_from", "is not a date as 2025-12-31"),
        (6, None, "has 4 cells, the header has 5"),
        (7, "valid_until", "is not a date as 2025-12-31"),
        (7, "external_id", "is the same as in line 2"),
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", (1, None, "the file is empty")),
        (HEADER, (1, None, "the file has a header but no clients")),
        ("external_id;name;email;valid_from\n", (1, None, "the cells must be separated by commas")),
        (HEADER.encode() + b"c1,Jo\xe3o,j@example.com,2025-01-01,\n", (2, None, "is not UTF-8 text")),
        (HEADER + ROW + 'c2,"open,o@example.com,2025-01-01,\n', (3, None, "cannot be read as CSV")),
        (HEADER + ROW + 'c2,O"pen" x,"a"b,2025-01-01,\n', (3, None, "cannot be read as CSV")),
        (HEADER + "c1,A\0na,ana@example.com,2025-01-01,\n", (2, "name", "has a control character")),
        (HEADER + f"c1,{'x' * 201},ana@example.com,2025-01-01,\n", (2, "name", "is longer than 200 characters")),
    ],
)
def test_a_file_that_is_wrong_as_a_whole(csvfile, text, fault):
    (line, column, message), *more = faults(csvfile, text)
    assert (line, column) == fault[:2]
    assert message.startswith(fault[2])
    assert not more


def test_faults_of_the_header_are_told_together(csvfile):
    found = faults(csvfile, "name,name,colour,valid_from\nAna,Ana,red,2025-01-01\n")
    assert [(line, column) for line, column, _fault in found] == [
        (1, "external_id"),
        (1, "email"),
        (1, "name"),
        (1, "colour"),
    ]


def test_any_bytes_give_clients_or_faults_and_never_another_error(csvfile):
    dice = random.Random(7)
    alphabet = [b",", b'"', b"\n", b"\r", b"c1", b"2025-01-01", b"a@b.cd", b"\xff", b"\0", b" ", HEADER.encode()]
    for _row in range(3000):
        data = dice.choice([b"", HEADER.encode()]) + b"".join(dice.choices(alphabet, k=dice.randrange(20)))
        try:
            read = csvfile.parse(data, segments=True)
        except csvfile.FaultyFileError as error:
            assert error.faults
        else:
            assert read.clients
