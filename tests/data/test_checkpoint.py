# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from copying import SCHEMAS, WHO, book, place, put_back, take
from server import Server

from ansible_collections.plano.delivery.plugins.module_utils.data import (
    checkpoint,
    fingerprint,
    home,
    manifest,
    restore,
    tools,
)
from ansible_collections.plano.delivery.plugins.module_utils.data.checkpoint import Order
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError
from ansible_collections.plano.delivery.plugins.module_utils.data.names import Table
from ansible_collections.plano.delivery.plugins.module_utils.data.seal import Seal
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session


def folder_of(session: Session, folder: Path, name: str = "before") -> Path:
    return place(folder, session.login.database).of(name)


def entries(session: Session, folder: Path) -> list[tuple[str, str, str]]:
    return [(e["operation"], e["release"], e["state"]) for e in book(folder, session.login.database).entries()]


def test_a_checkpoint_says_what_it_holds(odd: Session, tmp_path: Path) -> None:
    told = take(odd, tmp_path, comment="before the import")
    assert told["changed"] is True
    found = manifest.read(folder_of(odd, tmp_path))
    assert found.contents()[Table("public", "orders")].rows == 507
    assert found.positions()[Table("public", "numbers")] == (1005, True)
    assert (found.version, found.schema_revision, found.comment) == ("1.4.0", "rev7", "before the import")
    assert found.lsn.startswith("0/")
    assert set(found.files) == {
        path.relative_to(folder_of(odd, tmp_path)).as_posix() for path in folder_of(odd, tmp_path).glob("dump/*")
    }
    row = odd.rows("SELECT manifest ->> 'digest', protected FROM plano_delivery.checkpoint WHERE name = 'before'")
    assert row == [(found.digest, False)]
    assert entries(odd, tmp_path) == [("checkpoint", "before", "begun"), ("checkpoint", "before", "confirmed")]


def test_only_its_owner_may_read_it(odd: Session, tmp_path: Path) -> None:
    take(odd, tmp_path)
    for path in [tmp_path / "checkpoints", *(tmp_path / "checkpoints").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_same_name_again_changes_nothing(odd: Session, tmp_path: Path) -> None:
    take(odd, tmp_path)
    before = (folder_of(odd, tmp_path) / "manifest.json").read_bytes()
    odd.execute("DELETE FROM public.orders")
    assert take(odd, tmp_path)["changed"] is False
    assert (folder_of(odd, tmp_path) / "manifest.json").read_bytes() == before
    with pytest.raises(DataError, match="is there already, of the schemas"):
        take(odd, tmp_path, schemas=("public",))


def test_a_check_plans_and_touches_nothing(odd: Session, tmp_path: Path) -> None:
    told = checkpoint.present(
        odd, place(tmp_path, odd.login.database), Order("before", SCHEMAS), book(tmp_path, "x"), WHO, check=True
    )
    assert told["changed"] is True
    assert told["plan"]["tables"] == 9
    assert list(tmp_path.iterdir()) == []
    assert not home.exists(odd)


def test_what_a_snapshot_sees_is_what_is_counted(odd: Session, server: Server, tmp_path: Path) -> None:
    def write_meanwhile(step: str) -> None:
        if step == "dump":
            with server.session(odd.login.database) as other:
                other.execute("DELETE FROM public.orders")

    database = odd.login.database
    checkpoint.present(
        odd, place(tmp_path, database), Order("before", SCHEMAS), book(tmp_path, database), WHO, at=write_meanwhile
    )
    assert manifest.read(folder_of(odd, tmp_path)).contents()[Table("public", "orders")].rows == 507
    restore.drilled(odd, place(tmp_path, database), restore.Order("before"), book(tmp_path, database), WHO)


def test_a_checksum_sees_a_value_and_not_the_order(session: Session) -> None:
    session.execute("CREATE TABLE public.t (t text, b text)")
    session.execute("INSERT INTO public.t VALUES ('1', NULL), ('2', 'x'), ('2', 'x')")
    fingerprint.prepare(session)
    shape = fingerprint.shapes(session, ["public"])[0]
    first = fingerprint.content(session, shape)
    session.execute("UPDATE public.t SET b = NULL WHERE t = '1'")  # now the last one
    assert fingerprint.content(session, shape) == first
    for change in (
        "SET b = '' WHERE t = '1'",
        "SET t = '1', b = NULL WHERE ctid = (SELECT max(ctid) FROM public.t WHERE t = '2')",
    ):
        session.execute("BEGIN")
        session.execute(f"UPDATE public.t {change}")
        assert fingerprint.content(session, shape) != first, change
        session.execute("ROLLBACK")


@pytest.mark.parametrize(
    "file, how",
    [
        ("manifest.json", "bit"),
        ("manifest.json", "gone"),
        ("dump/toc.dat", "bit"),
        ("data", "bit"),
        ("data", "short"),
        ("data", "gone"),
    ],
)
def test_an_altered_file_is_named(odd: Session, tmp_path: Path, file: str, how: str) -> None:
    take(odd, tmp_path)
    path = (
        folder_of(odd, tmp_path) / file
        if file != "data"
        else max(folder_of(odd, tmp_path).glob("dump/*.gz"), key=lambda p: p.stat().st_size)
    )
    data = bytearray(path.read_bytes())
    if how == "bit":
        data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data) if how == "bit" else bytes(data[:-2]))
    if how == "gone":
        path.unlink()
    with pytest.raises(
        DataError, match=f"{path.name}|there is no checkpoint" if file == "manifest.json" else path.name
    ):
        checkpoint.verify(place(tmp_path, odd.login.database), "before", book(tmp_path, odd.login.database), WHO)
    with pytest.raises(DataError, match=path.name):
        put_back(odd, tmp_path)
    assert odd.value("SELECT count(*) FROM public.orders") == 507
    if file != "manifest.json":
        assert entries(odd, tmp_path)[2:3] == [("verify", "before", "damaged")]


