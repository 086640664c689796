"""Run a command while users keep asking, and say whether any of them was let down.

    keep_asking.py URL... -- COMMAND...

Prints JSON: the command's return code and output, how many requests were made, every one that failed, and the versions
that answered. A request fails when it is refused, cut off or answered with anything but 200.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

PAUSE = 0.05


class Asker(threading.Thread):
    """One user: asks again as soon as the answer is there."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.stop = stop
        self.requests = 0
        self.failures: list[str] = []
        self.versions: set[str] = set()

    def run(self) -> None:
        while not self.stop.is_set():
            self.requests += 1
            begin = time.monotonic()
            try:
                with urllib.request.urlopen(self.url, timeout=10) as response:
                    self.versions.add(json.load(response).get("version", ""))
            except (OSError, ValueError) as error:
                self.failures.append(f"{self.url}: {error} after {time.monotonic() - begin:.1f} s")
            self.stop.wait(PAUSE)


def main() -> int:
    """Ask until the command is done."""
    middle = sys.argv.index("--")
    stop = threading.Event()
    askers = [Asker(url, stop) for url in sys.argv[1:middle]]
    for asker in askers:
        asker.start()
    done = subprocess.run(sys.argv[middle + 1 :], capture_output=True, text=True, check=False)
    # What breaks just after the command has said that all is well counts too.
    time.sleep(2)
    stop.set()
    for asker in askers:
        asker.join(15)
    report: dict[str, Any] = {
        "code": done.returncode,
        "output": done.stdout + done.stderr,
        "requests": sum(asker.requests for asker in askers),
        "failures": [failure for asker in askers for failure in asker.failures],
        "versions": sorted(set().union(*(asker.versions for asker in askers))),
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
