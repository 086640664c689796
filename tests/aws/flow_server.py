# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for the servers that RDS runs: a real PostgreSQL with TLS, a master as RDS makes one, and for a restored instance a physical
copy of it at another address.

What AWS's resolver does, /etc/hosts does: an instance's endpoint leads to its server, also after it was renamed.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from controller import ROOT

DATABASE = "flow-db"
ADDRESS, RESTORED = "10.89.26.200", "10.89.26.201"
# What RDS's own are called, below the region's name.
SETTINGS = f"""
listen_addresses = '{ADDRESS}'
ssl = on
ssl_cert_file = '/etc/postgresql/server.pem'
ssl_key_file = '/etc/postgresql/server.key'
rds.force_ssl = on
password_encryption = scram-sha-256
shared_buffers = 64MB
"""
HBA = "local all postgres peer\nlocal replication postgres peer\nhostssl all all 10.89.26.0/24 scram-sha-256\n"
# So far as a role here needs it: no superuser, but a member of rds_superuser, which may hand these on.
MASTER = """
CREATE ROLE rds_superuser NOLOGIN;
GRANT pg_monitor, pg_read_all_data, pg_signal_backend, pg_checkpoint TO rds_superuser WITH ADMIN OPTION;
CREATE ROLE {username} LOGIN NOSUPERUSER CREATEDB CREATEROLE PASSWORD '{password}';
GRANT rds_superuser TO {username};
"""
START = """
pg_createcluster --encoding UTF8 --locale C.UTF-8 17 main >/dev/null
cd /etc/postgresql
printf '%s' "$SERVER" >server.pem
printf '%s' "$KEY" >server.key
printf '%s' "$SETTINGS" >>17/main/postgresql.conf
printf '%s' "$HBA" >17/main/pg_hba.conf
chown postgres server.key
chmod 0600 server.key
systemctl start postgresql@17-main
printf '%s' "$MASTER" | su postgres -c 'psql -qXv ON_ERROR_STOP=1'
"""
COPY = f"""
ip address add {RESTORED}/24 dev eth0
su postgres -c 'pg_basebackup -c fast -D /var/lib/postgresql/restored'
systemd-run --quiet --unit rds-restored --uid postgres /usr/lib/postgresql/17/bin/postgres \\
  -c config_file=/etc/postgresql/17/main/postgresql.conf -D /var/lib/postgresql/restored -c data_directory=/var/lib/postgresql/restored \\
  -c listen_addresses={RESTORED} -c unix_socket_directories= -c external_pid_file=
"""


def podman(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(
        [ROOT / "tools" / "podman", *argv], input=stdin, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"podman {argv}: {done.stdout}{done.stderr}"
    return done.stdout


def on(host: str, script: str, stdin: str = "", **variables: str) -> str:
    given = [f"--env={name}={value}" for name, value in variables.items()]
    return podman("exec", "--interactive", *given, host, "sh", "-euc", script, stdin=stdin)


def authority(folder: Path, names: str) -> dict[str, str]:
    """Make an authority and a certificate of it for *names*, in place of RDS's own."""

    def openssl(*argv: str) -> None:
        subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=stand-in for RDS")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName=DNS:{names}"]
    openssl("req", "-x509", *key, "-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=RDS", *signed)
    return {name: (folder / name).read_text() for name in ("ca.pem", "server.pem", "server.key")}


class Server:
    """What is behind the endpoints that moto tells."""

    first = ""
    led: dict[str, str] = {}

    @staticmethod
    def instances() -> dict[str, dict[str, str]]:
        """Return name and endpoint of each instance, by the id that a rename leaves as it is."""
        found = boto3.client("rds").describe_db_instances()["DBInstances"]
        return {
            one["DbiResourceId"]: {"name": one["DBInstanceIdentifier"], "endpoint": one["Endpoint"]["Address"]}
            for one in found
            if one.get("Endpoint")
        }

    def start(self, folder: Path) -> str:
        """Start the server of the one instance there is; return its authority's certificate."""
        (one,) = boto3.client("rds").describe_db_instances()["DBInstances"]
        self.first = one["DbiResourceId"]
        # AWS makes one for each instance; moto's is the same for all, of another user.
        master = {"username": one["MasterUsername"], "password": f"S3CRET-{secrets.token_hex(8)}"}
        boto3.client("secretsmanager").put_secret_value(
            SecretId=one["MasterUserSecret"]["SecretArn"], SecretString=json.dumps(master)
        )
        made = authority(folder, "*." + one["Endpoint"]["Address"].partition(".")[2])
        variables = {"SETTINGS": SETTINGS, "HBA": HBA, "MASTER": MASTER.format(**master)}
        on(DATABASE, START, SERVER=made["server.pem"], KEY=made["server.key"], **variables)
        return made["ca.pem"]

    def copy(self) -> None:
        """Take the snapshot, and start it as the server that a restored instance has."""
        on(DATABASE, COPY)

    def lead(self, hosts: Iterable[str]) -> None:
        """Let the endpoints' names lead to their servers. A server that is renamed is started anew, which ends its connections."""
        wanted = {
            one["endpoint"]: ADDRESS if its_id == self.first else RESTORED for its_id, one in self.instances().items()
        }
        if wanted == self.led:
            return
        if self.led and ADDRESS not in {wanted.get(name) for name in self.led}:
            on(DATABASE, "systemctl restart postgresql@17-main")
        lines = "".join(f"{address} {name}\n" for name, address in wanted.items())
        for host in hosts:
            on(host, "(grep -v amazonaws /etc/hosts; cat) >/run/hosts && cat /run/hosts >/etc/hosts", stdin=lines)
        self.led = wanted

    @contextmanager
    def resolved(self, hosts: Iterable[str]) -> Iterator[None]:
        """Within, follow what becomes of the instances."""
        over = threading.Event()

        def follow() -> None:
            while not over.wait(0.3):
                self.lead(hosts)

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.lead(hosts)
