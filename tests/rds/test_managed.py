# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role postgresql on a managed database, from a new account on. The tests stand on each other, in this order."""

from __future__ import annotations

import re
from typing import Any

from stand_in import ENDPOINT, Rds

# What pg_roles tells of each: may log in, inherits, may make databases, may make roles.
FLAGS = {
    "backend": "t|t|f|f",
    "backend_backup": "t|t|f|f",
    "backend_data": "t|f|t|f",
    "backend_migrator": "t|f|f|f",
    "backend_monitoring": "t|t|f|f",
    "backend_owner": "f|t|f|f",
}
ROLES = "SELECT rolname, rolcanlogin, rolinherit, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname LIKE 'backend%' ORDER BY 1"


def recap(said: str) -> dict[str, int]:
    (line,) = re.findall(r"data-host +: (ok=.*)", said)
    return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line)}


def test_a_dry_run_without_the_client_says_what_would_come(rds: Rds) -> None:
    code, said = rds.play("--check", "--diff")
    assert code == 0, said
    assert recap(said)["changed"] >= 5, said
    assert "connection authorized" not in rds.log()


def test_what_cannot_be_meant_is_told_at_once_and_nothing_is_asked(rds: Rds) -> None:
    users = [{**user, "sources": ["10.0.0.0/8"]} for user in rds.variables["postgresql_users"]][:1]
    code, said = rds.play(
        postgresql_host="",
        postgresql_admin_password="",
        postgresql_tls_ca="",
        postgresql_settings={"work_mem": "5MB"},
        postgresql_users=users,
    )
    assert code != 0
    flat = " ".join(said.split())
    for words in (
        "postgresql_host is missing",
        "postgresql_admin_password is missing",
        "postgresql_tls_ca is missing",
        "aws_database.parameters",
        "sources mean nothing on RDS, whose security groups let hosts in (aws_database_sources): those of backend_migrator",
        "Nothing was changed",
    ):
        assert words in flat, said
    assert "connection authorized" not in rds.log()


def test_a_server_that_cannot_be_meant_is_refused_with_what_to_do(rds: Rds) -> None:
    # The client, and the authority.
    code, said = rds.play(postgresql_users=[], postgresql_databases=[])
    assert code == 0 and recap(said)["changed"] == 3, said
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "password": ({"postgresql_admin_password": "S3CRET-of-last-week"}, "RDS changes it every seven days"),
        "name": ({"postgresql_host": "localhost"}, "postgresql_host must be the endpoint that RDS gave"),
        "nowhere": ({"postgresql_host": "nowhere.invalid"}, "is no name that this host knows"),
        "port": ({"postgresql_port": 1}, "nothing listens there"),
        "authority": ({"postgresql_tls_ca": rds.other_authority}, "is of none of the authorities in postgresql_tls_ca"),
    }
    hosts = {
        name: {**changed, "postgresql_tls_ca_path": f"/tmp/{name}/ca.crt"} for name, (changed, _words) in wrong.items()
    }
    code, said = rds.play(hosts=hosts)
    told = dict(re.findall(r"fatal: \[(\w+)\]: FAILED! =>(.*?)(?=fatal: |PLAY RECAP)", said, re.DOTALL))
    for name, (_changed, words) in wrong.items():
        flat = " ".join(told[name].split())
        assert words in flat and "Nothing was changed there" in flat, said
    assert code != 0 and rds.server.sql(ROLES) == ""


def test_a_dry_run_on_a_new_account_says_what_would_come(rds: Rds) -> None:
    code, said = rds.play("--check", "--diff")
    assert code == 0, said
    # Six roles, five passwords, the owner, the database and its grants.
    assert recap(said)["changed"] >= 5, said
    assert rds.server.sql(ROLES) == ""


def test_the_first_run_makes_all_of_it_and_shows_no_secret(rds: Rds) -> None:
    code, said = rds.play("-vvv", "--diff")
    assert code == 0, said
    made = dict(line.split("|", 1) for line in rds.server.sql(ROLES).splitlines())
    assert made == FLAGS
    assert rds.server.sql("SELECT datdba::regrole FROM pg_database WHERE datname = 'backend'") == "backend_owner"
    assert "+ extension pgcrypto" in said and "+ database backend: backend may CONNECT" in said
    assert rds.server.sql(
        "SELECT DISTINCT left(rolpassword, 19) FROM pg_authid WHERE rolname LIKE 'backend%'"
    ).split() == ["SCRAM-SHA-256$4096:"]


def test_the_second_run_changes_nothing(rds: Rds) -> None:
    for arguments in ((), ("--check", "--diff"), ("--tags", "postgresql_databases")):
        code, said = rds.play(*arguments)
        assert code == 0 and recap(said)["changed"] == 0, said


def test_neither_passwords_nor_verifiers_are_in_the_servers_log(rds: Rds) -> None:
    log = rds.log()
    # It is one that tells every statement.
    assert "CREATE USER" in log and "current_setting('plano.verifier')" in log
    assert "S3CRET" not in log and "SCRAM-SHA-256$" not in log


