# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for RDS: a real PostgreSQL whose master is what RDS makes of it, and this machine as the host that reaches it.

What of RDS it plays: a master who is no superuser and has its rights by rds_superuser, rds.force_ssl, TLS and SCRAM for everybody, and a
log that hides nothing. What of RDS it does not: its certificates, its own changes to PostgreSQL, and all of AWS.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from server import Server

COLLECTION = Path("/src/ansible_collections/plano/delivery")
ENDPOINT = "plano-prod.example.sa-east-1.rds.amazonaws.com"
VENV = Path(os.environ["PLANO_VENV"])
# Debian 12's Ansible is older than what the collection supports: there the controller's own, whose Python is the same.
LIBRARIES = next(VENV.glob("lib/python3*/site-packages"))
OURS = LIBRARIES.parent.name == f"python3.{sys.version_info.minor}"
RUN = f"import sys; sys.path[:0] = {[str(LIBRARIES)] if OURS else []}; from ansible.cli.playbook import main; main()"
# As dumps of instances show it (pg_dumpall --roles-only), so far as our roles need it: rds_superuser may hand these on.
MASTER = """
CREATE ROLE rds_superuser NOLOGIN;
GRANT pg_monitor, pg_read_all_data, pg_signal_backend, pg_checkpoint TO rds_superuser WITH ADMIN OPTION;
CREATE ROLE plano_admin LOGIN NOSUPERUSER CREATEDB CREATEROLE PASSWORD '{password}';
GRANT rds_superuser TO plano_admin;
"""
HBA = """
local all super trust
hostssl all all 127.0.0.1/32 scram-sha-256
"""
SETTINGS = """
ssl = on
rds.force_ssl = on
password_encryption = scram-sha-256
log_statement = all
log_connections = on
log_min_duration_statement = 0
"""


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder: Path) -> str:
    """Make an authority, and a certificate of it for the endpoint; return the authority's."""
    folder.mkdir()
    subject = ["-subj", "/CN=Stand-in for an authority of RDS"]
    openssl(
        folder,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        *subject,
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
    )
    openssl(
        folder,
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        f"/CN={ENDPOINT}",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    )
    (folder / "names").write_text(f"subjectAltName=DNS:{ENDPOINT}\n")
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
    openssl(folder, "x509", "-req", "-in", "server.csr", *signed, "-out", "server.crt")
    return (folder / "ca.crt").read_text()


class Rds:
    """The stand-in, and the playbook that keeps it, run as an operator would."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder, self.runs = server, folder, 0
        self.master = f"S3CRET-master-{secrets.token_hex(8)}"
        self.authority = authority(folder / "tls")
        self.other_authority = authority(folder / "other")
        for name in ("server.crt", "server.key"):
            target = server.folder / "data" / name
            target.write_bytes((folder / "tls" / name).read_bytes())
            target.chmod(0o600)
            os.chown(target, server.folder.stat().st_uid, server.folder.stat().st_gid)
        with (server.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        (server.folder / "data" / "pg_hba.conf").write_text(HBA)
        # What the tests of the data part need is not there.
        server.sql("DROP ROLE owner, data, app")
        server.sql(MASTER.format(password=self.master))
        server.stop()
        server.start()
        (server.folder / "log").write_text("")
        with Path("/etc/hosts").open("a") as hosts:
            hosts.write(f"127.0.0.1 {ENDPOINT}\n")
        self.passwords = {
            purpose: f"S3CRET-{purpose}-{secrets.token_hex(8)}"
            for purpose in ("migrator", "data", "application", "backup", "monitoring")
        }

    @property
    def variables(self) -> dict[str, Any]:
        names = {"application": "backend"}
        return {
            "postgresql_mode": "rds",
            "postgresql_host": ENDPOINT,
            "postgresql_port": self.server.port,
            "postgresql_admin_password": self.master,
            "postgresql_tls_ca": self.authority,
            "postgresql_databases": [{"name": "backend", "owner": "backend_owner", "extensions": ["pgcrypto"]}],
            "postgresql_users": [
                {
                    "name": names.get(purpose, f"backend_{purpose}"),
                    "purpose": purpose,
                    "databases": ["backend"],
                    "password": password,
                }
                for purpose, password in self.passwords.items()
            ],
        }

    def play(
        self, *arguments: str, role: str = "postgresql", hosts: dict[str, dict[str, Any]] | None = None, **changed: Any
    ) -> tuple[int, str]:
        """Apply a role to this host; return the exit code and all that was said, which holds no secret.

        *hosts* are several at once, which are all this one, each with variables of its own.
        """
        play = {
            "hosts": "all",
            "gather_facts": False,
            # As in playbooks/plays/data.yml.
            "module_defaults": {"group/plano.delivery.data": "{{ __data_login }}"},
            "tasks": [{"ansible.builtin.import_role": {"name": f"plano.delivery.{role}"}}],
        }
        # A host has psycopg2 alone until role data brought psycopg 3, which is then used. Debian 12's is played without.
        if OURS and role == "postgresql":
            (self.folder / "without").mkdir(exist_ok=True)
            (self.folder / "without" / "psycopg.py").write_text("raise ImportError('not for this test')\n")
            play["environment"] = {"PYTHONPATH": str(self.folder / "without")}
        (self.folder / "play.yml").write_text(yaml.safe_dump([play]))
        # As a file beside the inventory: an argument would be shown by -vvv.
        (self.folder / "host_vars").mkdir(exist_ok=True)
        everyone = {"data-host": changed} if hosts is None else hosts
        for name, its in everyone.items():
            (self.folder / "host_vars" / name).write_text(json.dumps({**self.variables, **its}))
        local = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
        (self.folder / "hosts").write_text("".join(f"{name} {local}\n" for name in everyone))
        done = subprocess.run(
            [sys.executable, "-c", RUN, "-i", str(self.folder / "hosts"), *arguments, str(self.folder / "play.yml")],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "ANSIBLE_CONFIG": str(COLLECTION / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": f"/src:{LIBRARIES}",
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
                "ANSIBLE_NOCOLOR": "1",
                "LC_ALL": "C.UTF-8",
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        said = done.stdout + done.stderr
        assert "S3CRET" not in said, "a password was shown"
        assert "SCRAM-SHA-256$" not in said, "a verifier was shown"
        return done.returncode, said

    def log(self) -> str:
        return (self.server.folder / "log").read_text()

    def ask(self, user: str, statement: str, database: str = "backend", password: str = "", **settings: str) -> str:
        """Sign in as a role, over TLS that is checked; return the bare answer, or what was said against it."""
        purpose = "application" if user == "backend" else user.replace("backend_", "")
        target = f"host={ENDPOINT} port={self.server.port} dbname={database} user={user} sslmode=verify-full sslrootcert={self.folder}/tls/ca.crt"
        more = " ".join(f"{name}='{value}'" for name, value in settings.items())
        done = subprocess.run(
            ["psql", f"{target} {more}", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement],
            env={
                "PATH": os.environ["PATH"],
                "PGPASSWORD": password or self.passwords.get(purpose, self.master),
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return (done.stdout if done.returncode == 0 else done.stderr).strip()
