"""A host that faults are tried on, and the engine driven as a deploy drives it: the real module, sent over real SSH."""

from __future__ import annotations

import copy
import functools
import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "tests" / "faults" / "inventory"
CACHE = ROOT / ".cache"
ARTIFACTS = CACHE / "artifacts" / "backend"
PUBLIC = CACHE / "faults"
BRIDGE = "10.89.22.1"
OLD, NEW = "1.0.0", "1.1.0"
BOOT_SECONDS = 60
# What a change may take on a busy machine before a test gives up on it.
RUN_SECONDS = 120
CHANGE_UNITS = "'plano-*-change-*.service' 'plano-*-retire.service'"

# For a test that the system under the host makes no difference to; the others run on both.
on_one_host = pytest.mark.parametrize("host", ["fault-app2"], indirect=True, ids=["debian13"])

Request = dict[str, Any]
Result = dict[str, Any]


@functools.cache
def loader() -> DataLoader:
    init_plugin_loader([str(CACHE / "collections")])
    return DataLoader()


def payload(request: Request) -> bytes:
    """Return what Ansible pipes into Python on a host to run the module with *request*."""
    files = loader()
    name = "plano.delivery.release"
    found = module_loader.find_plugin_with_context(name)
    built = modify_module(
        module_name=name,
        module_path=found.plugin_resolved_path,
        module_args=copy.deepcopy(request),
        templar=Templar(loader=files),
        task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
    )
    return built.b_module_data


class Run:
    """A module that was started on a host."""

    def __init__(self, process: subprocess.Popen[bytes], request: Request) -> None:
        self.process = process
        self.change = request["change"]["id"]

    def result(self, seconds: float = RUN_SECONDS) -> Result:
        """Wait for its end. A run that found no answer to give has its status, too: "error", or "cut off"."""
        out, errors = self.process.communicate(timeout=seconds)
        for line in out.decode(errors="replace").splitlines():
            if line.startswith("{"):
                found: Result = json.loads(line)
                return {"status": "error", **found}
        return {"status": "cut off", "msg": errors.decode(errors="replace")[-2000:]}