def test_everybody_can_do_what_the_purpose_says_and_no_more(rds: Rds) -> None:
    as_owner = {"options": "-c role=backend_owner"}
    assert rds.ask("backend_migrator", "CREATE TABLE kept (id serial PRIMARY KEY, name text)", **as_owner) == ""
    assert "permission denied" in rds.ask("backend_migrator", "CREATE TABLE public.other (id int)")
    assert rds.ask("backend", "INSERT INTO kept (name) VALUES ('first') RETURNING id") == "1"
    for statement in ("CREATE TABLE public.other (id int)", "DROP TABLE kept", "SET ROLE backend_owner"):
        said = rds.ask("backend", statement)
        assert "denied" in said or "must be owner" in said, said
    assert "permission denied" in rds.ask("backend_data", "SELECT * FROM public.kept")
    assert rds.ask("backend_data", "SELECT name FROM kept", **as_owner) == "first"
    assert rds.ask("backend_data", "CREATE DATABASE restored OWNER backend_owner TEMPLATE template0") == ""
    assert rds.ask("backend_data", "DROP DATABASE restored", **as_owner) == ""
    assert rds.ask("backend_backup", "SELECT name FROM kept") == "first"
    assert "read-only transaction" in rds.ask("backend_backup", "DELETE FROM kept")
    assert "permission denied" in rds.ask("backend_monitoring", "SELECT * FROM public.kept")
    assert rds.ask("backend_monitoring", "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event <> ''") == "t"
    assert rds.ask("backend_monitoring", "SELECT setting <> '' FROM pg_settings WHERE name = 'data_directory'") == "t"
    assert rds.ask("backend", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "t"
    assert "no encryption" in rds.ask("backend", "SELECT 1", sslmode="disable")


def test_a_changed_password_is_set_and_nothing_else_changes(rds: Rds) -> None:
    before = rds.server.sql("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1").splitlines()
    old, rds.passwords["application"] = rds.passwords["application"], "S3CRET-another-0123456789"
    code, said = rds.play("--check")
    assert code == 0 and recap(said)["changed"] == 1, said
    assert rds.server.sql("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1").splitlines() == before
    code, said = rds.play("-vvv")
    assert code == 0 and recap(said)["changed"] == 1, said
    after = rds.server.sql("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1").splitlines()
    assert [line.split("|")[0] for line in after if line not in before] == ["backend"]
    assert "password authentication failed" in rds.ask("backend", "SELECT 1", password=old)
    assert rds.ask("backend", "SELECT 1") == "1"
    assert "S3CRET" not in rds.log() and "SCRAM-SHA-256$" not in rds.log()


def test_a_right_that_was_taken_comes_back_and_is_shown(rds: Rds) -> None:
    rds.server.sql("REVOKE USAGE ON SCHEMA public FROM backend_monitoring", "backend")
    code, said = rds.play("--diff")
    assert code == 0 and recap(said)["changed"] == 1 and "+ schema public: backend_monitoring may USAGE" in said, said


def test_a_parameter_that_waits_for_a_reboot_is_told(rds: Rds) -> None:
    rds.server.sql("ALTER SYSTEM SET max_connections = 90")
    rds.server.sql("SELECT pg_reload_conf()")
    code, said = rds.play()
    flat = " ".join(said.split())
    assert code == 0 and "max_connections: changed in the parameter group" in flat and recap(said)["changed"] == 0, said
    assert f"reboot-db-instance --db-instance-identifier {ENDPOINT.partition('.')[0]}" in flat


def test_a_server_that_lets_in_without_tls_is_refused(rds: Rds) -> None:
    rds.server.sql("ALTER SYSTEM SET rds.force_ssl = off")
    rds.server.sql("SELECT pg_reload_conf()")
    try:
        code, said = rds.play()
        assert code != 0 and "set rds.force_ssl to 1 in its parameter group" in " ".join(said.split()), said
    finally:
        rds.server.sql("ALTER SYSTEM RESET rds.force_ssl")
        rds.server.sql("SELECT pg_reload_conf()")


def test_the_action_log_is_kept_by_who_works_on_the_data(rds: Rds) -> None:
    data = {
        "data_database": "backend",
        "data_host": ENDPOINT,
        "data_port": rds.server.port,
        "data_user": "backend_data",
        "data_password": rds.passwords["data"],
        "data_owner": "backend_owner",
        "data_tables": ["public.kept"],
    }
    code, said = rds.play(role="data", **data)
    assert code == 0 and recap(said)["changed"] >= 1, said
    code, said = rds.play(role="data", **data)
    assert code == 0 and recap(said)["changed"] == 0, said
    assert rds.ask("backend", "UPDATE kept SET name = 'second' RETURNING id") == "1"
    logged = "SELECT count(*) FROM plano_delivery.action"
    assert rds.ask("backend_data", logged, options="-c role=backend_owner") == "1"
    # The grants stay what they were.
    code, said = rds.play()
    assert code == 0 and recap(said)["changed"] == 0, said
