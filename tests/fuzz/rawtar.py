# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar archives byte by byte: what no honest tool would write, for the tests of the archive checker."""

from __future__ import annotations

import zlib

BLOCK = 512
POSIX, GNU, NONE = b"ustar\x0000", b"ustar  \0", bytes(8)
END = bytes(2 * BLOCK)
FILE, HARD, LINK, CHAR, BLOCK_DEVICE, DIR, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
PAX, GLOBAL, LONG_NAME, LONG_LINK, SPARSE = b"x", b"g", b"L", b"K", b"S"


def seal(block: bytes) -> bytes:
    """Return the header *block* with a checksum that holds."""
    blank = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(blank) + block[156:]


def header(
    name: bytes,
    kind: bytes = FILE,
    size: int | bytes = 0,
    mode: int = 0o644,
    target: bytes = b"",
    magic: bytes = POSIX,
    prefix: bytes = b"",
) -> bytes:
    """Return one header; a *size* in bytes is put into its field as it is."""
    block = b"".join(
        (
            name[:100].ljust(100, b"\0"),
            b"%07o\0" % mode,
            b"%07o\0%07o\0" % (0, 0),
            size.ljust(12, b"\0") if isinstance(size, bytes) else b"%011o\0" % size,
            b"%011o\0" % 0,
            b" " * 8,
            kind,
            target[:100].ljust(100, b"\0"),
            magic,
            bytes(80),
            prefix.ljust(155, b"\0"),
        )
    ).ljust(BLOCK, b"\0")
    return seal(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def member(name: bytes | str, content: bytes = b"", kind: bytes = FILE, **fields: object) -> bytes:
    """Return a member: its header and its content."""
    raw = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    fields.setdefault("size", len(content))
    return header(raw, kind, **fields) + padded(content)


def link(name: bytes | str, target: bytes | str, **fields: object) -> bytes:
    raw = target.encode("utf-8", "surrogateescape") if isinstance(target, str) else target
    return member(name, kind=LINK, target=raw, **fields)


def records(**values: bytes | str) -> bytes:
    """Return pax records; a key is written with _ for the dot."""
    lines = b""
    for key, value in values.items():
        body = b" %s=%s\n" % (
            key.replace("_", ".").encode(),
            value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value,
        )
        length = len(body) + 1
        while length != len(body) + len(str(length)):
            length = len(body) + len(str(length))
        lines += b"%d%s" % (length, body)
    return lines


def pax(kind: bytes = PAX, **values: bytes | str) -> bytes:
    return member("pax", records(**values), kind=kind)


def gnu_long(kind: bytes, text: bytes | str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return member("././@LongLink", raw + b"\0", kind=kind, magic=GNU)


def archive(*members: bytes) -> bytes:
    return b"".join(members) + END


def gzip_bomb(*parts: tuple[bytes, int]) -> bytes:
    """Return a gzip stream of each part repeated so often, without compressing it so often.

    Behind a full flush a deflate stream may repeat any of its pieces. The stream has no end, which nobody may reach.
    """
    made = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    for part, times in parts:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        made += (deflate.compress(part) + deflate.flush(zlib.Z_FULL_FLUSH)) * times
    return made
