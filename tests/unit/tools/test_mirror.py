"""Debian's packages become upstream's archives: real packages made here, the same bytes every time, nothing built twice."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path

import mirror
import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import archive

VERSIONS = {"bookworm": "2.42.0+ds-5+deb12u1", "trixie": "2.53.3+ds1-2"}
OLD_LIBC, NEW_LIBC = b"\x7fELF\0GLIBC_2.2.5\0GLIBC_2.34\0", b"\x7fELF\0GLIBC_2.34\0GLIBC_2.38\0"


def make_deb(folder, package, version, files):
    """A real package: name of a file to content; what lies in a bin directory is a program."""
    tree = Path(tempfile.mkdtemp(dir=folder.parent))
    tree.chmod(0o755)
    for name, content in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if "bin/" in name else 0o644)
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        f"Package: {package}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x <x@example>\nDescription: x\n"
    )
    name = f"{package}_{version.replace(':', '%3a')}_amd64.deb"
    argv = ["dpkg-deb", "--build", "--root-owner-group", "-Znone", str(tree), str(folder / name)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def make_suite(folder, suite, version):
    """The packages of every component as Debian splits them in *suite*."""
    folder.mkdir(parents=True)
    for component in mirror.COMPONENTS:
        files = {}
        for source in component.places():
            name = f"{source}part.txt" if source.endswith("/") else source
            files[name] = OLD_LIBC + suite.encode() if "bin/" in name else f"{name} of {suite}".encode()
        files["usr/share/doc/other"] = b"not wanted"
        for package in mirror.packages_of(suite)[component.name][1:]:
            program = f"usr/bin/{package}"
            make_deb(folder, package, version, {program: files.pop(program)})
        make_deb(folder, component.package, version, files)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Fetched packages of both suites and the jar, so that nothing is fetched."""
    folders = {suite: tmp_path / "debs" / suite for suite in mirror.SUITES}
    for suite, folder in folders.items():
        make_suite(folder, suite, VERSIONS[suite])
    monkeypatch.setattr(mirror, "MIRROR", tmp_path / "mirror")
    monkeypatch.setattr(mirror, "fetch_debs", lambda suite, _architecture: folders[suite])
    monkeypatch.setattr(mirror, "JARS", {"0.16.0": hashlib.sha256(b"a jar").hexdigest()})
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "cloudwatch_exporter-0.16.0-jar-with-dependencies.jar").write_bytes(b"a jar")
    return folders


def index(folder):
    return json.loads((folder / "index.json").read_text())


def test_both_suites_give_a_version_of_each_component_in_upstreams_layout(prepared, tmp_path):
    assert mirror.build(tmp_path / "out", "amd64") is True
    for name in ("prometheus", "alertmanager", "node_exporter", "postgres_exporter", "blackbox_exporter"):
        assert [entry["version"] for entry in index(tmp_path / "out" / name)] == ["2.42.0", "2.53.3"]
    top = "prometheus-2.53.3.linux-amd64"
    with tarfile.open(tmp_path / "out" / "prometheus" / f"{top}.tar.gz") as found:
        members = {member.name: member for member in found}
        assert found.extractfile(f"{top}/promtool").read() == OLD_LIBC + b"trixie"
    assert sorted(members) == [
        top,
        f"{top}/LICENSE",
        f"{top}/NOTICE",
        f"{top}/console_libraries",
        f"{top}/console_libraries/part.txt",
        f"{top}/consoles",
        f"{top}/consoles/part.txt",
        f"{top}/prometheus",
        f"{top}/prometheus.yml",
        f"{top}/promtool",
    ]
    assert {(one.uid, one.gid, one.uname, one.mtime) for one in members.values()} == {(0, 0, "", 0)}
    programs = {name for name, one in members.items() if one.isreg() and one.mode == 0o755}
    assert programs == {f"{top}/prometheus", f"{top}/promtool"}
    assert {one.mode for name, one in members.items() if one.isreg() and name not in programs} == {0o644}


def test_the_engine_accepts_every_archive_and_unpacks_the_programs_to_its_top(prepared, tmp_path):
    mirror.build(tmp_path / "out", "amd64")
    archives = sorted((tmp_path / "out").glob("*/*.tar.gz"))
    assert len(archives) == 2 * len(mirror.COMPONENTS)
    for number, path in enumerate(archives):
        assert archive.inspect(path, strip=1).members >= 3
        place = tmp_path / f"unpacked-{number}"
        place.mkdir()
        archive.extract(path, place, strip=1)
        program = place / path.parent.name
        assert program.read_bytes().startswith(OLD_LIBC)
        assert stat.S_IMODE(program.stat().st_mode) == 0o755


