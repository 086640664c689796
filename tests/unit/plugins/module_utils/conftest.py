# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fakes at the edges of the engine: a systemd, an HAProxy and a service that are as real as the engine can tell."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import (
    activate,
    bundle,
    change,
    cli,
    health,
    lock,
    proxy,
)
from ansible_collections.plano.delivery.plugins.module_utils.engine.change import Component, Order
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import SLOTS, Layout
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import WANTS, Done, Host


@dataclass
class FakeUnit:
    """What systemd knows of a unit; *text* is its file as it was when it was started."""

    state: str = "inactive"
    pid: int = 0
    restarts: int = 0
    result: str = "success"
    text: str = ""


class FakeHost(Host):
    """A host without systemd: commands are recorded and answered from a table, units follow start and stop."""

    def __init__(self, unit_dir: Path) -> None:
        unit_dir.mkdir(parents=True, exist_ok=True)
        super().__init__(unit_dir)
        self.calls: list[list[str]] = []
        self.answers: dict[str, Callable[[], Done]] = {}
        self.units: dict[str, FakeUnit] = {}
        # What systemd-run starts at once, as a process of its own, rather than at a later time.
        self.spawn: Callable[[str, Sequence[str]], None] = lambda _unit, _argv: None
        self.spawned: list[threading.Thread] = []

    def run(self, argv: Sequence[str], timeout: float = 0, env: object = None, stdin: bytes = b"") -> Done:
        self.calls.append(list(argv))
        for start, answer in self.answers.items():
            if " ".join(argv).startswith(start):
                return answer()
        if argv[0] == "systemctl":
            return self._systemctl(*[word for word in argv[1:] if not word.startswith("--")])
        if argv[0] == "systemd-run":
            self._systemd_run(argv)
        return Done(argv, 0, "", "")

    def _systemctl(self, verb: str, *names: str) -> Done:
        unit = self.units.setdefault(names[0], FakeUnit()) if names else FakeUnit()
        if verb == "show":
            shown = {
                "ActiveState": unit.state,
                "MainPID": unit.pid,
                "NRestarts": unit.restarts,
                "Result": unit.result,
                "InvocationID": f"run{unit.pid}" if unit.pid else "",
            }
            return Done([verb], 0, "".join(f"{name}={value}\n" for name, value in shown.items()), "")
        if verb == "reload" and unit.state != "active":
            return Done([verb], 1, "", f"{names[0]} is not active, cannot reload.")
        if verb == "restart" or (verb == "start" and unit.state != "active"):
            self.begin(names[0])
        elif verb == "stop":
            unit.state = "inactive"
        return Done([verb], 0, "", "")

    def begin(self, name: str) -> None:
        """A process of unit *name* starts, from the unit file of this moment."""
        pid = max([unit.pid for unit in self.units.values()], default=100) + 1
        self.units[name] = FakeUnit("active", pid, text=self.unit_text(name) or "")

    def _systemd_run(self, argv: Sequence[str]) -> None:
        name = next((word[len("--unit=") :] for word in argv if word.startswith("--unit=")), "")
        if any(word.startswith("--on-active=") for word in argv):
            self.units[f"{name}.timer"] = FakeUnit("active")
        elif "carry-out" in argv:
            self.spawn(name, [word for word in argv[1:] if not word.startswith("--")])

    def environment(self, unit: str) -> dict[str, str]:
        text = self.units[unit].text if unit in self.units else ""
        return dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE))

    def join(self) -> None:
        """Wait for what was spawned."""
        for thread in self.spawned:
            thread.join()

    def refuses(self, start: str, words: str) -> None:
        self.answers[start] = lambda: Done([start], 1, "", words)

    def says(self, start: str, words: str) -> None:
        self.answers[start] = lambda: Done([start], 0, words, "")

    def ran(self, start: str) -> int:
        return sum(" ".join(call).startswith(start) for call in self.calls)

    def enabled(self) -> list[str]:
        """The units that would start at boot."""
        return sorted(path.name for path in (self.unit_dir / WANTS).glob("*"))


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path / "units")