class FaultHost:
    """One host, and what a fault test does to it and asks of it."""

    def __init__(self, name: str, address: str, requests: dict[str, Request]) -> None:
        self.name = name
        self.address = address
        self._requests = requests

    # -- what a deploy sends ------------------------------------------------------------------------

    def request(self, version: str, change: str = "", **activation: Any) -> Request:
        """Return the request that a deploy of *version* sends; its artifact comes over HTTP, soak and bake are short."""
        found = copy.deepcopy(self._requests[version])
        found["artifact"]["sources"] = [published(version)]
        found["artifact"].pop("local", None)
        found["activation"].update({"soak_seconds": 0.3, **activation})
        found["change"] = {**found["change"], "id": change or f"fault-{uuid.uuid4().hex[:8]}"}
        found["allow_rejected"] = True
        return found

    def start(self, request: Request) -> Run:
        """Send the module with *request* and do not wait for it."""
        process = subprocess.Popen(
            [*self.ssh, "sudo", "/usr/bin/python3", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        try:
            process.stdin.write(payload(request))
            process.stdin.close()
        except BrokenPipeError:
            pass  # the connection was cut before all was sent: the result says so
        process.stdin = None
        return Run(process, request)

    def send(self, request: Request) -> Result:
        return self.start(request).result()

    def deploy(self, version: str, **activation: Any) -> Result:
        return self.send(self.request(version, **activation))

    def must_deploy(self, version: str, **activation: Any) -> Result:
        found = self.deploy(version, **activation)
        assert found["status"] in ("confirmed", "unchanged"), found
        return found

    @property
    def ssh(self) -> list[str]:
        keys = CACHE / "ssh"
        options = {
            "IdentityFile": keys / "id_ed25519",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": keys / "plano-faults.known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "BatchMode": "yes",
            "ConnectTimeout": 10,
            "LogLevel": "ERROR",
        }
        return ["ssh", *(f"-o{name}={value}" for name, value in options.items()), f"admin@{self.address}"]

    # -- beside SSH, as a person at the console would -----------------------------------------------

    def console(self, script: str) -> list[str]:
        return [str(ROOT / "tools" / "podman"), "exec", "--interactive", self.name, "sh", "-euc", script]

    def on(self, script: str, may_fail: bool = False, stdin: str = "") -> str:
        """Run *script* as root on the host and return what it printed."""
        done = subprocess.run(
            self.console(script),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert may_fail or done.returncode == 0, f"{script} on {self.name}: {done.stdout}{done.stderr}"
        return done.stdout

    def plano(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the engine's command on the host, without any controller."""
        return subprocess.run(
            [ROOT / "tools" / "podman", "exec", self.name, "/opt/plano/bin/plano", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )

    def power_cycle(self) -> None:
        """Cut the power and start the host again."""
        podman = ROOT / "tools" / "podman"
        subprocess.run([podman, "kill", self.name], capture_output=True, check=True)
        subprocess.run([podman, "start", self.name], capture_output=True, check=True)
        self.wait("systemctl is-system-running --wait | grep -E 'running|degraded'", BOOT_SECONDS)

    def wait(self, script: str, seconds: float = 30) -> str:
        """Repeat *script* until it succeeds, and return what it printed."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.on(script)
            except AssertionError:
                assert time.monotonic() < deadline, f"{script} did not come true on {self.name} within {seconds} s"
                time.sleep(0.2)

    def settle(self) -> None:
        """Wait until no change and no housekeeping is under way."""
        at_work = f"systemctl list-units --plain --no-legend {CHANGE_UNITS} | grep . || pgrep -fx '/usr/bin/python3 -'"
        self.wait(f"! {{ {at_work}; }}", 90)

    # -- what it says -------------------------------------------------------------------------------

    def get(self, path: str) -> Result:
        with urllib.request.urlopen(f"http://{self.address}:8080{path}", timeout=10) as answer:
            found: Result = json.load(answer)
            return found

    @property
    def version(self) -> str:
        return str(self.get("/version")["version"])

    def ledger(self, component: str = "backend") -> list[Result]:
        return [json.loads(line) for line in self.on(f"cat /var/lib/plano/{component}/ledger.jsonl").splitlines()]

    def states(self, change: str) -> list[str]:
        """Return the states that *change* went through, in order."""
        return [entry["state"] for entry in self.ledger() if entry["change"]["id"] == change]

    def invariants(self) -> Result:
        script = (ROOT / "tests" / "faults" / "invariants.py").read_text(encoding="utf-8")
        found: Result = json.loads(self.on("python3 - backend http://127.0.0.1:8080", stdin=script))
        return found

    def assert_sound(self, *versions: str) -> Result:
        """Insist on every invariant; return the facts. *versions* are those that may serve now."""
        self.settle()
        found = self.invariants()
        assert found["violations"] == [], found
        assert not versions or found["facts"]["version"] in versions, found
        facts: Result = found["facts"]
        return facts

    def assert_converges(self, version: str) -> None:
        """I5: the same command runs through, is a no-op when it is run again, and leaves no litter."""
        self.must_deploy(version)
        assert self.assert_sound(version)["litter"] == []
        again = self.deploy(version)
        assert (again["status"], again["changed"]) == ("unchanged", False), again

    # -- faults -------------------------------------------------------------------------------------

    @contextmanager
    def engine_drop_in(self, text: str) -> Iterator[None]:
        """Change the unit that the engine's critical section runs in; systemd finds it by the unit's prefix."""
        folder = "/run/systemd/system/plano-backend-change-.service.d"
        self.on(f"mkdir -p {folder}; cat > {folder}/fault.conf; systemctl daemon-reload", stdin=f"[Service]\n{text}\n")
        try:
            yield
        finally:
            self.on(f"rm -rf {folder}; systemctl daemon-reload")

    def forget_artifact(self, version: str) -> None:
        """Take an artifact that no current or standing-by release uses out of the store."""
        sha256 = self._requests[version]["artifact"]["sha256"]
        self.on(f"rm -rf /opt/plano/store/sha256/{sha256}")


class Users(threading.Thread):
    """Somebody who keeps asking a host; every refused, cut off or wrong answer is a failure."""

    def __init__(self, host: FaultHost, pause: float = 0.05) -> None:
        super().__init__(daemon=True)
        self.host = host
        self.pause = pause
        self.requests = 0
        self.failures: list[str] = []
        self.versions: set[str] = set()
        self._done = threading.Event()
        self.away = threading.Event()

    def run(self) -> None:
        while not self._done.is_set():
            if not self.away.is_set():
                self._ask()
            self._done.wait(self.pause)

    def _ask(self) -> None:
        began = time.monotonic()
        try:
            self.versions.add(str(self.host.get("/version")["version"]))
        except (OSError, ValueError) as exc:
            # A request that began while the host was there and met its power cut is not held against anybody.
            if not self.away.is_set():
                self.failures.append(f"{exc} after {time.monotonic() - began:.1f} s")
        self.requests += 1

    def __enter__(self) -> Users:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join(15)


@functools.cache
def _server() -> http.server.ThreadingHTTPServer:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    PUBLIC.mkdir(parents=True, exist_ok=True)
    handler: Callable[..., Any] = functools.partial(Quiet, directory=str(PUBLIC))
    found = http.server.ThreadingHTTPServer((BRIDGE, 0), handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    return found


@functools.cache
def published(version: str) -> str:
    """Return the URL of one of the sample backend's artifacts."""
    return publish(ARTIFACTS / f"backend-{version}.tar.gz")


def publish(path: Path) -> str:
    """Serve a copy of *path* to the test hosts, on their own network only, and return its URL."""
    port = _server().server_port
    shutil.copyfile(path, PUBLIC / path.name)
    return f"http://{BRIDGE}:{port}/{path.name}"
