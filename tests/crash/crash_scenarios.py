"""What is recorded and how a state is judged: each scenario runs the engine's own functions, before, during and after.

As a program it runs one scenario for the recorder: crash_scenarios.py NAME ROOT ARTIFACTS [FSYNC].
"""

from __future__ import annotations

import compileall
import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import io
import marshal
import os
import signal
import stat
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crash_trace import BEGIN, END

from ansible_collections.plano.delivery.plugins.module_utils.engine import bundle, change, fs, health, ledger
from ansible_collections.plano.delivery.plugins.module_utils.engine import release as naming
from ansible_collections.plano.delivery.plugins.module_utils.engine.change import Component, Order
from ansible_collections.plano.delivery.plugins.module_utils.engine.ledger import Ledger, LedgerError
from ansible_collections.plano.delivery.plugins.module_utils.engine.proxy import Proxy
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout, describe
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import WANTS, Done, Host

UNIT = "[Service]\nExecStart=@RELEASE@/run\nEnvironment=SLOT=@SLOT@\n"
SICK = "sick"  # a release of this version never becomes healthy


class QuietHost(Host):
    """A host without systemd: every command succeeds, every unit runs, health is in the name of the version."""

    def run(self, argv: Sequence[str], timeout: float = 0, env: Mapping[str, str] | None = None) -> Done:
        if "compileall" in argv:
            sys.pycache_prefix = (env or {}).get("PYTHONPYCACHEPREFIX")
            sound = compileall.compile_dir(argv[-1], quiet=1)
            sys.pycache_prefix = None
            return Done(argv, int(not sound), "", "")
        if argv[0] == "healthy":
            return Done(argv, int(argv[1].startswith(SICK)), "", "")
        if argv[:2] == ["systemctl", "show"]:
            return Done(argv, 0, "ActiveState=active\nNRestarts=0\nMainPID=7\n", "")
        return Done(argv, 0, "", "")


def _haproxy(self: Proxy, text: str) -> str:
    """Answer as the master of a HAProxy that has just read its map file."""
    if text == "show proc":
        return "7 worker 0"
    if "show map" in text:
        return f"0x1 {self.key} {self.recorded()}"
    return "# pxname,svname,scur\n" if "show stat" in text else ""


