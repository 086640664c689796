"""The run: users all the time, one operation after the other, and what is to be said about it afterwards."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from load_environment import PORT, Environment, Operation, Switch
from traffic import Connection, Failure, Request, Traffic, now
from workload import Users

OLD, NEW = "1.0.0", "1.1.0"
BROKEN = ("1.2.0-broken", "1.3.0-crash")
UPLOAD_SECONDS = 30.0
PAUSE_SECONDS = 1.0
# Around a switch, in case it shows before it is recorded or after it is confirmed.
MARGIN_SECONDS = 1.0
UPLOAD = None  # stands in a plan for a request that takes UPLOAD_SECONDS, begun there

# apt runs it as an operator or unattended-upgrades would; what it must leave behind is checked at once.
PACKAGE = """
apt-get install --yes --quiet --allow-downgrades -o DPkg::Lock::Timeout=120 {package}
for try in $(seq 60); do
  # Between two workers there is none for a moment; the tests below fail when none comes.
  master=$(systemctl show --property MainPID --value haproxy)
  worker=$(pgrep --newest --parent $master) || true
  test /proc/$master/exe -ef /usr/sbin/haproxy -a /proc/$worker/exe -ef /usr/sbin/haproxy && break
  sleep 0.5
done
test /proc/$master/exe -ef /usr/sbin/haproxy
test /proc/$worker/exe -ef /usr/sbin/haproxy
test $(readlink /etc/haproxy/haproxy.cfg) = /opt/plano/haproxy/current/config/haproxy.cfg
rm --force /etc/haproxy/haproxy.cfg.dpkg-*
/opt/plano/bin/plano verify
echo as installed: $(dpkg-query --show haproxy)
"""
# Debian's own package with a higher version, another program file and another default configuration.
REPACK = """
folder=$(mktemp --directory)
trap 'rm --recursive $folder' EXIT
chmod 0755 $folder
cd $folder
# The archive's newest: an interrupted run may have left ours.
version=$(apt-cache madison haproxy | awk 'NR == 1 { print $3 }')
apt-get install --yes --quiet --allow-downgrades haproxy=$version
apt-get download --quiet haproxy=$version
dpkg-deb --raw-extract haproxy_*.deb tree
sed --in-place "s/^Version: .*/&+load/" tree/DEBIAN/control
echo '# changed' >>tree/etc/haproxy/haproxy.cfg
dpkg-deb --build -Znone tree /var/tmp/plano-load-haproxy.deb
"""
# An upgraded library: needrestart finds every process that still has the old one, and restarts its service.
LIBRARY = """
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes --quiet --reinstall -o DPkg::Lock::Timeout=120 {library}
needrestart -b -r l | grep --quiet 'NEEDRESTART-SVC: haproxy.service'
systemctl show --property InvocationID haproxy 'plano-backend@*' >/run/plano-load-before
needrestart -r a -m a
systemctl show --property InvocationID haproxy 'plano-backend@*' | cmp - /run/plano-load-before
master=$(systemctl show --property MainPID --value haproxy)
sleep 2
! grep --quiet '/libpcre2.*(deleted)' /proc/$master/maps /proc/$(pgrep --newest --parent $master)/maps
echo taken up
"""


@dataclass(frozen=True)
class Done:
    """An operation that was carried out."""

    name: str
    begin: float
    end: float
    fault: str


@dataclass(frozen=True)
class Upload:
    """A request that took its time."""

    run: str
    begin: float
    end: float
    failure: str


@dataclass
class Record:
    """All that happened."""

    traffic: Traffic
    users: Users
    steady_seconds: float
    operations: list[Done] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    switches: list[Switch] = field(default_factory=list)  # also those before the run

    @property
    def switches_of_run(self) -> list[Switch]:
        return [switch for switch in self.switches if switch.begin > self.traffic.begin]

    def serving(self, moment: float) -> Switch:
        """Return the switch that brought in what served at *moment*."""
        return [switch for switch in self.switches if switch.end <= moment][-1]


Plan = list[Operation | None]


def reload(env: Environment) -> Operation:
    return env.shell("HAProxy reload", "systemctl reload haproxy; sleep 1")


def packages(env: Environment, version: str) -> tuple[Operation, Operation]:
    """Return an upgrade and the way back; *version* is the one installed."""
    there = PACKAGE.format(package="/var/tmp/plano-load-haproxy.deb")
    back = PACKAGE.format(package=f"haproxy={version}")
    return (
        env.shell("HAProxy package upgrade", there, words=f"as installed: haproxy {version}+load"),
        env.shell("HAProxy package upgrade", back, words=f"as installed: haproxy {version}"),
    )


def short_plan(env: Environment, package: str) -> Plan:
    """The second upload is in a slot that is to be stopped, and lives through everything HAProxy can do meanwhile."""
    upgrade, downgrade = packages(env, package)
    deploy, rollback = env.deploy(NEW), env.rollback(OLD)
    return [
        *(UPLOAD, deploy, UPLOAD, rollback, reload(env), env.configure(OLD), upgrade, env.configure_back()),
        *(deploy, rollback, downgrade, deploy, rollback, env.broken(BROKEN[0])),
    ]


def long_plan(env: Environment, package: str) -> Plan:
    """20 deploys, 20 rollbacks, 5 broken releases, and everything HAProxy can do, with uploads through all of it."""
    upgrade, downgrade = packages(env, package)
    library = env.shell("library upgrade, needrestart", LIBRARY.format(library="libpcre2-8-0"), words="taken up")
    plan: Plan = []
    for number in range(20):
        plan += [
            *([UPLOAD] if number % 4 == 0 else []),
            *(env.deploy(NEW), UPLOAD if number % 4 == 0 else reload(env), env.rollback(OLD)),
            *([env.broken(BROKEN[number // 4 % 2])] if number % 4 == 3 else []),
            *([reload(env), env.configure(OLD), upgrade, env.configure_back()] if number in (0, 8) else []),
            *([downgrade] if number in (4, 12) else []),
            *([library] if number in (6, 16) else []),
        ]
    return plan


async def upload(env: Environment, users: Users, operated: asyncio.Event) -> Upload:
    """Send a file byte by byte, and its last byte not before the next operation is over."""
    begin, run, failure = now(), "", ""

    async def pace(left: int) -> None:
        await asyncio.sleep(max(0.0, begin + UPLOAD_SECONDS - now()) / left)
        if left == 1:
            await operated.wait()

    try:
        connection = await Connection.open(env.address, PORT)
        run = await users.bring_in(connection, pace)
        connection.close()
    except Failure as error:
        failure = str(error)
    return Upload(run, begin, now(), failure)


async def run(env: Environment, plan: Plan, long: bool, log: Path) -> Record:
    """Carry out the plan under load."""
    users = Users()
    steady = 60.0 if long else 10.0
    async with Traffic(env.address, PORT, users.kinds(long)) as traffic:
        record = Record(traffic, users, steady)
        await asyncio.sleep(steady)
        uploads = []
        operated = asyncio.Event()
        for operation in plan:
            if operation is UPLOAD:
                uploads.append(asyncio.create_task(upload(env, users, operated)))
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            begin = now()
            fault = await env.carry_out(operation, log)
            record.operations.append(Done(operation.name, begin, now(), fault))
            operated.set()
            operated = asyncio.Event()
            await asyncio.sleep(PAUSE_SECONDS)
        record.uploads = [await task for task in uploads]
        # A standby is stopped a second after a rollback; that is behind us then.
        await asyncio.sleep(5 + steady)
    record.switches = env.switches()
    return record


# -- the table -----------------------------------------------------------------------------------------------------------


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that *share* of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def within(requests: Iterable[Request], windows: list[tuple[float, float]]) -> list[Request]:
    """Return the requests that were under way in any of the windows."""
    return [
        request for request in requests if any(request.due <= end and request.done >= begin for begin, end in windows)
    ]


def steady(record: Record) -> list[Request]:
    traffic, length = record.traffic, record.steady_seconds
    windows = [(traffic.begin, traffic.begin + length), (traffic.end - length, traffic.end)]
    return [r for r in traffic.requests if any(begin <= r.due and r.done <= end for begin, end in windows)]


def table(record: Record) -> str:
    """Return what the users saw, by what was going on, as Markdown."""
    requests = record.traffic.requests
    calm = steady(record)
    usual = percentile((request.seconds for request in calm), 0.99)
    names = list(dict.fromkeys(done.name for done in record.operations))
    kinds = list(dict.fromkeys(switch.kind for switch in record.switches_of_run))
    rows = [("steady, nothing going on", 2, calm)]
    for name in names:
        windows = [(done.begin, done.end + MARGIN_SECONDS) for done in record.operations if done.name == name]
        rows.append((f"{name}, from begin to end", len(windows), within(requests, windows)))
        if name in kinds:
            windows = [
                (switch.begin - MARGIN_SECONDS, switch.end + MARGIN_SECONDS)
                for switch in record.switches_of_run
                if switch.kind == name
            ]
            rows.append((f"{name}, 1 s around the switch", len(windows), within(requests, windows)))
    rows.append(("the whole run", 1, requests))
    slow = Counter(r.kind for name, _times, found in rows if "switch" in name for r in found if r.seconds > 3 * usual)
    lines = [
        "| while | times | requests | failed | p50 ms | p99 ms | p99 to steady | slowest ms | slower than 3 x steady p99 |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *(_row(name, times, found, usual) for name, times, found in rows if found),
    ]
    if slow:
        said = ", ".join(f"{kind} ({count})" for kind, count in slow.most_common())
        lines += ["", f"Slower than 3 x the steady p99 around a switch: {said}."]
    ended = [upload.end - upload.begin for upload in record.uploads if not upload.failure]
    return "\n".join(
        [
            *lines,
            "",
            f"The users themselves were up to {percentile((r.late for r in requests), 0.99) * 1000:.0f} ms late (p99),"
            " which is the machine's doing.",
            f"{len(ended)} of {len(record.uploads)} uploads of {UPLOAD_SECONDS:.0f} s were answered;"
            f" {len(record.users.imports.acknowledged) + len(record.users.distributions.acknowledged)} writes acknowledged;"
            f" {len(requests) / (record.traffic.end - record.traffic.begin):.0f} requests a second"
            f" for {record.traffic.end - record.traffic.begin:.0f} s.",
        ]
    )


def _row(name: str, times: int, found: list[Request], usual: float) -> str:
    times_taken = [request.seconds for request in found]
    failed = sum(bool(request.failure) for request in found)
    p99 = percentile(times_taken, 0.99)
    slow = sum(taken > 3 * usual for taken in times_taken)
    cells = [
        len(found),
        failed,
        f"{percentile(times_taken, 0.5) * 1000:.1f}",
        f"{p99 * 1000:.1f}",
        f"{p99 / usual:.2f}",
    ]
    cells += [f"{max(times_taken) * 1000:.0f}", f"{slow} ({slow / len(found):.2%})"]
    return f"| {name} | {times} | {' | '.join(map(str, cells))} |"


# -- the evidence --------------------------------------------------------------------------------------------------------


def wrong_release(record: Record) -> list[str]:
    """Return the answers by another release than the one confirmed before they were asked for."""
    asked = [request for request in record.traffic.requests if request.seen and "/version" in request.kind]
    limits = [switch.begin for switch in record.switches_of_run[1:]] + [math.inf]
    return [
        f"{switch.release} was confirmed, {request.seen} answered {request.due - switch.end:.3f} s later ({request.kind})"
        for switch, limit in zip(record.switches_of_run, limits)
        for request in asked
        if request.due > switch.end and request.done < limit and request.seen != switch.release
    ]


def carried_over(record: Record, kind: str) -> list[int]:
    """Return for each switch how many kept connections had answers from the old release and then from the new one."""
    by_connection: dict[int, list[Request]] = {}
    for request in record.traffic.requests:
        if request.kind == kind and request.seen:
            by_connection.setdefault(request.connection, []).append(request)
    return [sum(_goes_over(asked, switch) for asked in by_connection.values()) for switch in record.switches_of_run]


def _goes_over(asked: list[Request], switch: Switch) -> bool:
    before = [request for request in asked if switch.begin - 5 < request.due < switch.begin]
    after = [request for request in asked if switch.end < request.due < switch.end + 5]
    return bool(before and after) and after[0].seen == switch.release != before[-1].seen


def answered_by(journal: str, run: str) -> str:
    """Return which slot answered the upload, and how, from HAProxy's log."""
    found = re.search(rf" backend_(\w+)/\w+ \S+ (\d+) .*file=load-{run} ", journal)
    return f"{found[1]} {found[2]}" if found else "not in HAProxy's log"
