"""Before each start of Grafana: refuse a database that a newer version has used, and let the administrator have the password of the release.

start.py VERSION FOLDER PASSWORD-FILE COMMAND...

COMMAND is Grafana's own command line, which takes the new password from its standard input. Grafana itself sets the password only when
it makes the database; this makes a changed one hold, and an old one again after a rollback.
"""

import re
import subprocess
import sys
from pathlib import Path

DATABASE = "grafana.db"
# Kept and put back with the database, so it says who used it last.
USED_BY = "plano-version"


def numbers(version):
    """Return the parts of a version that compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def main():
    """Exit with 1 and a line that says what to do, or with 0."""
    version, folder, password, command = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
    mark = folder / USED_BY
    used_by = mark.read_text(encoding="utf-8").strip() if mark.exists() else version
    if numbers(used_by) > numbers(version):
        print(
            f"{folder / DATABASE} was used by Grafana {used_by} last, and {version} does not know what that made of it. Go back with a"
            f" rollback, which brings the database back too; or move {folder / DATABASE} and {mark} away to begin with an empty one.",
            file=sys.stderr,
        )
        return 1
    mark.write_text(f"{version}\n", encoding="utf-8")
    if not (folder / DATABASE).exists():
        return 0  # the server makes it, with this password
    with open(password, "rb") as stdin:
        argv = [*command, "admin", "reset-admin-password", "--password-from-stdin"]
        return subprocess.run(argv, stdin=stdin, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