def test_the_index_tells_digest_and_how_to_unpack(prepared, tmp_path):
    mirror.build(tmp_path / "out", "amd64")
    for entry in index(tmp_path / "out" / "alertmanager"):
        content = (tmp_path / "out" / "alertmanager" / entry["file"]).read_bytes()
        assert (entry["sha256"], entry["strip"]) == (hashlib.sha256(content).hexdigest(), 1)
        assert "format" not in entry
    (jar,) = index(tmp_path / "out" / "cloudwatch_exporter")
    assert (jar["version"], jar["format"], jar["file"]) == (
        "0.16.0",
        "file",
        "cloudwatch_exporter-0.16.0-jar-with-dependencies.jar",
    )
    assert "strip" not in jar
    assert (tmp_path / "out" / "cloudwatch_exporter" / jar["file"]).read_bytes() == b"a jar"


def test_the_same_packages_give_the_same_bytes(prepared, tmp_path):
    mirror.build(tmp_path / "one", "amd64")
    mirror.build(tmp_path / "two", "amd64")
    archives = sorted((tmp_path / "one").glob("*/*.tar.gz"))
    assert len(archives) == 2 * len(mirror.COMPONENTS)
    for path in archives:
        assert path.read_bytes()[4:8] == b"\0\0\0\0"  # the time in gzip's header
        assert path.read_bytes() == (tmp_path / "two" / path.parent.name / path.name).read_bytes()


def test_nothing_is_built_twice_and_what_is_damaged_or_lost_is_built_again(prepared, tmp_path):
    out = tmp_path / "out"
    mirror.build(out, "amd64")
    files = sorted(path for path in out.rglob("*") if path.is_file())
    contents, times = [path.read_bytes() for path in files], [path.stat().st_mtime_ns for path in files]
    assert mirror.build(out, "amd64") is False
    assert [path.stat().st_mtime_ns for path in files] == times

    os.truncate(out / "prometheus" / "prometheus-2.42.0.linux-amd64.tar.gz", 100)
    (out / "cloudwatch_exporter" / "cloudwatch_exporter-0.16.0-jar-with-dependencies.jar").write_bytes(b"another jar")
    (out / "alertmanager" / "index.json").write_text("[")
    assert mirror.build(out, "amd64") is True
    assert [path.read_bytes() for path in files] == contents
    assert sorted(path for path in out.rglob("*") if path.is_file()) == files


def test_a_new_package_is_built_and_the_old_version_leaves_the_index(prepared, tmp_path):
    mirror.build(tmp_path / "out", "amd64")
    (old,) = prepared["bookworm"].glob("prometheus-node-exporter_*.deb")
    old.unlink()
    (component,) = [one for one in mirror.COMPONENTS if one.name == "node_exporter"]
    make_deb(prepared["bookworm"], component.package, "2.43.0-1", dict.fromkeys(component.places(), b"newer"))
    assert mirror.build(tmp_path / "out", "amd64") is True
    assert [entry["version"] for entry in index(tmp_path / "out" / "node_exporter")] == ["2.43.0", "2.53.3"]