class HurriedClock:
    """Real time, except that sleeping only moves the clock on: a wait of a minute is over at once."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped

    def sleep(self, seconds: float) -> None:
        time.sleep(0.0005)
        self.skipped += seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> HurriedClock:
    clock = HurriedClock()
    for module in (activate, change, health, lock, proxy):
        monkeypatch.setattr(module, "time", clock)
    return clock


WORKER = 20


class FakeHaproxy:
    """The master's socket of an HAProxy with one worker, which reads its map file only when it starts, as HAProxy does."""

    def __init__(self, folder: Path) -> None:
        self.socket_path = folder / "haproxy.sock"
        self.map_path = folder / "app.map"
        self.map_path.write_text("active blue\n")
        self.live: dict[str, str] = {}
        # Requests in flight on each slot: "show stat" gives the first figure, and drops it unless it is the last.
        self.sessions: dict[str, list[int]] = {slot: [0] for slot in SLOTS}
        # Commands that begin so make it crash, before or after it obeyed; or it answers and does not obey.
        self.crash_before = self.crash_after = self.ignores = "-"
        self.start()

    def start(self) -> None:
        self.live = dict(line.split() for line in self.map_path.read_text().splitlines())
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket_path))
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def crash(self) -> None:
        self.socket_path.unlink(missing_ok=True)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def stop(self) -> None:
        if self.listener.fileno() >= 0:
            self.crash()
        self.thread.join()

    def _serve(self) -> None:
        while self.listener.fileno() >= 0:
            try:
                link, _address = self.listener.accept()
            except OSError:
                return
            with link:
                command = link.makefile().readline().strip().removeprefix(f"@!{WORKER} ")
                if command.startswith(self.crash_before):
                    self.crash()
                    return
                answer = self._obey(command)
                if command.startswith(self.crash_after):
                    self.crash()
                    return
                # HAProxy's own buffers are smaller than its answers: they come in parts.
                for start in range(0, len(answer), 40):
                    link.sendall(answer[start : start + 40].encode())

    def _obey(self, command: str) -> str:
        words = command.split()
        if words == ["show", "map", str(self.map_path)]:
            return "".join(f"0x55d1f8 {key} {value}\n" for key, value in self.live.items()) + "\n"
        if words[:3] == ["set", "map", str(self.map_path)] and words[3] in self.live:
            if not command.startswith(self.ignores):
                self.live[words[3]] = words[4]
            return "\n"
        if words == ["show", "proc"]:
            return f"#<PID> <type> <reloads>\n1 master 0\n{WORKER} worker 0\n"
        if words == ["show", "stat"]:
            rows = ["# pxname,svname,qcur,qmax,scur,smax", "app_front,FRONTEND,,,9,9"]
            for slot, figures in self.sessions.items():
                now = figures.pop(0) if len(figures) > 1 else figures[0]
                rows += [f"app_{slot},{slot},0,0,{now},9", f"app_{slot},BACKEND,0,0,{now},9"]
            return "\n".join(rows) + "\n"
        return "entry not found.\n"


@pytest.fixture
def haproxy() -> Iterator[FakeHaproxy]:
    # A socket's path may have 107 characters only, and the folders of tests have long names.
    folder = Path(tempfile.mkdtemp(prefix="plano"))
    found = FakeHaproxy(folder)
    yield found
    found.stop()
    shutil.rmtree(folder)


UNIT = "[Service]\nExecStart=/bin/app --port @PORT@ --release @ID@\n"


