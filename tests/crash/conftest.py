"""The option of the long form, and the table at the end."""

from __future__ import annotations

import pytest

ROWS = pytest.StashKey[list]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-states", action="store_true", help="look at many more crash states; takes much longer")


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> list:
    """Collect the rows that are printed when all tests have run."""
    return request.config.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    write = terminalreporter.write_line
    write("")
    write("| operation | system calls | of them syncs | crash states | recovered and run again | violations |")
    write("|---|---|---|---|---|---|")
    for row in rows:
        write(f"| {row.name} | {row.calls} | {row.syncs} | {row.states} | {row.again} | {row.faults} |")
    total = [sum(getattr(row, name) for row in rows) for name in ("calls", "syncs", "states", "again", "faults")]
    write(f"| all {len(rows)} | {' | '.join(str(number) for number in total)} |")
    write(
        f"slowest: {', '.join(f'{row.name} {row.seconds:.1f} s' for row in sorted(rows, key=lambda row: -row.seconds)[:5])}"
    )