def test_every_bit_of_a_manifest_counts(odd: Session, tmp_path: Path) -> None:
    take(odd, tmp_path)
    data = (folder_of(odd, tmp_path) / "manifest.json").read_bytes()
    whole = manifest.decode(data, "m")
    for position in range(0, len(data), 7):
        altered = bytearray(data)
        altered[position] ^= 1
        try:
            assert (
                manifest.decode(bytes(altered), "m") == whole
            )  # another spelling of the same, such as a space for a line's end
        except DataError:
            continue
    assert whole.name == "before"


@pytest.mark.parametrize("method", ["age", "openssl"])
def test_an_encrypted_checkpoint_is_plain_nowhere_and_comes_back(
    odd: Session, tmp_path: Path, keys: dict[str, Seal], method: str
) -> None:
    take(odd, tmp_path, seal=keys[method])
    folder = folder_of(odd, tmp_path)
    assert {path.suffix for path in (folder / "dump").iterdir()} == {".age" if method == "age" else ".enc"}
    for path in folder.rglob("*.*"):
        assert b"PGDMP" not in path.read_bytes()
    checkpoint.verify(
        place(tmp_path, odd.login.database, seal=keys[method]), "before", book(tmp_path, odd.login.database), WHO
    )
    odd.execute("TRUNCATE public.clients CASCADE")
    assert put_back(odd, tmp_path, seal=keys[method])["changed"] is True
    assert odd.value("SELECT count(*) FROM public.orders") == 507
    restore.drilled(
        odd,
        place(tmp_path, odd.login.database, seal=keys[method]),
        restore.Order("before"),
        book(tmp_path, odd.login.database),
        WHO,
    )


@pytest.mark.parametrize("method", ["age", "openssl"])
def test_another_key_is_refused_before_anything_is_done(
    odd: Session, tmp_path: Path, keys: dict[str, Seal], method: str
) -> None:
    take(odd, tmp_path, seal=keys[method])
    with pytest.raises(DataError, match=r"not the (key|one) it was"):
        put_back(odd, tmp_path, seal=keys[f"other {method}"])
    with pytest.raises(DataError, match=r"cannot be read; the checkpoint needs it|No such file"):
        put_back(odd, tmp_path)
    assert odd.value("SELECT count(*) FROM public.orders") == 507
    assert odd.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%%\\_\\_%%'", []) == []


