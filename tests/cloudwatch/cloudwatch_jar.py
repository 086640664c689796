"""The real exporter as an ordinary process of this machine, and what it shows."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cloudwatch import Cloudwatch

MAIN = "io.prometheus.cloudwatch.WebServer"
# Small and quick to start; what a role gives it is the role's affair.
JAVA = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError"]
START_SECONDS = 60
# Whatever happens to the test, the process does not outlive this.
SECONDS = 240
SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: (-?\d+))?$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Sample:
    """A line of an exposition."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    # In milliseconds, as CloudWatch gave it.
    timestamp: int | None

    def label(self, name: str) -> str | None:
        return dict(self.labels).get(name)


@dataclass
class Exposition:
    """What GET /metrics answered."""

    text: str
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        for line in self.text.splitlines():
            if line and not line.startswith("#"):
                name, labels, value, stamp = SAMPLE.match(line).groups()
                pairs = tuple(LABEL.findall(labels or ""))
                self.samples.append(Sample(name, pairs, float(value), int(stamp) if stamp else None))

    @property
    def families(self) -> list[str]:
        """The names of CloudWatch's metrics in it, each as often as it is announced."""
        announced = re.findall(r"^# TYPE (\S+) ", self.text, re.MULTILINE)
        return [name for name in announced if name.startswith("aws_") and name != "aws_resource_info"]

    def of(self, name: str) -> list[Sample]:
        return [sample for sample in self.samples if sample.name == name]

    def value(self, name: str, **labels: str) -> float:
        [found] = [one.value for one in self.of(name) if all(one.label(key) == value for key, value in labels.items())]
        return found

    @property
    def error(self) -> float:
        return self.value("cloudwatch_exporter_scrape_error")


@dataclass
class Exporter:
    """A running exporter."""

    port: int
    config: Path
    log: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    def scrape(self) -> Exposition:
        return Exposition(self.get("/metrics"))

    def wait(self) -> None:
        """Wait until it answers; /-/ready says nothing about CloudWatch, and costs nothing."""
        end = time.monotonic() + START_SECONDS
        while True:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.said}"
            assert time.monotonic() < end, f"it was not ready after {START_SECONDS} s:\n{self.said}"
            with contextlib.suppress(OSError):
                self.get("/-/ready")
                return
            time.sleep(0.1)

    def write(self, config: Any) -> None:
        write(self.config, config)

    def reload(self) -> int:
        """Ask it by HTTP; return the status."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/-/reload", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            return exc.code

    def hang_up(self) -> None:
        """Ask it by signal; there is no answer but a line in the log."""
        before = self.said.count("Reloading configuration")
        self.process.send_signal(signal.SIGHUP)
        eventually(lambda: self.said.count("Reloading configuration") > before)

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what comes about after the line in the log that announces it."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def write(path: Path, config: Any) -> None:
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))


@contextlib.contextmanager
def exporter(
    jar: Path,
    folder: Path,
    config: Any,
    aws: Cloudwatch,
    *,
    options: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    sdk: Path | None = None,
    ready: bool = True,
) -> Iterator[Exporter]:
    """Run an exporter while the block runs: through the tunnel, unless *options* and *environment* say otherwise.

    With *sdk*, a folder of jars, the exporter's own classes run on that release of the AWS SDK.
    """
    port = free_port()
    path, log, hosts = (folder / f"{port}.{end}" for end in ("yml", "log", "hosts"))
    write(path, config)
    # Names are looked up in an empty file: whatever a test does, nothing of it reaches the real AWS.
    hosts.touch()
    start = [*JAVA, f"-Djdk.net.hosts.file={hosts}", *(aws.proxy_options if options is None else options)]
    program = ["-cp", f"{sdk}/*:{jar}", MAIN] if sdk else ["-jar", str(jar)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*start, *program, str(port), str(path)],
            env={"PATH": "/usr/bin:/bin", **(aws.credentials if environment is None else environment)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # An alarm outlives exec, and a Java that does not expect it ends.
            preexec_fn=lambda: signal.alarm(SECONDS),
        )
    found = Exporter(port, path, log, process)
    try:
        if ready:
            found.wait()
        yield found
    finally:
        process.kill()
        process.wait()