@dataclass
class Site:
    """The scratch host below *root*, and the artifacts beside it."""

    root: Path
    artifacts: Path
    component: Component = field(init=False)

    def __post_init__(self) -> None:
        self.units = self.root / "etc" / "systemd"
        self.map = self.root / "etc" / "haproxy.map"
        layout = Layout("app", self.root / "opt", self.root / "var", self.root / "run")
        self.component = Component(layout, QuietHost(self.units))

    @property
    def host(self) -> Host:
        return self.component.host

    def make(self) -> None:
        for name in ("opt", "var", "etc", "run"):
            (self.root / name).mkdir()
        self.units.mkdir()

    # -- requests ----------------------------------------------------------------------------------

    def artifact(self, version: str, form: str = "tar") -> dict[str, Any]:
        path = self.artifacts / f"app-{version}.{form}"
        return {
            "version": version,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "sources": [path.as_uri()],
            "format": form,
            "build": "none",
        }

    def request(self, version: str, activation: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
        return {
            "component": "app",
            "artifact": self.artifact(version),
            "files": [
                {"dest": "config/app.conf", "content": f"version {version}\n"},
                {"dest": "app.service", "content": UNIT},
            ],
            "links": {str(self.root / "etc" / "app.conf"): "config/app.conf"},
            "secrets": {"token": f"secret of {version}"},
            "activation": {**activation, "start_timeout": 0.01},
            "health": [
                {"type": "command", "argv": ["healthy", "@VERSION@"]},
                {"type": "http", "url": "@BASE@/version"},
            ],
            **changed,
        }


FILES_ONLY = {"strategy": "none"}
RESTART = {"strategy": "restart", "unit": "app.service", "unit_file": "app.service"}


def bluegreen(site: Site) -> dict[str, Any]:
    return {
        "strategy": "bluegreen",
        "unit": "app",
        "unit_file": "app.service",
        "ports": {"blue": 8101, "green": 8102},
        "soak_seconds": 0.001,
        "proxy": {"socket": "/nowhere", "map": str(site.map), "backend": "app", "url": "http://127.0.0.1:1"},
    }


# -- artifacts, the same bytes whenever they are made ----------------------------------------------------


def make_artifacts(folder: Path) -> None:
    for version in ("1", "2", "3", SICK):
        with tarfile.open(folder / f"app-{version}.tar", "w") as tar:
            for name, body in (("bin/app", f"#!/bin/sh\necho {version}\n"), ("share/notes", "x" * 5000)):
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(body), 0o755
                tar.addfile(member, io.BytesIO(body.encode()))
            link = tarfile.TarInfo("app")
            link.type, link.linkname = tarfile.SYMTYPE, "bin/app"
            tar.addfile(link)
        (folder / f"app-{version}.file").write_bytes(f"binary {version}\n".encode() * 100)


# -- what must hold in every state ------------------------------------------------------------------------


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def either(path: Path, *allowed: bytes | None) -> list[str]:
    found = read(path)
    return [] if found in allowed else [f"{path.name} holds {found!r:.80}, which is neither old nor new"]


def store_faults(site: Site) -> list[str]:
    store = site.component.store
    return [f"store {digest[:8]}: {fault}" for digest in store.digests() for fault in store.verify(digest)]


def release_faults(site: Site) -> list[str]:
    releases = site.component.releases
    return [f"release {name}: {fault}" for name in releases.names() for fault in releases.verify(name)]


def secrets_faults(site: Site) -> list[str]:
    folder = site.component.layout.secrets
    if not folder.is_dir():
        return []
    faults = [] if stat.S_IMODE(folder.stat().st_mode) == 0o700 else [f"secrets have mode {folder.stat().st_mode:o}"]
    for place in folder.iterdir():
        if not place.name.startswith("."):
            held = {path.name: path.read_text() for path in place.iterdir()}
            if naming.secrets_id("app", held) != place.name:
                faults.append(f"secrets {place.name} are incomplete: {sorted(held)}")
            faults += [
                f"{path} has mode {path.stat().st_mode:o}" for path in place.iterdir() if path.stat().st_mode & 0o277
            ]
    return faults


@functools.cache
def _secrets_id(component: str, secrets: tuple[tuple[str, str], ...]) -> str:
    return str(SCRYPT(component, dict(secrets)))


def named(site: Site) -> str | None:
    link = site.component.layout.current
    return os.path.basename(os.readlink(link)) if link.is_symlink() else None


def unit_faults(site: Site, allowed: Sequence[dict[str, Any]]) -> list[str]:
    faults = []
    for path in site.units.glob("*.service"):
        release = next((each for each in allowed if f"# Release {each['id']}," in path.read_text()), None)
        slot = path.name.split("@")[1].split(".")[0] if "@" in path.name else None
        whole = None
        if release is not None:
            acting = site.component.strategy(release)
            whole = (
                acting.unit_text(release, slot) if slot else acting.text(release, "app.service", acting.words(release))
            )
        if path.read_text() != whole:
            faults.append(f"unit file {path.name} is neither old nor new: {path.read_text()!r:.80}")
    return faults


def component_faults(site: Site, allowed: Sequence[dict[str, Any] | None]) -> list[str]:
    """I1 and I3 of the invariants: a true ledger, and a link to a complete, verified release, old or new."""
    component = site.component
    faults = store_faults(site) + release_faults(site) + secrets_faults(site)
    link = named(site)
    known = {each["id"] for each in allowed if each}
    try:
        past = component.ledger().history
    except LedgerError as exc:
        return [*faults, str(exc)]
    if link not in {each["id"] if each else None for each in allowed}:
        faults.append(f"current names {link}, neither old nor new")
    elif link not in {past.current, (past.pending or {}).get("release", past.current)}:
        faults.append(f"current names {link}, the ledger says {past.current}, pending {past.pending}")
    for name in {link, past.current} - {None}:
        if not component.releases.has(name):
            faults.append(f"release {name} is current, but not on the disk")
            continue
        described = component.releases.description(name)
        if described["artifact"] and not component.store.has(described["artifact"]["sha256"]):
            faults.append(f"the artifact of {name} is not in the store")
        if described["secrets"] and not (component.layout.secrets / described["secrets"]).is_dir():
            faults.append(f"the secrets of {name} are gone")
    if known:
        faults += unit_faults(site, [each for each in allowed if each])
    if site.map.exists():
        faults += either(site.map, b"active blue\n", b"active green\n")
    return faults


# -- scenarios ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """An operation, what it starts from, and how any state is judged that a crash during it may leave.

    *recover* is what the host does by itself; then the operation is run again and must come to its end.
    """

    name: str
    before: Callable[[Site], object]
    operate: Callable[[Site], object]
    faults: Callable[[Site], list[str]]
    done: Callable[[Site], bool]
    recover: Callable[[Site, bool], object] = lambda site, power: None


def primitive(
    name: str,
    before: Callable[[Path], object],
    operate: Callable[[Path], object],
    faults: Callable[[Path], list[str]],
    done: Callable[[Path], bool],
) -> Scenario:
    """A scenario of one function on one path."""

    def at(act: Callable[[Path], Any]) -> Callable[[Site], Any]:
        return lambda site: act(site.root / "var" / "thing")

    return Scenario(name, at(before), at(operate), at(faults), at(done))


def nothing(_site: object) -> None:
    pass


def _link_faults(path: Path) -> list[str]:
    return [] if os.readlink(path) in ("old", "new") else [f"link to {os.readlink(path)}"]


def _private(path: Path) -> None:
    """As root may have it; what is made must have the mode that was asked for nevertheless."""
    before = os.umask(0o077)
    fs.make_dir(path / "private", 0o700)
    fs.make_dir(path / "public", 0o755)
    os.umask(before)


def _mode_faults(path: Path) -> list[str]:
    wanted = {path: 0o755, path / "private": 0o700, path / "public": 0o755}
    return [
        f"{each.name} has mode {each.stat().st_mode:o}"
        for each, mode in wanted.items()
        if each.exists() and stat.S_IMODE(each.stat().st_mode) != mode
    ]


def _tree_of(path: Path) -> object:
    for name in ("a", "d/b"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)
    return None


def _whole_tree(path: Path) -> list[str]:
    if path.exists() and set(fs.tree_manifest(path)) != {"a", "d/b"}:
        return [f"half a tree: {sorted(fs.tree_manifest(path))}"]
    return []


PRIMITIVES = [
    primitive(
        "write_atomic, replaces",
        lambda path: path.write_bytes(b"old"),
        lambda path: fs.write_atomic(path, b"new", 0o640),
        lambda path: either(path, b"old", b"new"),
        lambda path: path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o640,
    ),
    primitive(
        "write_atomic, first",
        nothing,
        lambda path: fs.write_atomic(path, b"new"),
        lambda path: either(path, None, b"new"),
        lambda path: read(path) == b"new",
    ),
    primitive(
        "symlink_atomic",
        lambda path: path.symlink_to("old"),
        lambda path: fs.symlink_atomic("new", path),
        _link_faults,
        lambda path: os.readlink(path) == "new",
    ),
    primitive(
        "unlink_durable",
        lambda path: path.write_bytes(b"old"),
        fs.unlink_durable,
        lambda path: either(path, None, b"old"),
        lambda path: not path.exists(),
    ),
    primitive(
        "make_dir",
        nothing,
        _private,
        _mode_faults,
        lambda path: (path / "private").is_dir() and (path / "public").is_dir(),
    ),
    primitive("remove_tree", _tree_of, fs.remove_tree, _whole_tree, lambda path: not path.exists()),
]


def storing(name: str, form: str, before: Callable[[Site], object] = nothing) -> Scenario:
    return Scenario(
        f"Store.add, {name}",
        before,
        lambda site: stored(site, form),
        store_faults,
        lambda site: site.component.store.verify(site.artifact("1", form)["sha256"]) == [],
    )


def stored(site: Site, form: str = "tar") -> None:
    site.component.store.add(site.artifact("1", form))


def staged(site: Site) -> None:
    request = site.request("1", FILES_ONLY)
    change.stage(site.component, request, describe(request))


def _remnant(site: Site) -> None:
    folder = site.component.store.path(site.artifact("1")["sha256"]) / "venv" / "__pycache__"
    folder.mkdir(parents=True)
    (folder / "x.pyc").write_bytes(b"x")


def _store_but_remnant(site: Site) -> list[str]:
    """The remnant that was there before is the old state."""
    return [fault for fault in store_faults(site) if "is not in the store" not in fault]


def released(site: Site) -> dict[str, Any]:
    request = site.request("1", FILES_ONLY)
    release: dict[str, Any] = describe(request)
    site.component.releases.add(release, {item["dest"]: item["content"] for item in request["files"]})
    return release


def _damaged_release(site: Site) -> None:
    release = released(site)
    (site.component.releases.path(release["id"]) / "config" / "app.conf").write_text("tampered")


def _release_but_damage(site: Site) -> list[str]:
    return [fault for fault in release_faults(site) if not fault.endswith("config/app.conf was changed")]


def _first(site: Site, activation: Mapping[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = describe(site.request("1", FILES_ONLY if activation is None else activation))
    return found


def with_secrets(site: Site) -> None:
    site.component.releases.add_secrets(_first(site), site.request("1", FILES_ONLY)["secrets"])


VENV = ("a.py", "pkg/__init__.py", "pkg/b.py")


def _with_venv(site: Site) -> None:
    path = site.component.store.path(site.artifact("1")["sha256"])
    for name in VENV:
        module = path / "venv" / "lib" / name
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text("".join(f"def f{number}():\n    return {number}\n" for number in range(20)))
        os.utime(module, (1, 1))
    (path / "venv" / "bin").mkdir()
    files = fs.tree_manifest(path)
    (path / "entry.json").write_bytes(ledger.encode({"sha256": path.name, "version": "1", "files": files}))


def _compiled(site: Site) -> list[Path]:
    return sorted((site.component.store.path(site.artifact("1")["sha256"]) / "venv" / "lib").rglob("*.pyc"))


def _byte_code_faults(site: Site) -> list[str]:
    """Python reads whatever stands in a cache whose header fits; half of it would keep the service from starting."""
    faults = store_faults(site)
    for path in _compiled(site):
        data = path.read_bytes()
        if data[:4] != importlib.util.MAGIC_NUMBER or len(data) < 16:
            continue  # Python compiles anew
        try:
            marshal.loads(data[16:])
        except (EOFError, ValueError, TypeError) as exc:
            faults.append(f"{path.name} would break the service: {exc}")
    return faults


def compile_python(site: Site) -> None:
    site.component.store.compile_python(site.artifact("1")["sha256"])


STORE = [
    storing("a tar archive", "tar"),
    storing("a single file", "file"),
    Scenario(
        "Store.add, over a remnant",
        _remnant,
        stored,
        _store_but_remnant,
        lambda site: site.component.store.verify(site.artifact("1")["sha256"]) == [],
    ),
    Scenario(
        "Store.compile_python",
        _with_venv,
        compile_python,
        _byte_code_faults,
        lambda site: len(_compiled(site)) == len(VENV),
    ),
    Scenario(
        "Store.remove",
        stored,
        lambda site: site.component.store.remove(site.artifact("1")["sha256"]),
        store_faults,
        lambda site: site.component.store.digests() == [],
    ),
    Scenario(
        "Releases.add, first",
        nothing,
        released,
        release_faults,
        lambda site: site.component.releases.verify(_first(site)["id"]) == [],
    ),
    Scenario(
        "Releases.add, over a damaged one",
        _damaged_release,
        released,
        _release_but_damage,
        lambda site: site.component.releases.verify(_first(site)["id"]) == [],
    ),
    Scenario(
        "Releases.add_secrets",
        nothing,
        with_secrets,
        secrets_faults,
        lambda site: (site.component.layout.secrets / _first(site)["secrets"]).is_dir(),
    ),
    Scenario(
        "stage",
        nothing,
        staged,
        lambda site: store_faults(site) + release_faults(site) + secrets_faults(site),
        lambda site: (
            len(site.component.store.digests()) == len(site.component.releases.names()) == 1
            and (site.component.layout.secrets / _first(site)["secrets"]).is_dir()
        ),
    ),
    Scenario(
        "Releases.remove",
        released,
        lambda site: site.component.releases.remove(_first(site)["id"]),
        release_faults,
        lambda site: site.component.releases.names() == [],
    ),
]


# -- the ledger, the proxy and systemd -------------------------------------------------------------------


def entries(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Ledger(site.component.layout.ledger).entries
    return found


def append(site: Site, release: str, **detail: Any) -> None:
    Ledger(site.component.layout.ledger).append("staged", release, **detail)


def _ledger_faults(site: Site) -> list[str]:
    try:
        found = [entry["release"] for entry in entries(site)]
    except LedgerError as exc:
        return [str(exc)]
    before = [name for name in found if name != "new"]
    return [] if before in ([], ["old"], ["older", "old"]) and found[: len(before)] == before else [f"entries {found}"]


def _kept(site: Site, count: int) -> list[str]:
    faults = _ledger_faults(site)
    return faults or ([] if len(entries(site)) >= count else [f"only {len(entries(site))} of {count} entries are left"])


def _residue(site: Site) -> None:
    append(site, "older")
    append(site, "old")
    with site.component.layout.ledger.open("ab") as stream:
        stream.write(b'{"a":"' + b"x" * 900)


def appending(name: str, before: Callable[[Site], object], count: int) -> Scenario:
    return Scenario(
        f"Ledger.append, {name}",
        before,
        lambda site: append(site, "new"),
        lambda site: _kept(site, count),
        lambda site: entries(site)[-1]["release"] == "new",
    )


def _two(site: Site) -> None:
    append(site, "older")
    append(site, "old")


def proxy(site: Site) -> Proxy:
    return Proxy("/nowhere", site.map, "active", "app")


EDGES = [
    appending("first", nothing, 0),
    appending("later", _two, 2),
    appending("behind a torn entry", _residue, 2),
    Scenario(
        "Proxy.record",
        lambda site: proxy(site).record("blue"),
        lambda site: proxy(site).record("green"),
        lambda site: either(site.map, b"active blue\n", b"active green\n"),
        lambda site: proxy(site).recorded() == "green",
    ),
    Scenario(
        "Host.write_unit",
        lambda site: site.host.write_unit("app.service", "old"),
        lambda site: site.host.write_unit("app.service", "new"),
        lambda site: either(site.units / "app.service", b"old", b"new"),
        lambda site: site.host.unit_text("app.service") == "new",
    ),
    Scenario(
        "Host.enable",
        nothing,
        lambda site: site.host.enable("app.service"),
        lambda site: [],
        lambda site: (site.units / WANTS / "app.service").is_symlink(),
    ),
    Scenario(
        "Host.disable",
        lambda site: site.host.enable("app.service"),
        lambda site: site.host.disable("app.service"),
        lambda site: [],
        lambda site: not (site.units / WANTS / "app.service").is_symlink(),
    ),
    Scenario(
        "bundle.install",
        nothing,
        lambda site: bundle.install(site.host, site.root / "opt", site.units),
        lambda site: (
            either(site.root / "opt/bin/plano", None, bundle.zipapp())
            + either(site.units / bundle.RECOVER_UNIT, None, bundle.RECOVER.encode())
        ),
        lambda site: (
            (site.units / WANTS / bundle.RECOVER_UNIT).is_symlink()
            and read(site.root / "opt/bin/plano") == bundle.zipapp()
            and (site.root / "opt/bin/plano").stat().st_mode & 0o777 == 0o755
        ),
    ),
]


# -- whole changes ----------------------------------------------------------------------------------------

Activation = Callable[[Site], Mapping[str, Any]]


def deploy(site: Site, version: str, activation: Mapping[str, Any], keep: int = 5) -> dict[str, Any]:
    request = site.request(version, activation)
    release = describe(request)
    change.stage(site.component, request, release)
    order = Order.new(release["id"], {"id": f"to-{version}"}, keep=keep)
    outcome: dict[str, Any] = change.carry_out(site.component, order)
    return outcome


def rollback(site: Site, version: str) -> dict[str, Any]:
    target = change.target_of_rollback(site.component, version)
    order = Order.new(target, {"id": "back"}, rollback=True)
    outcome: dict[str, Any] = change.carry_out(site.component, order)
    return outcome


def theirs(site: Site) -> None:
    (site.root / "etc" / "app.conf").write_bytes(b"theirs")


def link(site: Site) -> None:
    """Put a link of the release where a file of somebody else stands."""
    acting = site.component.strategy(_first(site))
    acting.link(site.root / "etc" / "app.conf", site.component.layout.current / "config/app.conf")


def _theirs_faults(site: Site) -> list[str]:
    place = site.root / "etc" / "app.conf"
    kept = [read(each) for each in (place, place.with_name("app.conf.plano-saved")) if not each.is_symlink()]
    return [] if b"theirs" in kept else ["the file that stood where a link goes is lost"]


def changing(
    name: str,
    activation: Activation,
    had: Sequence[str],
    operate: Callable[[Site, Mapping[str, Any]], object],
    old: str | None,
    new: str | None,
    ends: str = ledger.CONFIRMED,
    spoil: Callable[[Site], object] = nothing,
) -> Scenario:
    """A scenario of a whole change: *had* was deployed before, *old* serves, then *new* does."""

    def described(site: Site, version: str | None) -> dict[str, Any] | None:
        return describe(site.request(version, activation(site))) if version else None

    def before(site: Site) -> None:
        for version in had:
            deploy(site, version, activation(site))
        spoil(site)

    def faults(site: Site) -> list[str]:
        versions = {old, new, SICK} if ends == ledger.REVERTED else {old, new}
        return component_faults(site, [described(site, version) for version in versions])

    def done(site: Site) -> bool:
        wanted = described(site, new)
        past = site.component.ledger().history
        whole = wanted is None or site.component.drift(wanted) == []
        return named(site) == (wanted["id"] if wanted else None) == past.current and whole and not past.pending

    def recover(site: Site, power: bool) -> None:
        change.recover(site.component, at_boot=power)
        current = site.component.ledger().history.current
        drift = site.component.drift(site.component.releases.description(current)) if current else []
        if drift or named(site) != current:
            raise AssertionError(f"after recovery current names {named(site)}, the ledger {current}: {drift}")

    return Scenario(name, before, lambda site: operate(site, activation(site)), faults, done, recover)


def _flip(site: Site) -> None:
    path = site.component.layout.ledger
    path.write_bytes(path.read_bytes().replace(b"confirmed", b"confirmeD", 1))


def _shorten(site: Site) -> None:
    """Only the first entry is left, the head names the last."""
    path = site.component.layout.ledger
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])


def rebuilding(name: str, spoil: Callable[[Site], object]) -> Scenario:
    whole = changing(
        name, lambda site: FILES_ONLY, ["1"], lambda site, _: change.rebuild(site.component), "1", "1", spoil=spoil
    )

    def faults(site: Site) -> list[str]:
        """The old state is a ledger that refuses; the new one is true."""
        found = whole.faults(site)
        return [fault for fault in found if "is damaged" not in fault]

    def recover(site: Site, power: bool) -> None:
        with contextlib.suppress(LedgerError):  # it refused before as well; an operator rebuilds
            change.recover(site.component, at_boot=power)

    return dataclasses.replace(whole, faults=faults, recover=recover)


def pruning() -> Scenario:
    def prune(site: Site, _wanted: object) -> None:
        change.prune(site.component, site.component.ledger(), 1, {"id": "prune"})

    whole = changing("prune", lambda site: FILES_ONLY, ["1", "2", "3"], prune, "3", "3")

    def done(site: Site) -> bool:
        return whole.done(site) and len(site.component.releases.names()) == len(site.component.store.digests()) == 2

    return dataclasses.replace(whole, done=done)


CHANGES = [
    Scenario(
        "Strategy.link, over a file",
        theirs,
        link,
        _theirs_faults,
        lambda site: (site.root / "etc" / "app.conf").is_symlink(),
    ),
    changing(
        "first deploy, files only", lambda site: FILES_ONLY, [], lambda site, how: deploy(site, "1", how), None, "1"
    ),
    changing("deploy, files only", lambda site: FILES_ONLY, ["1"], lambda site, how: deploy(site, "2", how), "1", "2"),
    changing("first deploy, restart", lambda site: RESTART, [], lambda site, how: deploy(site, "1", how), None, "1"),
    changing("deploy, restart", lambda site: RESTART, ["1"], lambda site, how: deploy(site, "2", how), "1", "2"),
    changing("deploy, blue-green", bluegreen, ["1"], lambda site, how: deploy(site, "2", how), "1", "2"),
    changing("rollback, restart", lambda site: RESTART, ["1", "2"], lambda site, how: rollback(site, "1"), "2", "1"),
    changing("rollback, blue-green", bluegreen, ["1", "2"], lambda site, how: rollback(site, "1"), "2", "1"),
    changing(
        "reverted deploy, restart",
        lambda site: RESTART,
        ["1"],
        lambda site, how: deploy(site, SICK, how),
        "1",
        "1",
        ledger.REVERTED,
    ),
    changing(
        "reverted first deploy, restart",
        lambda site: RESTART,
        [],
        lambda site, how: deploy(site, SICK, how),
        None,
        None,
        ledger.REVERTED,
    ),
    changing(
        "deploy that prunes",
        lambda site: RESTART,
        ["1", "2"],
        lambda site, how: deploy(site, "3", how, keep=1),
        "2",
        "3",
    ),
    pruning(),
    rebuilding("recover --rebuild, a changed byte", _flip),
    rebuilding("recover --rebuild, a cut ledger", _shorten),
]

SCENARIOS = {each.name: each for each in [*PRIMITIVES, *STORE, *EDGES, *CHANGES]}


# -- deliberately wrong: the check must see these ------------------------------------------------------------


def _in_place(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(b"new")
        stream.flush()
        os.fsync(stream.fileno())


def _unsynced_file(path: Path) -> None:
    temp = path.with_name(".temp")
    temp.write_bytes(b"new")
    os.replace(temp, path)
    fs.fsync_dir(path.parent)


def _unsynced_directory(path: Path) -> None:
    temp = path.with_name(".temp")
    fs.write_new(temp, b"new", 0o644)
    os.replace(temp, path)


def _removed_too_early(site: Site) -> None:
    """The old release goes before the link to the new one is durable."""
    request = site.request("2", FILES_ONLY)
    release = describe(request)
    change.stage(site.component, request, release)
    current = site.component.layout.current
    temp = current.with_name(".temp")
    temp.symlink_to(f"releases/{release['id']}")
    os.replace(temp, current)
    for name in site.component.releases.names():
        if name != release["id"]:
            site.component.releases.remove(name)


def wrong(name: str, operate: Callable[[Path], object]) -> Scenario:
    replaces = PRIMITIVES[0]
    return Scenario(
        name, replaces.before, lambda site: operate(site.root / "var" / "thing"), replaces.faults, replaces.done
    )


def _current_faults(site: Site) -> list[str]:
    name = named(site)
    return site.component.releases.verify(name) if name else ["current is gone"]


WRONG = {
    each.name: each
    for each in (
        wrong("written in place", _in_place),
        wrong("file not synced before its rename", _unsynced_file),
        wrong("directory not synced after the rename", _unsynced_directory),
        Scenario(
            "old release removed before the link is durable",
            lambda site: deploy(site, "1", FILES_ONLY),
            _removed_too_early,
            _current_faults,
            lambda site: True,
        ),
    )
}


def play(name: str, site: Site, kill_at: int | None) -> None:
    """Run one scenario, with marks for the trace around the operation.

    With *kill_at*, a process that runs it dies in the place of so manieth fsync, and then it is run again.
    """
    scenario = (SCENARIOS | WRONG)[name]
    site.make()
    scenario.before(site)
    (site.root / BEGIN).exists()
    if kill_at is not None and os.fork() == 0:
        _die_at_fsync(kill_at)
        scenario.operate(site)
        os._exit(SURVIVED)
    if kill_at is not None and os.waitstatus_to_exitcode(os.wait()[1]) == SURVIVED:
        raise SystemExit(f"{name} asks for no {kill_at + 1} fsyncs")
    scenario.operate(site)
    (site.root / END).exists()


SURVIVED = 7


def _die_at_fsync(count: int) -> None:
    real, left = os.fsync, iter(range(count))

    def fsync(descriptor: int) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)

    os.fsync = fsync


# A proxy and a service that answer without being there, the same names for secrets without computing them a thousand times, and no
# patience: none of it touches the disk.
Proxy.command = _haproxy
health.check_http = lambda _check: None
SCRYPT = naming.secrets_id
naming.secrets_id = lambda component, secrets: _secrets_id(component, tuple(sorted(secrets.items())))
health.POLL_SECONDS = 0.001

if __name__ == "__main__":
    os.umask(0o022)
    play(sys.argv[1], Site(Path(sys.argv[2]), Path(sys.argv[3])), int(sys.argv[4]) if sys.argv[4:] else None)