def test_who_can_write_files_but_has_no_key_cannot_forge(odd: Session, tmp_path: Path, keys: dict[str, Seal]) -> None:
    take(odd, tmp_path, seal=keys["openssl"])
    folder = folder_of(odd, tmp_path)
    path = max(folder.glob("dump/*.gz.enc"), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    told = json.loads((folder / "manifest.json").read_bytes())
    told["files"][f"dump/{path.name}"].update(manifest.seal.describe(path, f"dump/{path.name}", b""))
    (folder / "manifest.json").write_bytes(manifest.Manifest(**told).sealed(b"guessed").encoded())
    with pytest.raises(DataError, match="not the one it was made with"):
        put_back(odd, tmp_path, seal=keys["openssl"])


def test_a_short_secret_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hunter2\n")
    with pytest.raises(DataError, match="fewer than 32 characters"):
        Seal.of({"method": "openssl", "key_file": str(tmp_path / "word")})


def test_retention_spares_the_protected_and_the_newest(odd: Session, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        take(odd, tmp_path, name, protect=name == "one")
    told = take(odd, tmp_path, "four", keep=2)
    assert told["pruned"] == ["two"]
    assert place(tmp_path, odd.login.database).names() == ["four", "one", "three"]
    assert {row[0] for row in odd.rows("SELECT name FROM plano_delivery.checkpoint")} == {"one", "three", "four"}


def test_a_protected_one_stays_until_it_is_no_longer(odd: Session, tmp_path: Path) -> None:
    take(odd, tmp_path, protect=True)
    here = place(tmp_path, odd.login.database)
    with pytest.raises(DataError, match="is protected: nothing was removed"):
        checkpoint.absent(odd, here, "before", book(tmp_path, odd.login.database), WHO)
    assert checkpoint.protect(odd, here, "before", True)["changed"] is False
    assert checkpoint.protect(odd, here, "before", False)["changed"] is True
    assert checkpoint.absent(odd, here, "before", book(tmp_path, odd.login.database), WHO)["changed"] is True
    assert checkpoint.absent(odd, here, "before", book(tmp_path, odd.login.database), WHO)["changed"] is False
    assert not here.of("before").exists()


def test_what_needs_another_schema_is_refused(session: Session, tmp_path: Path) -> None:
    session.execute("CREATE SCHEMA common")
    session.execute("CREATE TYPE common.kind AS ENUM ('a')")
    session.execute("CREATE TABLE public.t (k common.kind)")
    with pytest.raises(DataError, match=r"table public.t needs type common.kind.*Take the other schema"):
        take(session, tmp_path, schemas=("public",))
    take(session, tmp_path, schemas=("public", "common"))


@pytest.mark.parametrize(
    "schemas, words",
    [
        ((), "name at least one"),
        (("nowhere",), "has no schema nowhere"),
        (("plano_delivery",), "this collection's own"),
    ],
)
def test_schemas_that_cannot_be_taken(session: Session, tmp_path: Path, schemas: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        take(session, tmp_path, schemas=schemas)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b", "x" * 101])
def test_a_name_that_leads_elsewhere_is_none(session: Session, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="a name is 1 to 100"):
        take(session, tmp_path, name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte: the one that tools/data_tests gives its containers, which may not mount, or one of its own."""
    given = os.environ.get("PLANO_SMALL_DISK")
    if given:
        yield Path(given)
        return
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    ).returncode:
        pytest.skip("this container may not mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_nothing(session: Session, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session.execute(
        "CREATE TABLE public.t AS SELECT string_agg(md5(random()::text), '') AS v FROM generate_series(1, 90000) n GROUP BY n % 100"
    )
    with pytest.raises(DataError, match=r"has \d+ bytes free and the checkpoint may take \d+"):
        take(session, small_disk, schemas=("public",))
    monkeypatch.setattr(checkpoint, "SHARE", 0.0)  # the estimate was too low
    with pytest.raises(DataError, match="No space left on device"):
        take(session, small_disk, schemas=("public",))
    assert place(small_disk, session.login.database).names() == []
    assert list((small_disk / "checkpoints" / session.login.database).iterdir()) == []
    assert entries(session, small_disk)[-1] == ("checkpoint", "before", "failed")


def test_a_client_of_another_version_is_refused(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "server_version", lambda _session: (99, "99.1"))
    with pytest.raises(DataError, match=r"no pg_dump and pg_restore of version 99 .*postgresql-client-99"):
        take(session, tmp_path, schemas=("public",))


@pytest.mark.parametrize("step", ["snapshot", "dump", "listing", "encrypt", "manifest", "rename", "record"])
def test_a_lost_connection_leaves_a_whole_checkpoint_or_none(
    odd: Session, server: Server, tmp_path: Path, step: str
) -> None:
    def lose(now: str) -> None:
        if now == step:
            server.sql(
                f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{odd.login.database}' AND usename = 'data'"
            )

    database = odd.login.database
    with pytest.raises(
        DataError, match=r"terminating connection|connection is lost|closed|server closed|unexpectedly|is lost"
    ):
        checkpoint.present(
            odd, place(tmp_path, database), Order("before", SCHEMAS), book(tmp_path, database), WHO, at=lose
        )
        assert odd.value("SELECT 1") == 1  # a step that needs the server no more
    with server.session(database) as again:
        assert not [path for path in folder_of(odd, tmp_path).parent.iterdir() if path.name.startswith(".")]
        assert take(again, tmp_path)["changed"] is True or step == "rename"
        checkpoint.verify(place(tmp_path, database), "before", book(tmp_path, database), WHO)


def test_a_lock_on_a_table_is_waited_for_as_told(odd: Session, server: Server, tmp_path: Path) -> None:
    with server.session(odd.login.database) as other, server.session(odd.login.database, lock_seconds=0.3) as hasty:
        other.execute("BEGIN")
        other.execute("LOCK TABLE public.orders IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DataError, match=r"lock timeout|not given within|Lock"):
            take(hasty, tmp_path)
        other.execute("ROLLBACK")
        assert take(hasty, tmp_path)["changed"] is True
