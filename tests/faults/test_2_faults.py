"""One named test for each fault of the list: what is done to a deploy or a rollback, what must come of it, and in which words.

After every test the `host` fixture judges the invariants (invariants.py): a complete release, the ledger's truth, no lock,
no secret. What is refused before any host is touched (D21 invalid or undefined variables, D22 wrong vault password) is
tried in tests/integration/test_1_bad_inputs.py, what needs several hosts (D17) in test_1_fleet.py, D10 in tests/crash.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fault_host import ARTIFACTS, INVENTORY, NEW, OLD, ROOT, FaultHost, Request, Result, on_one_host, payload, publish

WHOLE = ARTIFACTS / f"backend-{NEW}.tar.gz"
KILL_MODULE = "pkill -KILL -fx '/usr/bin/python3 -'"
KILL_ENGINE = "pkill -KILL -f '^/usr/bin/python3 -I /opt/plano/bin/plano carry-out'"
STORE = "/opt/plano/store"


def state_is(state: str, change: str) -> str:
    """Return a script that succeeds when *change* has come to *state*."""
    return f'tail -n 1 /var/lib/plano/backend/ledger.jsonl | grep -F \'"{change}"\' | grep -qF \'"state":"{state}"\''


def unchanged(host: FaultHost, found: Result, *words: str) -> None:
    """The operation failed with these words, and the old release serves."""
    assert found.get("failed"), found
    for word in words:
        assert word in found["msg"], found["msg"]
    host.assert_sound(OLD)


def with_file(request: Request, old: str, new: str) -> Request:
    """Change the unit of a release."""
    unit = request["files"][0]
    assert old in unit["content"]
    unit["content"] = unit["content"].replace(old, new)
    return request


def with_archive(request: Request, path: Path, sha256: str | None = None) -> Request:
    """Let a release come from the archive at *path*, pinned as it is unless *sha256* says otherwise."""
    request["artifact"]["sources"] = [publish(path)]
    digest = sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != request["artifact"]["sha256"]:
        # Nobody signed these bytes; an environment that insists on it refuses them without looking at them.
        del request["artifact"]["signature"]
        request["require_signature"] = False
    request["artifact"]["sha256"] = digest
    return request


# -- killed, cut off, restarted ----------------------------------------------------------------------


def test_d01_kill_between_unpack_and_switch(host):
    host.forget_artifact(NEW)
    request = host.request(NEW, soak_seconds=5)
    run = host.start(request)
    host.wait(state_is("staged", run.change))
    run.process.kill()
    host.on(f"{KILL_MODULE}; {KILL_ENGINE}")
    host.assert_sound(OLD)
    last = host.ledger()[-1]
    assert (last["state"], last["reason"]) == ("failed", "the change was interrupted before the switch")
    assert "fetch" not in host.must_deploy(NEW)["phases"]
    host.assert_converges(NEW)


def test_d01_kill_while_unpacking(host):
    host.plano("retire", "backend")
    host.forget_artifact(NEW)
    run = host.start(host.request(NEW))
    host.wait(f"ls -d {STORE}/.staging-*/tree/venv")
    host.on(KILL_MODULE)
    assert run.result()["status"] == "cut off"
    assert len(host.assert_sound(OLD)["litter"]) == 1
    host.assert_converges(NEW)


def test_d03_ssh_cut_mid_transfer(host):
    host.plano("retire", "backend")
    host.forget_artifact(NEW)
    with cutting_proxy(host.address, after=5_000_000) as port:
        # Under the host's own name, by a detour, and not through a connection that is still open from before.
        detour = f"-oHostname=127.0.0.1 -oPort={port} -oHostKeyAlias={host.address} -oControlPath=none"
        way = {"backend_version": NEW, "ansible_ssh_common_args": " ".join([detour, *host.ssh[1:-1]])}
        done = subprocess.run(
            ["ansible-playbook", "-i", INVENTORY, "plano.delivery.deploy", "--limit", host.name, "-e", json.dumps(way)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert re.search(rf"{host.name} +: .*unreachable=1", said), said
    assert host.assert_sound(OLD)["litter"] == []
    host.assert_converges(NEW)


@contextmanager
def cutting_proxy(address: str, after: int) -> Iterator[int]:
    """Forward a port of this machine to a host's SSH; once *after* bytes went there, cut everything for good."""
    listener = socket.create_server(("127.0.0.1", 0))
    links: list[socket.socket] = []
    sent = 0

    def pump(source: socket.socket, target: socket.socket, count: bool) -> None:
        nonlocal sent
        try:
            while data := source.recv(65536):
                sent += len(data) if count else 0
                if sent > after:
                    break
                target.sendall(data)
        except OSError:
            pass  # the other direction was cut
        if sent > after:
            listener.close()
            for link in links:
                link.close()
        else:
            target.close()

    def accept() -> None:
        while True:
            try:
                client, _peer = listener.accept()
                host = socket.create_connection((address, 22))
            except OSError:
                return
            links.extend((client, host))
            threading.Thread(target=pump, args=(client, host, True), daemon=True).start()
            threading.Thread(target=pump, args=(host, client, False), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.mark.parametrize("reboot", [False, True], ids=["alive", "restarted"])
def test_d12_stale_lock_of_a_dead_holder(host, reboot):
    # Without its recovery, a killed engine leaves the lock's record and an attempt without outcome.
    with host.engine_drop_in("ExecStopPost="):
        run = host.start(host.request(NEW, soak_seconds=5))
        host.wait(state_is("staged", run.change))
        if reboot:
            host.power_cycle()
        else:
            host.on(KILL_ENGINE)
            assert run.result()["status"] == "failed"
    again = host.request(NEW)
    began = time.monotonic()
    assert host.send(again)["status"] == "confirmed"
    assert time.monotonic() - began < 60
    staged = next(entry for entry in host.ledger() if entry["change"]["id"] == again["change"]["id"])
    # At boot the recovery had taken the lock over already, and given it back.
    assert staged.get("taken_over") == (None if reboot else run.change)


def test_d13_host_reboot_mid_deploy(host):
    request = {**host.request(NEW), "confirm_within": 60}
    assert host.send(request)["status"] == "waiting"
    assert host.states(request["change"]["id"]) == ["staged", "switched"]
    assert host.version == NEW
    host.power_cycle()
    host.wait(
        "curl -fs localhost:8080/health || python3 -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:8080/health\")'"
    )
    host.assert_sound(OLD)
    last = host.ledger()[-1]
    assert (last["state"], last["reason"]) == ("reverted", "the host restarted before the switch was confirmed")
    host.assert_converges(NEW)


def test_d13_engine_killed_between_switch_and_confirmation(host):
    request = {**host.request(NEW), "confirm_within": 60}
    assert host.send(request)["status"] == "waiting"
    host.on(KILL_ENGINE)
    host.assert_sound(OLD)
    assert host.ledger()[-1]["reason"] == "the change was interrupted before the switch was confirmed"
    host.assert_converges(NEW)


# -- wrong bytes -------------------------------------------------------------------------------------


@on_one_host
def test_d04_artifact_truncated(host, scratch):
    cut = scratch / "cut.tar.gz"
    cut.write_bytes(WHOLE.read_bytes()[: WHOLE.stat().st_size // 2])
    sha256 = hashlib.sha256(WHOLE.read_bytes()).hexdigest()
    host.forget_artifact(NEW)
    found = host.send(with_archive(host.request(NEW), cut, sha256))
    unchanged(host, found, f"({cut.stat().st_size} bytes), expected {sha256}", "Nothing was unpacked")
    nothing_new(host, sha256)


@on_one_host
def test_d05_artifact_bitflip(host, scratch):
    flipped = scratch / "flipped.tar.gz"
    data = bytearray(WHOLE.read_bytes())
    data[len(data) // 3] ^= 1
    flipped.write_bytes(data)
    sha256 = hashlib.sha256(WHOLE.read_bytes()).hexdigest()
    host.forget_artifact(NEW)
    found = host.send(with_archive(host.request(NEW), flipped, sha256))
    unchanged(
        host, found, f"sha256 is {hashlib.sha256(data).hexdigest()}", f"expected {sha256}", "Nothing was unpacked"
    )
    nothing_new(host, sha256)


@on_one_host
def test_d05_wrong_sha256(host):
    found = host.send(with_archive(host.request(NEW), WHOLE, "f" * 64))
    unchanged(host, found, f"expected {'f' * 64}", "correct the pin or the source and run the same command again")
    nothing_new(host, "f" * 64)


def nothing_new(host: FaultHost, sha256: str) -> None:
    assert host.on(f"ls -A {STORE}/sha256 | grep {sha256} || true; find /opt/plano -name '.staging-*'") == ""


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644, data: bytes = b"") -> Any:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(data)
    return info, data


HOSTILE: dict[str, list[Any]] = {
    "climbs out": ["climbs out with '..'", member("../../../../../../etc/plano-was-here", data=b"x")],
    "absolute": ["has an absolute path", member("/etc/plano-was-here", data=b"x")],
    "link out, then through it": [
        "'d/plano-was-here' lies below 'd'",
        member("d", tarfile.SYMTYPE, "/etc"),
        member("d/plano-was-here", data=b"x"),
    ],
    "hard link to a deeper symlink": [
        "'h' is a hard link",
        member("a/b/link", tarfile.SYMTYPE, "../../in"),
        member("h", tarfile.LNKTYPE, "a/b/link"),
    ],
    "device": ["'null' is a character device", member("null", tarfile.CHRTYPE)],
    "FIFO": ["'pipe' is a FIFO", member("pipe", tarfile.FIFOTYPE)],
    "setuid": ["'root-shell' is setuid", member("root-shell", mode=0o4755, data=b"x")],
    "twice": ["'same' occurs twice", member("same", data=b"1"), member("same", data=b"2")],
}


@on_one_host
@pytest.mark.parametrize("kind", HOSTILE)
def test_d07_hostile_archive(host, scratch, kind):
    """On a real host, as root; the whole table of archives is tests/unit's."""
    path = scratch / "hostile.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        for info, data in HOSTILE[kind][1:]:
            out.addfile(info, io.BytesIO(data))
    look = "find / -xdev -path /var/log -prune -o -path /tmp -prune -o -type f -printf '%p %s %T@\\n' -o -printf '%p %y\\n' | grep -v plano/store | sort"
    look += " | grep -vE '^/(root|home|var/tmp|var/lib/systemd|var/lib/plano/[a-z]+/lock|var/lib/apt|var/cache|var/backups|opt/plano/.staging)'"
    host.on("rm -f /etc/plano-was-here")
    before = host.on(look)
    found = host.send(with_archive(host.request(NEW), path))
    unchanged(host, found, HOSTILE[kind][0])
    assert host.on(look) == before
    nothing_new(host, hashlib.sha256(path.read_bytes()).hexdigest())


@on_one_host
def test_d07_bomb(host, scratch):
    path = scratch / "bomb.tar.gz"
    bomb = tarfile.TarInfo("zeros")
    bomb.size = 10 << 30
    with gzip.open(path, "wb", 9) as out:
        out.write(bomb.tobuf(tarfile.GNU_FORMAT))
        for _mebibyte in range(64):
            out.write(bytes(1 << 20))
    began = time.monotonic()
    found = host.send(with_archive(host.request(NEW), path))
    unchanged(host, found, "it unpacks to more than")
    assert time.monotonic() - began < 60


# -- the disk ----------------------------------------------------------------------------------------


@contextmanager
def small_disk(host: FaultHost, place: str, size: str) -> Iterator[None]:
    """Put what is in *place* on a small file system of its own."""
    copy = "/var/tmp/plano-fault"
    host.on(
        f"rm -rf {copy}; cp -a {place} {copy}; mount -t tmpfs -o size={size} tmpfs {place}; cp -a {copy}/. {place}/"
    )
    try:
        yield
    finally:
        host.settle()
        host.on(f"rm -rf {copy}; cp -a {place} {copy}; umount {place}; rm -rf {place}; mv {copy} {place}")


@on_one_host
def test_d08_disk_full_staging(host):
    host.plano("retire", "backend")
    host.forget_artifact(NEW)
    with small_disk(host, STORE, "130m"):
        found = host.deploy(NEW)
        assert host.on(f"find {STORE} -name '.staging-*'") == ""
        unchanged(host, found, "no space to ", "MB free", "MB are needed", "run the same command again")
    host.assert_converges(NEW)


@on_one_host
def test_d08_disk_full_before_the_records(host):
    with small_disk(host, "/var/lib/plano/backend", "4m"):
        # dd fails when the disk is full, which is what it is for; so does the next one.
        host.on("dd if=/dev/zero of=/var/lib/plano/backend/filler bs=64k 2>/dev/null || true")
        found = host.deploy(NEW)
        host.on("rm /var/lib/plano/backend/filler")
        unchanged(host, found, "no space to record a change", "run the same command again")
    host.assert_converges(NEW)


def test_d08_disk_full_at_the_ledger_write(host):
    """The disk fills up between the start and the switch: what cannot be recorded is not done."""
    with small_disk(host, "/var/lib/plano/backend", "8m"):
        run = host.start(host.request(NEW, soak_seconds=4))
        host.wait(state_is("staged", run.change))
        host.on("dd if=/dev/zero of=/var/lib/plano/backend/filler bs=4k 2>/dev/null || true")
        found = run.result()
        host.on("rm /var/lib/plano/backend/filler")
        host.settle()
        unchanged(host, found, "cannot write 'switched'", "(0 bytes are free there)", "run the same command again")
    host.assert_converges(NEW)


@on_one_host
def test_d09_readonly_fs(host):
    host.plano("retire", "backend")
    host.forget_artifact(NEW)
    born = host.on("systemctl show --property=MainPID plano-backend@blue plano-backend@green haproxy")
    host.on("mount --bind /opt/plano /opt/plano; mount -o remount,bind,ro /opt/plano")
    try:
        found = host.deploy(NEW)
    finally:
        host.on("umount /opt/plano")
    unchanged(host, found, "Read-only file system", "/opt/plano")
    assert host.on("systemctl show --property=MainPID plano-backend@blue plano-backend@green haproxy") == born
    host.assert_converges(NEW)


# -- two at once -------------------------------------------------------------------------------------


RACES = 50


def test_d11_two_concurrent_deploys(hosts, say):
    """In the same second, fifty times: one proceeds, the other one is told who holds the lock.

    On a busy machine the second one may come only when the first has ended: then both proceed, one after the other.
    """
    host = hosts["fault-app2"]
    runners = {name: payload(race_request("RACE", name)) for name in ("a", "b")}
    won = {"a": 0, "b": 0, "one after the other": 0}
    for number in range(RACES):
        found = race(host, {name: text.replace(b"RACE", b"%04d" % number) for name, text in runners.items()})
        statuses = sorted(result["status"] for result in found.values())
        if statuses == ["confirmed", "confirmed"]:
            won["one after the other"] += 1
            continue
        assert statuses == ["confirmed", "refused"], found
        loser, winner = sorted(found, key=lambda name: found[name]["status"] == "confirmed")
        assert f"race is being changed by change race-{number:04d}-{winner}" in found[loser]["msg"]
        assert "run the same command again when it has ended" in found[loser]["msg"]
        won[winner] += 1
    states = [(entry["state"], entry["change"]["id"]) for entry in host.ledger("race") if entry["state"] != "pruned"]
    rounds = [states[first : first + 3] for first in range(0, len(states), 3)]
    assert len(rounds) >= RACES
    for each in rounds:
        assert [state for state, _change in each] == ["staged", "switched", "confirmed"]
        assert len({change for _state, change in each}) == 1
    assert won["one after the other"] <= RACES // 3, won
    say(f"{RACES} races: {won}")


def race_request(number: str, name: str) -> Request:
    return {
        "component": "race",
        "version": f"{number}-{name}",
        "files": [{"dest": "config/race", "content": f"{number} {name}\n"}],
        # Long enough that the other one comes while it is held, however busy the machine is.
        "validate": [["sleep", "1.6"]],
        "activation": {"strategy": "none"},
        "change": {"id": f"race-{number}-{name}", "actor": "a test", "reason": "", "commit": ""},
        "keep": 1,
    }


def race(host: FaultHost, runners: dict[str, bytes]) -> dict[str, Result]:
    """Start the modules at the same moment on the host, and return what each of them said."""
    first, second = runners.values()
    script = f"head -c {len(first)} > a; cat > b; python3 a > a.json & python3 b > b.json & wait; cat a.json b.json"
    done = subprocess.run(
        [*host.ssh, "sudo", "sh", "-c", f"'mkdir -p /run/race; cd /run/race; {script}'"],
        input=first + second,
        capture_output=True,
        timeout=60,
        check=True,
    )
    said = [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith("{")]
    return dict(zip(runners, said, strict=True))


# -- health ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("500", "/health answered 500 instead of 200"),
        ("refused", "/health does not answer"),
        ("version", "release is 'somebody else' instead of '1.1.0-"),
    ],
)
def test_d14_health_check_fails(host, fault, words):
    limit = 4 if fault == "refused" else 15
    request = host.request("1.2.0-broken" if fault == "500" else NEW, start_timeout=limit)
    if fault == "refused":
        with_file(request, '"PORT=@PORT@"', '"PORT=18099"')
    if fault == "version":
        with_file(request, '"PLANO_RELEASE=@ID@"', '"PLANO_RELEASE=somebody else"')
    reason = f"was never given traffic: not healthy within {limit} s"
    unchanged(host, host.send(request), reason, words, "goes on serving")
    assert host.states(request["change"]["id"]) == ["staged", "failed"]


@pytest.mark.parametrize(("delay", "limit", "passes"), [(7.2, 25, True), (11, 10, False)], ids=["inside", "outside"])
def test_d15_slow_start(host, delay, limit, passes):
    """The application itself takes about one second more than *delay*, and longer on a busy machine."""
    request = with_file(
        host.request(NEW, start_timeout=limit), "ExecStart=", f'ExecStart=/bin/sh -c \'sleep {delay}; exec "$0" "$@"\' '
    )
    found = host.send(request)
    if passes:
        assert found["status"] == "confirmed", found
        assert found["phases"]["health"] > delay
    else:
        unchanged(host, found, f"was never given traffic: not healthy within {limit} s", "goes on serving")


def test_d16_start_then_crash(host):
    """1.3.0-crash is healthy for five seconds."""
    found = host.deploy("1.3.0-crash", soak_seconds=7)
    unchanged(
        host, found, "was never given traffic: healthy at first, then: plano-backend@", "exited during its soak time"
    )


# -- what it stands on -------------------------------------------------------------------------------


@on_one_host
def test_d18_proxy_down(host):
    """The local form of a load balancer that does not answer: nothing is started, and the host serves when it is back."""
    host.on("systemctl stop haproxy")
    try:
        found = host.deploy(NEW)
    finally:
        host.on("systemctl start haproxy")
    unchanged(host, found, "HAProxy's master does not answer on /run/haproxy-master.sock", "systemctl status haproxy")
    assert host.on("systemctl is-active 'plano-backend@*'").split() == ["active"]


@on_one_host
def test_d19_dns_failure_and_mirror_down(host):
    host.must_deploy(NEW)
    host.must_deploy(OLD)
    host.plano("retire", "backend")
    host.forget_artifact(NEW)
    request = host.request(NEW)
    request["artifact"]["sources"] = ["http://mirror.invalid/backend.tar.gz", "http://127.0.0.1:9/backend.tar.gz"]
    found = host.send(request)
    unchanged(host, found, "no source has artifact 1.1.0", "mirror.invalid", "127.0.0.1:9", "Connection refused")
    # The other version is on the host: a rollback asks nobody.
    host.must_deploy(NEW)
    host.on("ip route del default")
    try:
        done = host.plano("rollback", "backend", "--to", OLD)
    finally:
        host.on(f"ip route add default via {host.address.rpartition('.')[0]}.1")
    assert done.returncode == 0, done.stderr
    host.assert_sound(OLD)


@on_one_host
def test_a_deploy_that_changes_nothing_needs_no_network(host):
    """The whole playbook, with every source gone and no way out of the host but the way back to the controller."""
    playbook = ["ansible-playbook", "-i", str(INVENTORY), "plano.delivery.deploy", "--limit", f"{host.name},fault-db"]
    wanted = ["-e", json.dumps({"backend_version": OLD, "backend_soak_seconds": 1})]
    first = subprocess.run([*playbook, *wanted], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert first.returncode == 0, first.stdout
    route = host.on("ip route show default").strip()
    host.on("ip route del default")
    try:
        again = subprocess.run([*playbook, *wanted], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    finally:
        host.on(f"ip route add {route}")
    assert again.returncode == 0, again.stdout
    assert re.search(rf"{host.name} +: ok=\d+ +changed=0 +unreachable=0 +failed=0", again.stdout), again.stdout


@on_one_host
@pytest.mark.parametrize("skew", ["-1h", "+1h"])
def test_d20_clock_skew(host, skew):
    """The engine's clock is an hour off, and back again: order comes from the ledger's numbers."""
    fake = host.on("find /usr/lib -name libfaketime.so.1").strip()
    with host.engine_drop_in(f'Environment="LD_PRELOAD={fake}" "FAKETIME={skew}" FAKETIME_DONT_FAKE_MONOTONIC=1'):
        host.must_deploy(NEW)
        host.settle()
    skewed = [entry["time"] for entry in host.ledger() if entry["state"] == "confirmed"][-1]
    host.must_deploy(OLD)
    straight = [entry["time"] for entry in host.ledger() if entry["state"] == "confirmed"][-1]
    assert (skewed > straight) == (skew == "+1h")
    assert host.plano("rollback", "backend").returncode == 0
    host.assert_sound(NEW)


# -- rollback ----------------------------------------------------------------------------------------


@on_one_host
def test_r01_rollback_previous_pruned(host):
    host.must_deploy(NEW)
    entries = host.ledger()
    gone = next(
        entry["release"] for entry in reversed(entries) if entry["state"] == "confirmed" and entry["version"] == OLD
    )
    host.on(f"mv /opt/plano/backend/releases/{gone} /var/tmp/kept")
    try:
        done = host.plano("rollback", "backend", "--to", gone)
        assert done.returncode == 2
        assert f"backend {gone} was never confirmed on this host or is no longer kept; candidates: " in done.stderr
        assert host.version == NEW
    finally:
        host.on(f"mv /var/tmp/kept /opt/plano/backend/releases/{gone}")


@on_one_host
@pytest.mark.parametrize("damage", ["bit", "truncated", "removed", "head"])
def test_r02_ledger_corrupted(host, damage):
    host.must_deploy(NEW)
    ledger = "/var/lib/plano/backend/ledger.jsonl"
    host.on(
        {
            "bit": f"printf X | dd of={ledger} bs=1 seek=700 conv=notrunc 2>/dev/null",
            "truncated": f"truncate -s -400 {ledger}",
            "removed": f"rm {ledger}",
            "head": "rm /var/lib/plano/backend/ledger.head",
        }[damage]
    )
    found = host.deploy(OLD)
    assert found["failed"]
    for word in (f"ledger {ledger} is damaged: ", "nothing was changed", "plano recover backend --rebuild"):
        assert word in found["msg"]
    refused = host.plano("rollback", "backend")
    assert refused.returncode == 1
    assert "is damaged" in refused.stderr
    assert host.version == NEW
    done = host.plano("recover", "backend", "--rebuild")
    assert done.returncode == 0, done.stderr
    host.assert_sound(NEW)
    host.assert_converges(OLD)


@on_one_host
def test_r03_rollback_across_migration(host, scratch):
    """A release whose schema the old one cannot read: no rollback of the artifact, and the words say what to do."""
    breaking = scratch / "backend-breaking.tar.gz"
    manifest = {"schema": {"revision": "0003", "runs_on": ["0003"], "keeps": []}}
    with tarfile.open(WHOLE) as old, tarfile.open(breaking, "w:gz", compresslevel=0) as new:
        for info in old:
            data = old.extractfile(info).read() if info.name != "plano.json" else json.dumps(manifest).encode()
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    request = with_archive(host.request(NEW), breaking)
    request["artifact"]["version"] = "2.0.0"
    # The process itself is 1.1.0's and says so.
    request["health"] = [{"type": "http", "url": "@BASE@/version", "status": 200, "expect": {"release": "@ID@"}}]
    request["activation"]["bake_seconds"] = 1
    assert host.send(request)["status"] == "confirmed"
    try:
        done = host.plano("rollback", "backend", "--to", OLD)
        assert done.returncode == 2
        for word in (
            f"backend {OLD} cannot serve: the database has schema 0003, this release was made for 0001",
            "Data is never rolled back with an artifact: restore a checkpoint, or go forward",
        ):
            assert word in done.stderr
        assert host.get("/version")["release"].startswith("2.0.0-")
    finally:
        # Forward again, to a release whose migration keeps the old one working.
        host.must_deploy(NEW)


def test_r04_rollback_of_rollback(host):
    host.must_deploy(NEW)
    for status in ("confirmed", "unchanged"):
        done = host.plano("rollback", "backend", "--to", OLD)
        assert done.returncode == 0
        assert f"plano: {status} {OLD}-" in done.stdout
        host.assert_sound(OLD)
    born = host.on("systemctl show --property=MainPID plano-backend@blue plano-backend@green")
    request = {**host.request(NEW), "state": "rolled_back", "to": OLD}
    found = host.send(request)
    assert (found["status"], found["changed"]) == ("unchanged", False)
    assert host.on("systemctl show --property=MainPID plano-backend@blue plano-backend@green") == born
    refused = host.send({**host.request(NEW), "allow_rejected": False})
    unchanged(host, refused, "was rejected by change", "-e release_allow_rejected=true")
