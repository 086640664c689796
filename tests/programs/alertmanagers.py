"""Where Alertmanager and amtool are, in the mirror's archives; and a running one, behind TLS and a password as on a host."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import bcrypt
import yaml
from promtool import version
from rule_files import ROOT

ARTIFACTS = ROOT / ".cache" / "artifacts" / "alertmanager"
MIRROR = ROOT / ".cache" / "mirror"
UNPACKED = ROOT / ".cache" / "alertmanager"
ROLE = ROOT / "roles" / "alertmanager"
PROOF = ROLE / "files" / "prove.py"
USER, PASSWORD = "plano", "correct horse"


def defaults() -> dict[str, Any]:
    """Return what the role tells the filters where the inventory says nothing."""
    said = _variables("defaults")
    found = {key: said.get(f"alertmanager_{key}") for key in _variables("vars")["__alertmanager_description"]}
    return {key: value for key, value in found.items() if value is not None and "{{" not in str(value)}


def _variables(kind: str) -> dict[str, Any]:
    said: dict[str, Any] = yaml.safe_load((ROLE / kind / "main.yml").read_text(encoding="utf-8"))
    return said


def artifacts() -> dict[str, Path]:
    """Return every version in the mirror with its folder, as the engine keeps it on a host."""
    found = {}
    for archive in sorted(ARTIFACTS.glob("*.tar.gz"), key=version):
        number = ".".join(map(str, version(archive)))
        found[number] = _unpacked(archive, UNPACKED / number)
    return found


def _unpacked(archive: Path, folder: Path) -> Path:
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as contents:
        for member in contents:
            target = files / Path(member.name).name
            source = contents.extractfile(member) if target.name in ("alertmanager", "amtool") else None
            if source is None or (target.exists() and target.stat().st_mtime > archive.stat().st_mtime):
                continue
            fresh = target.with_name(f".{target.name}")
            fresh.write_bytes(source.read())
            fresh.chmod(0o755)
            fresh.rename(target)
    return folder


# Debian's build reads its templates from a folder that this machine need not have (docs/artifacts.md): it gets a /usr/share of its
# own, with that folder in it, and the time zones.
IN_DEBIAN = """
mkdir -p "$2"; mount --rbind /usr/share "$2"; mount -t tmpfs none /usr/share; mkdir /usr/share/prometheus
ln -s "$2/zoneinfo" /usr/share/zoneinfo; ln -s "$1" /usr/share/prometheus/alertmanager; shift 2; exec "$@"
"""


def in_debian(scratch: Path) -> list[str | Path]:
    """Return what to put before the command of an Alertmanager."""
    packages = sorted(MIRROR.glob("*/prometheus-alertmanager_*.deb"))
    assert packages, f"no package of Alertmanager below {MIRROR.relative_to(ROOT)}: let 'make artifacts' fetch it"
    folder = UNPACKED / "debian"
    if not folder.is_dir():
        subprocess.run(["dpkg-deb", "--extract", packages[-1], folder], check=True)
    words = ["unshare", "--map-root-user", "--mount", "sh", "-euc", IN_DEBIAN, "sh"]
    return [*words, folder / "usr" / "share" / "prometheus" / "alertmanager", scratch]


class Staged:
    """A plan, laid out as a release on a host."""

    def __init__(self, folder: Path, plan: dict[str, Any], artifact: Path) -> None:
        self.folder = folder
        self.artifact = artifact
        self.secrets = folder / "secrets"
        self.secrets.mkdir(parents=True, exist_ok=True)
        self.configuration = folder / "config" / "alertmanager.yml"
        self.lay(plan)

    def lay(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        for file in plan["files"]:
            path = self.folder / file["dest"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"], encoding="utf-8")

    def with_secrets(self) -> None:
        """Put the secrets where this machine may, and let the configuration name them there."""
        for name, value in self.plan["secrets"].items():
            (self.secrets / name).write_text(value, encoding="utf-8")
        text = self.configuration.read_text(encoding="utf-8")
        moved = text.replace("/run/credentials/plano-alertmanager.service", str(self.secrets))
        self.configuration.write_text(moved, encoding="utf-8")

    def validate(self) -> list[str]:
        """Run all that must accept the release; return what those said that do not."""
        found = []
        for argv in self.plan["validate"]:
            words = [
                word.replace("@ARTIFACT@", str(self.artifact)).replace("@RELEASE@", str(self.folder)) for word in argv
            ]
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
            if done.returncode != 0:
                found.append(f"{' '.join(argv[1:])}: {done.stdout}{done.stderr}")
        return found


def certificates(folder: Path) -> None:
    """Make an authority, ca.crt, and a certificate for 127.0.0.1 that it signed, server.crt and server.key."""
    folder.mkdir(parents=True, exist_ok=True)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    ca = ["-x509", "-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.crt"]
    server = ["-x509", "-CA", "ca.crt", "-CAkey", "ca.key", "-subj", "/CN=server", "-keyout", "server.key"]
    names = ["-out", "server.crt", "-addext", "subjectAltName=IP:127.0.0.1"]
    constraints = ["-addext", "basicConstraints=critical,CA:FALSE"]
    for words in (ca, [*server, *names, *constraints]):
        subprocess.run(["openssl", "req", *new, *words], cwd=folder, check=True, capture_output=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Running:
    """A real Alertmanager on loopback."""

    def __init__(self, staged: Staged, tls: Path) -> None:
        self.staged = staged
        self.tls = tls
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.log = staged.folder / "log"
        web = {
            "tls_server_config": {"cert_file": str(tls / "server.crt"), "key_file": str(tls / "server.key")},
            "basic_auth_users": {USER: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()},
        }
        (staged.folder / "web.yml").write_text(yaml.safe_dump(web), encoding="utf-8")
        (staged.folder / "password").write_text(PASSWORD, encoding="utf-8")
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [
                    *in_debian(staged.folder / "share"),
                    staged.artifact / "files" / "alertmanager",
                    f"--config.file={staged.configuration}",
                    f"--storage.path={staged.folder / 'state'}",
                    f"--data.retention={staged.plan['retention']}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    f"--web.config.file={staged.folder / 'web.yml'}",
                    f"--web.external-url={self.url}/some/path",
                    "--web.route-prefix=/",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=log,
            )
        until(lambda: "does not answer" not in self.prove()[1], f"Alertmanager answers; {self.log}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)

    def prove(self, **changed: str | Path) -> tuple[int, str]:
        """Ask for the proof that this one runs as it should, or as *changed*."""
        given: dict[str, str | Path] = {
            "url": self.url,
            "ca": str(self.tls / "ca.crt"),
            "user": USER,
            "password_file": str(self.staged.folder / "password"),
            "version": self.staged.artifact.name,
            "configuration": str(self.staged.configuration),
            **changed,
        }
        return prove(**given)

    def ask(self, path: str, body: Any = None) -> Any:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, headers=headers)
        context = ssl.create_default_context(cafile=str(self.tls / "ca.crt"))
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{path}: {exc.code} {exc.read().decode()}") from exc

    def fire(self, *alerts: dict[str, str]) -> None:
        self.ask("/api/v2/alerts", [{"labels": labels} for labels in alerts])

    def silent(self, reason: str) -> list[dict[str, str]]:
        """Return the labels of the alerts that nobody is told of for *reason*."""
        return [alert["labels"] for alert in self.ask("/api/v2/alerts") if alert["status"][reason]]


def prove(
    url: str | Path,
    ca: str | Path,
    user: str | Path,
    password_file: str | Path,
    version: str | Path,
    configuration: str | Path,
) -> tuple[int, str]:
    """Run the proof as the engine does; return its code and what it said."""
    argv = ["/usr/bin/python3", "-I", PROOF, url, ca, user, password_file, version, configuration]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stdout + done.stderr


def until(holds: Any, what: str, limit: float = 15) -> None:
    deadline = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        time.sleep(0.1)
