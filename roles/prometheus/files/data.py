"""Say whether a version of Prometheus can use the data that lies here, and whether the one that wrote it could come back to it.

usage: data.py FOLDER VERSION. The unit writes the version that runs into FOLDER/plano-version before it starts.
"""

import re
import sys
from pathlib import Path

# From Prometheus' guide to the migration to 3: "TSDB format and downgrade". What 3.0 and later write, 2.55 can read, and no earlier one.
BREAKS = (((3, 0), (2, 55)),)


def numbers(version):
    """Return the parts of a version that compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def main():
    """Exit with 1 and a line that says what to do, or with 0."""
    folder, version = Path(sys.argv[1]), sys.argv[2]
    try:
        writer = (folder / "plano-version").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return 0
    older, newer = sorted((numbers(writer), numbers(version)))
    for first, reader in BREAKS:
        if newer >= first and older < reader:
            step = ".".join(map(str, reader))
            print(
                f"{folder} was written by Prometheus {writer}, and {version} is to use it: what {'.'.join(map(str, first))} and later write,"
                f" only {step} and later can read, so there would be no way back. Go by way of {step}, or move {folder} away"
                " and begin with empty storage.",
                file=sys.stderr,
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
