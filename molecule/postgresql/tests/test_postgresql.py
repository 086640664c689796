"""The server answers as promised, whatever was tried on it before."""

from __future__ import annotations

import psycopg
import pytest

testinfra_hosts = ["ansible://postgresql"]


def test_the_backend_gets_in_with_its_password_over_tls(sql):
    assert sql("backend", "application", "SELECT current_user, current_database()") == [("backend", "backend")]
    assert sql("backend", "application", "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [
        ("TLSv1.3",)
    ]


def test_nobody_gets_in_without_tls(sql):
    with pytest.raises(psycopg.OperationalError, match=r"no encryption|no pg_hba"):
        sql("backend", "application", "SELECT 1", sslmode="disable")


def test_a_wrong_password_is_refused(sql):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        sql("backend", "application", "SELECT 1", password="wrong")


def test_the_backend_reads_and_writes_but_does_not_define(sql):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sql("backend", "application", "CREATE TABLE public.intruder (id int)")


def test_the_migrator_acts_as_the_owner_only_when_it_says_so(sql):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sql("backend_migrator", "migrator", "CREATE TABLE public.intruder (id int)")
    said = sql("backend_migrator", "migrator", "SELECT current_user::text", options="-c role=backend_owner")
    assert said == [("backend_owner",)]


def test_who_works_on_the_data_reads_nothing_until_it_says_so(sql):
    tables = "SET ROLE backend_owner; DROP TABLE IF EXISTS public.held; CREATE TABLE public.held (id int)"
    sql("backend_data", "data", tables)
    try:
        for statement in ("SELECT * FROM public.held", "CREATE TABLE public.intruder (id int)", "SET ROLE backend"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                sql("backend_data", "data", statement)
        assert sql("backend_data", "data", "SELECT count(*) FROM public.held", options="-c role=backend_owner") == [
            (0,)
        ]
    finally:
        sql("backend_data", "data", "SET ROLE backend_owner; DROP TABLE public.held")


def test_who_works_on_the_data_has_a_database_to_restore_into(sql):
    alone = {"autocommit": True}  # no transaction makes or drops a database
    sql("backend_data", "data", "CREATE DATABASE restored OWNER backend_owner TEMPLATE template0", **alone)
    try:
        said = sql("backend_data", "data", "SELECT current_database()", dbname="restored")
        assert said == [("restored",)]
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            sql("backend", "application", "SELECT 1", dbname="restored")
    finally:
        sql("backend_data", "data", "DROP DATABASE restored", options="-c role=backend_owner", **alone)


def test_passwords_are_kept_as_scram(host):
    kinds = host.check_output(
        "runuser -u postgres -- psql -XAtqc \"SELECT DISTINCT left(rolpassword, 13) FROM pg_authid WHERE rolpassword <> ''\""
    )
    assert kinds == "SCRAM-SHA-256"


def test_the_configuration_in_effect_is_the_confirmed_release(host):
    assert host.file("/opt/plano/postgresql/current").is_symlink
    proof = "runuser -u postgres -- psql -XAtqf /opt/plano/postgresql/current/config/proof.sql"
    assert host.check_output(proof) == "proven"
    assert host.check_output("runuser -u postgres -- psql -XAtqc 'SHOW hba_file'").startswith("/opt/plano/postgresql/")


def test_the_host_runs_without_a_failed_unit(host):
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


def test_the_authority_on_the_host_vouches_for_its_address_and_its_name(host, address):
    shown = host.check_output("openssl x509 -in /etc/ssl/plano-postgresql/server.crt -noout -ext subjectAltName")
    assert f"IP Address:{address}" in shown
    assert f"DNS:{host.check_output('hostname')}" in shown
    key = host.file("/etc/ssl/plano-postgresql/server.key")
    assert (key.mode, key.user) == (0o600, "postgres")
    assert host.file("/etc/ssl/plano-postgresql/ca.key").mode == 0o600


def test_the_backend_gets_no_further_than_its_database(sql):
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        sql("backend", "application", "SELECT 1", dbname="postgres")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sql("backend", "application", "SET ROLE backend_owner")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sql("backend", "application", "CREATE TEMPORARY TABLE intruder (id int)")


def test_rows_of_the_owners_tables_are_the_backends_and_nobody_elses(host, sql, local_sql):
    sql(
        "backend_migrator",
        "migrator",
        "SET ROLE backend_owner; DROP TABLE IF EXISTS kept; CREATE TABLE kept (id serial, name text)",
    )
    try:
        sql("backend", "application", "INSERT INTO kept (name) VALUES ('first'), ('second')")
        sql("backend", "application", "DELETE FROM kept WHERE name = 'second'")
        assert sql("backend", "application", "UPDATE kept SET name = 'one' RETURNING id, name") == [(1, "one")]
        for statement in ("DROP TABLE kept", "TRUNCATE kept", "ALTER TABLE kept ADD more int"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                sql("backend", "application", statement)
        assert "permission denied" in local_sql("backend_monitoring", "monitoring", "SELECT * FROM kept").stderr
        assert local_sql("backend_backup", "backup", "SELECT name FROM kept").stdout.strip() == "one"
        assert "read-only transaction" in local_sql("backend_backup", "backup", "DELETE FROM kept").stderr
        dumped = local_sql("backend_backup", "backup", None)
        assert dumped.succeeded, dumped.stderr
        assert "COPY public.kept" in dumped.stdout
    finally:
        sql("backend_migrator", "migrator", "SET ROLE backend_owner; DROP TABLE kept")


def test_monitoring_sees_what_the_server_does(local_sql):
    others = "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename IS NULL AND wait_event <> ''"
    seen = local_sql("backend_monitoring", "monitoring", others)
    assert seen.stdout.strip() == "t", seen.stderr


def test_the_cluster_was_born_with_checksums_and_a_stable_sort_order(host):
    shown = "SHOW data_checksums; SHOW server_encoding; SELECT datcollate FROM pg_database WHERE datname = 'backend'"
    assert host.check_output(f'runuser -u postgres -- psql -XAtqc "{shown}"').split() == ["on", "UTF8", "C.UTF-8"]


def test_no_password_is_left_anywhere(host, cache):
    left = host.check_output(
        "find /opt/plano/[!b]* /var/lib/plano /etc/postgresql /var/log/postgresql -type f -exec cat {} + ; journalctl --no-pager --quiet"
    )
    for secret in (cache / "secrets").iterdir():
        assert secret.read_text().split()[0] not in left, f"the password of {secret.name} was written down"