class Site:
    """The component "app" in two slots behind HAProxy, with processes that answer as their units say."""

    def __init__(self, layout: Layout, host: FakeHost, haproxy: FakeHaproxy) -> None:
        self.layout = layout
        self.host = host
        self.haproxy = haproxy
        self.component = Component(layout, host)
        # Release by version -> what is wrong with it: "start", "silent", "crash" or "front" (silent behind the proxy).
        self.broken: dict[str, str] = {}
        self.servers = [self._serve(place) for place in (*SLOTS, "front")]
        self.ports = dict(zip((*SLOTS, "front"), (server.server_port for server in self.servers)))
        for slot in SLOTS:
            host.answers[f"systemctl start app@{slot}"] = lambda slot=slot: self._start(f"app@{slot}.service")

    def _serve(self, place: str) -> ThreadingHTTPServer:
        site = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                release = site.answering(place)
                body = json.dumps({"release": release}).encode()
                self.send_response(200 if release else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def stop(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def _start(self, unit: str) -> Done:
        self.host.begin(unit)
        if self.fault_of(unit) == "start":
            self.host.units[unit].state = "failed"
            return Done(["start"], 1, "", "Job failed")
        return Done(["start"], 0, "", "")

    def running(self, unit: str) -> str | None:
        """The release that the process of *unit* was started from, if there is a process."""
        found = self.host.units.get(unit, FakeUnit())
        named = re.search(r"--release (\S+)", found.text)
        return named.group(1) if named and found.state == "active" else None

    def fault_of(self, unit: str) -> str | None:
        return next(
            (fault for version, fault in self.broken.items() if f"--release {version}-" in self.text(unit)), None
        )

    def text(self, unit: str) -> str:
        return self.host.units.get(unit, FakeUnit()).text

    def answering(self, place: str) -> str | None:
        """The release that answers a request there, as GET /version would say."""
        unit = f"app@{self.haproxy.live['active'] if place == 'front' else place}.service"
        release, fault = self.running(unit), self.fault_of(unit)
        if fault == "crash":  # it answers once, and systemd starts it anew
            self.host.begin(unit)
        return None if fault == "silent" or (fault == "front" and place == "front") else release

    def request(self, version: str, **changed: Any) -> dict[str, Any]:
        return {
            "component": "app",
            "version": version,
            "files": [
                {"dest": "config/app.service", "content": UNIT},
                {"dest": "config/app.conf", "content": f"version {version}\n"},
            ],
            "activation": {
                "strategy": "bluegreen",
                "unit": "app",
                "unit_file": "config/app.service",
                "ports": {slot: self.ports[slot] for slot in SLOTS},
                "proxy": {
                    "socket": str(self.haproxy.socket_path),
                    "map": str(self.haproxy.map_path),
                    "backend": "app",
                    "url": f"http://127.0.0.1:{self.ports['front']}",
                },
                "start_timeout": 1,
                "soak_seconds": 1,
                "drain_seconds": 2,
            },
            "health": [{"type": "http", "url": "@BASE@/version", "expect": {"release": "@ID@"}}],
        } | changed

    def stage(self, version: str, **changed: Any) -> str:
        wanted = self.request(version, **changed)
        release = change.describe(wanted)
        change.stage(self.component, wanted, release)
        return str(release["id"])

    def deploy(self, version: str, **changed: Any) -> dict[str, Any]:
        release = self.stage(version, **changed)
        return change.carry_out(self.component, Order.new(release, {"id": f"c-{version}"}))

    def rollback(self, to: str | None = None) -> dict[str, Any]:
        target = change.target_of_rollback(self.component, to)
        return change.carry_out(self.component, Order.new(target, {"id": "back"}, rollback=True))

    def restarts(self, boots: Callable[[], object]) -> None:
        """The host loses all processes; *boots* runs before its services, then what is enabled and HAProxy start."""
        for unit in self.host.units.values():
            unit.state = "inactive"
        self.haproxy.stop()
        boots()
        for unit in self.host.enabled():
            self.host.begin(unit)
        self.haproxy.start()

    def holds(self, slot: str) -> str:
        """The release that the unit file of *slot* names."""
        named = re.search(r"--release (\S+)", self.host.unit_text(f"app@{slot}.service") or "")
        return named.group(1) if named else f"nothing in {slot}"

    def served(self) -> str:
        """The version that serves, after all that must name one release named the same."""
        past = self.component.ledger().history
        recorded = self.haproxy.map_path.read_text().split()[1]
        said = {
            "ledger": past.current,
            "current": os.path.basename(os.readlink(self.layout.current)),
            "map file": self.holds(recorded),
            "HAProxy": self.holds(self.haproxy.live["active"]),
            "enabled": " and ".join(self.holds(slot) for slot in SLOTS if f"app@{slot}.service" in self.host.enabled()),
            "users": self.answering("front"),
        }
        assert set(said.values()) == {past.current}, said
        assert (past.pending, past.slot) == (None, recorded)
        return past.versions[str(past.current)]

    def states(self) -> list[str]:
        return [entry["state"] for entry in self.component.ledger().entries]


@pytest.fixture
def site(tmp_path: Path, host: FakeHost, haproxy: FakeHaproxy, hurried: HurriedClock) -> Iterator[Site]:
    found = Site(Layout("app", tmp_path / "opt", tmp_path / "var", tmp_path / "run"), host, haproxy)
    yield found
    found.stop()


@pytest.fixture
def this_host(tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """Let the engine take the test's folders and its fake systemd for those of the machine it runs on."""
    places = (tmp_path / "opt", tmp_path / "var", tmp_path / "run")
    monkeypatch.setattr(Layout.__init__, "__defaults__", places)
    monkeypatch.setattr(Host.__init__, "__defaults__", (host.unit_dir,))
    monkeypatch.setattr(bundle.install, "__defaults__", (places[0], host.unit_dir))
    monkeypatch.setattr(Host, "run", lambda _host, *args, **options: host.run(*args, **options))
    return host


@pytest.fixture
def spawning(this_host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """Let the engine that systemd-run starts run beside its caller, as a thread that is its unit."""
    real = change.follow

    def spawn(unit: str, argv: Sequence[str]) -> None:
        def run() -> None:
            cli.main(argv[1:])
            this_host.units[unit].state = "inactive"

        this_host.units[unit] = FakeUnit("active")
        this_host.spawned.append(threading.Thread(target=run))
        this_host.spawned[-1].start()

    def follow(*args: Any, **options: Any) -> dict[str, Any]:
        outcome = real(*args, **options)
        if outcome["status"] != change.WAITING:
            this_host.join()  # what the unit still says must not get among the words of what comes next
        return outcome

    this_host.spawn = spawn
    monkeypatch.setattr(change, "follow", follow)
    yield this_host
    this_host.join()
