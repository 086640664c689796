# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A short run of `make fuzz`, always the same, and the proof that it would find what it looks for."""

from __future__ import annotations

from collections.abc import Callable

import fuzz_archive
import pytest
from fuzz_archive import Report, fuzz

from ansible_collections.plano.delivery.plugins.module_utils.engine import archive


def executed(number: int) -> Callable[[Report], bool]:
    return lambda report: report.executions >= number


def test_random_archives_are_refused_or_unpacked_as_promised(tmp_path):
    report = fuzz(tmp_path, 1, executed(600))
    assert list(report.findings) == []
    # Neither side may starve, or the run says nothing.
    assert report.accepted >= 60
    assert report.compared >= 60
    assert len(report.refused) >= 35, report


def test_the_same_seed_makes_the_same_archives(tmp_path):
    reports = [fuzz(tmp_path / name, 7, executed(40)) for name in ("a", "b")]
    assert reports[0] == reports[1]
    assert fuzz(tmp_path / "c", 8, executed(40)) != reports[0]


def parts_with_dots(header: archive._Header) -> list[str]:
    return [part for part in header.name.split("/") if part not in ("", ".")]


def one_size_too_small(field: bytes, number: Callable[[bytes], int] = archive._number) -> int:
    return 5 if field == b"%011o\0" % 511 else number(field)


@pytest.mark.parametrize(
    ("hole", "instead", "words"),
    [
        ("_follow", lambda link: link, "leads out, to"),
        ("_parts", parts_with_dots, "FileExistsError: "),
        ("_check_kind", lambda _header: None, "tarfile reads something else"),
        ("_CONTROL", archive.re.compile("[\x1f]"), "ValueError: "),
        ("_number", one_size_too_small, "tarfile reads something else"),
        ("_FILE_MODE", 0o4644, "has mode 104644"),
    ],
)
def test_a_hole_in_the_checker_would_be_found(tmp_path, monkeypatch, hole, instead, words):
    monkeypatch.setattr(archive, hole, instead)
    report = fuzz(tmp_path, 1, lambda seen: seen.executions >= 4000 or any(words in found for found in seen.findings))
    assert any(words in found for found in report.findings), report


def test_an_archive_that_takes_too_long_would_be_found(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz_archive, "CPU_SECONDS", 0.05)

    def endless(*_args: object) -> None:
        while True:
            pass

    monkeypatch.setattr(archive, "inspect", endless)
    assert list(fuzz(tmp_path, 1, executed(1)).findings) == ["more than 0.05 s of processor time"]
