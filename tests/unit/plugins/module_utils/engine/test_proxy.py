# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine and HAProxy's master: every process that may serve a request is told, asked and waited for."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import proxy as proxy_module
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.proxy import Proxy

STAT = "# pxname,svname,qcur,qmax,scur,\nbackend_{slot},{slot},0,0,7,\nbackend_{slot},BACKEND,0,0,{count},\n"


class Master:
    """Answers as HAProxy's master does, for workers that hold a slot and requests in flight."""

    def __init__(self, path: Path, **slots: str) -> None:
        self.path = path
        self.slots = slots
        self.in_flight: dict[str, int] = {}
        self.deaf: set[str] = set()
        self.ending: set[str] = set()
        self.commands: list[str] = []
        self.server: socketserver.ThreadingUnixStreamServer | None = None

    def start(self) -> None:
        master = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                # Like the real one, it answers nobody who has not said that there is no more to come.
                self.wfile.write(master.answer(self.rfile.read().decode().strip()).encode() + b"\n")

        self.path.unlink(missing_ok=True)
        self.server = socketserver.ThreadingUnixStreamServer(str(self.path), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def answer(self, text: str) -> str:
        self.commands.append(text)
        if text == "show proc":
            return "#<PID> <type> <reloads>\n1 master 3\n# workers\n" + "".join(
                f"{pid} worker 0\n" for pid in self.slots
            )
        pid, command = text.removeprefix("@!").split(" ", 1)
        if pid in self.ending:
            self.slots.pop(pid, None)
        if pid not in self.slots:
            return f"Can't find the target PID matching the prefix '@!{pid}'"
        if command.startswith("show map"):
            return f"0x55d0 active {self.slots[pid]}"
        if command.startswith("set map"):
            if pid not in self.deaf:
                self.slots[pid] = command.split()[-1]
            return "entry not found." if pid in self.deaf else ""
        assert command == "show stat"
        return STAT.format(slot=self.slots[pid], count=self.in_flight.get(pid, 0))


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    found = Master(tmp_path / "master.sock", **{"20": "blue"})
    found.start()
    yield found
    found.stop()


@pytest.fixture
def proxy(master: Master, tmp_path: Path) -> Proxy:
    found = Proxy(str(master.path), tmp_path / "backend.map", "active", "backend")
    found.record("blue")
    return found


def test_a_switch_is_recorded_and_told(proxy, master):
    proxy.switch("green")
    assert proxy.recorded() == proxy.serving() == master.slots["20"] == "green"


def test_a_process_that_a_reload_left_behind_is_told_too(proxy, master):
    master.slots = {"21": "blue", "20": "blue", "19": "blue"}
    proxy.switch("green")
    assert set(master.slots.values()) == {"green"}


def test_a_reload_in_progress_is_waited_for_and_its_process_is_told(proxy, master):
    master.stop()

    def come_back() -> None:
        time.sleep(0.5)
        # It had read the map file before the switch was recorded.
        master.slots = {"21": "blue", "20": "blue"}
        master.start()

    threading.Thread(target=come_back).start()
    assert proxy.switch("green") >= 0.2
    assert master.slots == {"21": "green", "20": "green"}


def test_a_process_that_ends_meanwhile_is_no_fault(proxy, master):
    master.slots = {"21": "blue", "20": "blue"}
    master.ending = {"20"}
    proxy.switch("green")
    assert master.slots == {"21": "green"}


def test_a_process_that_does_not_switch_is_a_fault(proxy, master):
    master.slots = {"21": "blue", "20": "blue"}
    master.deaf = {"20"}
    with pytest.raises(
        EngineError, match=r"still serves slot blue and green .* after 'set map' to green: entry not found"
    ):
        proxy.switch("green")


def test_a_master_that_is_gone_is_named_with_the_next_step(proxy, master, monkeypatch):
    monkeypatch.setattr(proxy_module, "SOCKET_SECONDS", 0.1)
    master.stop()
    with pytest.raises(
        EngineError, match=r"does not answer on .*master\.sock \(.*refused\); see 'systemctl status haproxy'"
    ):
        proxy.serving()


def test_a_socket_that_is_not_the_masters_is_named(proxy, master):
    master.slots = {}
    with pytest.raises(EngineError, match="names no worker"):
        proxy.serving()


def test_requests_in_flight_are_counted_in_every_process(proxy, master):
    master.slots = {"21": "blue", "20": "blue"}
    master.in_flight = {"21": 1, "20": 2}
    assert proxy.sessions("blue") == 3
    assert proxy.sessions("green") == 0


def test_a_drain_waits_for_the_last_request_of_an_old_process(proxy, master):
    master.slots = {"21": "blue", "20": "blue"}
    master.in_flight = {"20": 1}
    assert proxy.drain("blue", 0.1) is False
    threading.Timer(0.2, master.in_flight.clear).start()
    assert proxy.drain("blue", 5.0) is True


def test_a_drain_first_takes_the_slot_out_of_service(proxy, master):
    proxy.record("green")
    assert proxy.drain("blue", 1.0) is True
    assert master.slots == {"20": "green"}


def test_a_drain_without_another_slot_to_go_to_leaves_the_map_alone(proxy, master):
    assert proxy.drain("blue", 1.0) is True
    assert master.slots == {"20": "blue"}
    assert not [command for command in master.commands if "set map" in command]


def test_a_map_file_without_the_entry_names_no_slot(proxy):
    proxy.map_path.write_text("# a comment of five words\nother blue\n")
    assert proxy.recorded() is None
    proxy.map_path.unlink()
    assert proxy.recorded() is None