def test_a_security_update_of_the_same_version_is_built(prepared, tmp_path):
    mirror.build(tmp_path / "out", "amd64")
    path = tmp_path / "out" / "blackbox_exporter" / "blackbox_exporter-2.42.0.linux-amd64.tar.gz"
    vulnerable = path.read_bytes()
    (old,) = prepared["bookworm"].glob("prometheus-blackbox-exporter_*.deb")
    old.unlink()
    (component,) = [one for one in mirror.COMPONENTS if one.name == "blackbox_exporter"]
    files = dict.fromkeys(component.places(), b"mended")
    make_deb(prepared["bookworm"], component.package, "2.42.0+ds-5+deb12u2", files)
    assert mirror.build(tmp_path / "out", "amd64") is True
    assert path.read_bytes() != vulnerable
    assert index(path.parent)[0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_damaged_jar_is_not_passed_on(prepared, tmp_path):
    kept = tmp_path / "mirror" / "cloudwatch_exporter-0.16.0-jar-with-dependencies.jar"
    kept.write_bytes(b"half a jar")
    with pytest.raises(
        mirror.MirrorError, match=r"0\.16\.0-jar-with-dependencies\.jar is damaged; delete it and run make"
    ):
        mirror.build(tmp_path / "out", "amd64")
    assert list((tmp_path / "out" / "cloudwatch_exporter").iterdir()) == []


def test_one_version_in_both_suites_is_one_artifact_and_said_aloud(tmp_path, monkeypatch, capsys):
    folders = {suite: tmp_path / suite for suite in mirror.SUITES}
    for suite, folder in folders.items():
        make_suite(folder, suite, "1.9.0-1")
    (component,) = [one for one in mirror.COMPONENTS if one.name == "node_exporter"]
    assert mirror.distinct(component, folders) == ["bookworm"]
    assert "node_exporter is 1.9.0 in bookworm and in trixie: there is no second version" in capsys.readouterr().out


def test_a_program_that_debian_moved_elsewhere_is_named(prepared, tmp_path):
    (deb,) = prepared["trixie"].glob("prometheus-alertmanager_*.deb")
    deb.unlink()
    make_deb(prepared["trixie"], "prometheus-alertmanager", "2.53.3-1", {"usr/bin/prometheus-alertmanager": b"x"})
    wrong = (
        r"prometheus-alertmanager_2\.53\.3-1_amd64\.deb carry no usr/bin/amtool, .*: Debian moved it; mend COMPONENTS"
    )
    with pytest.raises(mirror.MirrorError, match=wrong):
        mirror.build(tmp_path / "out", "amd64")
    assert not (tmp_path / "out" / "alertmanager" / "alertmanager-2.53.3.linux-amd64.tar.gz").exists()


def test_programs_of_two_versions_are_no_release(prepared, tmp_path):
    (deb,) = prepared["trixie"].glob("promtool_*.deb")
    deb.rename(deb.with_name("promtool_2.53.4+ds1-1_amd64.deb"))
    with pytest.raises(
        mirror.MirrorError, match=r"prometheus 2\.53\.3\+ds1-2 and promtool 2\.53\.4\+ds1-1: programs of"
    ):
        mirror.build(tmp_path / "out", "amd64")


def test_a_damaged_package_is_refused_and_a_missing_one_named(prepared, tmp_path):
    (deb,) = prepared["bookworm"].glob("prometheus_*.deb")
    os.truncate(deb, deb.stat().st_size // 2)
    with pytest.raises(mirror.MirrorError, match=r"prometheus_2\.42\.0.* is damaged; run tools/mirror\.py --refresh"):
        mirror.build(tmp_path / "out", "amd64")
    deb.write_bytes(b"")
    with pytest.raises(mirror.MirrorError, match=r"prometheus_2\.42\.0.* is damaged; run tools/mirror\.py --refresh"):
        mirror.build(tmp_path / "out", "amd64")
    deb.unlink()
    with pytest.raises(mirror.MirrorError, match=r"bookworm lacks the package 'prometheus'; run .* --refresh"):
        mirror.build(tmp_path / "out", "amd64")


@pytest.mark.parametrize(
    "version, upstream",
    [
        ("2.42.0+ds-5+deb12u1", "2.42.0"),
        ("2.53.3+ds1-2", "2.53.3"),
        ("1:0.28.1-1+b4", "0.28.1"),
        ("0.11.1-3+b5", "0.11.1"),
        ("1.9.0~rc1-1", "1.9.0"),
    ],
)
def test_the_version_is_upstreams(version, upstream):
    assert mirror.Deb(Path("x.deb"), "x", version).upstream == upstream


def test_the_name_of_a_file_tells_package_and_version():
    deb = mirror.Deb.of(Path("/a/prometheus-alertmanager_1%3a0.25.0-1+b4_amd64.deb"))
    assert (deb.package, deb.version) == ("prometheus-alertmanager", "1:0.25.0-1+b4")
    with pytest.raises(mirror.MirrorError, match="no version that upstream would know"):
        assert mirror.Deb(Path("x.deb"), "x", "git20240101-1").upstream


def test_a_programs_need_of_the_c_library_decides_on_which_hosts_it_runs():
    assert mirror.libc_needed(OLD_LIBC) == (2, 34)
    assert mirror.libc_needed(b"GLIBC_9.9 in a text, \0GLIBC_PRIVATE\0") == (0, 0)
    assert mirror.runs_on({"a": (OLD_LIBC, True), "b": (b"\0GLIBC_9.9\0", False)}) == ["bookworm", "trixie"]
    assert mirror.runs_on({"a": (OLD_LIBC, True), "b": (NEW_LIBC, True)}) == ["trixie"]
    mine = tuple(int(part) for part in os.confstr("CS_GNU_LIBC_VERSION").split()[1].split("."))
    assert (2, 0) < mirror.libc_needed(Path("/usr/bin/dpkg-deb").read_bytes()) <= mine


# --- Fetching, with commands that stand in for the network's ---------------------------------------------------------


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a script of the test's on PATH under the name of a command, and keep what is fetched in a folder of its own."""
    monkeypatch.setattr(mirror, "MIRROR", tmp_path / "mirror")
    (tmp_path / "mirror").mkdir()
    commands = tmp_path / "commands"
    commands.mkdir()
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")

    def write(name, script):
        (commands / name).write_text(f"#!/bin/sh\nset -eu\n{script}\n")
        (commands / name).chmod(0o755)

    return write


def test_packages_are_fetched_once_and_kept(stand_in, tmp_path):
    calls = tmp_path / "calls"
    stand_in(
        "mmdebstrap",
        f"""echo "$@" >>'{calls}'
        for package in $PLANO_PACKAGES; do : >"$PLANO_FOLDER/${{package}}_1-1_amd64.deb"; done""",
    )
    folder = mirror.fetch_debs("trixie", "amd64")
    assert mirror.fetch_debs("trixie", "amd64") == folder
    (call,) = calls.read_text().splitlines()
    assert call.endswith("trixie /dev/null")
    assert "--architectures=amd64" in call
    assert sorted(path.name for path in folder.iterdir()) == [
        "prometheus-alertmanager_1-1_amd64.deb",
        "prometheus-blackbox-exporter_1-1_amd64.deb",
        "prometheus-node-exporter_1-1_amd64.deb",
        "prometheus-postgres-exporter_1-1_amd64.deb",
        "prometheus_1-1_amd64.deb",
        "promtool_1-1_amd64.deb",
    ]
    assert not list(mirror.fetch_debs("bookworm", "amd64").glob("promtool*"))


def test_a_failed_fetch_leaves_nothing_and_says_what_the_command_said(stand_in, tmp_path):
    stand_in("mmdebstrap", ': >"$PLANO_FOLDER/half.deb"; echo "E: no route to the archive" >&2; exit 1')
    with pytest.raises(
        mirror.MirrorError, match=r"(?s)can this machine reach Debian's archive.*E: no route to the archive"
    ):
        mirror.fetch_debs("trixie", "amd64")
    stand_in("mvn", r"printf '\033[0m[ERROR] no route to Maven\n'; exit 1")
    with pytest.raises(mirror.MirrorError, match=r"(?s)can mvn, as it is configured.*\n\[ERROR\] no route to Maven"):
        mirror.fetch_jar("0.16.0")
    assert list((tmp_path / "mirror").iterdir()) == []


def test_a_jar_that_is_not_the_pinned_one_is_not_kept(stand_in, tmp_path, monkeypatch):
    stand_in(
        "mvn",
        """for word; do
          case $word in -DoutputDirectory=*) folder=${word#*=};; -Dartifact=*) artifact=${word#*=};; esac
        done
        printf %s "$artifact" >"$folder/cloudwatch_exporter-0.16.0-jar-with-dependencies.jar\"""",
    )
    with pytest.raises(
        mirror.MirrorError, match=r"expected f65f377f.*it is not the file that was pinned, nothing was kept"
    ):
        mirror.fetch_jar("0.16.0")
    assert list((tmp_path / "mirror").iterdir()) == []
    asked = b"io.prometheus.cloudwatch:cloudwatch_exporter:0.16.0:jar:jar-with-dependencies"
    monkeypatch.setattr(mirror, "JARS", {"0.16.0": hashlib.sha256(asked).hexdigest()})
    assert mirror.fetch_jar("0.16.0").read_bytes() == asked
    stand_in("mvn", "exit 1")
    assert mirror.fetch_jar("0.16.0").read_bytes() == asked


def test_a_machine_that_lacks_a_command_is_told_how_to_get_it(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        mirror.MirrorError, match="mvn is not installed; run make setup, which installs the package maven"
    ):
        mirror.fetch_jar("0.16.0")
    with pytest.raises(mirror.MirrorError, match="mmdebstrap is not installed; run make setup"):
        mirror.fetch_debs("trixie", "amd64")
