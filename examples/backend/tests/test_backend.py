"""The built artifacts against a real PostgreSQL."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from real import PASSWORD, Backend, Process, wait_for

HEADER = "external_id,name,email,valid_from,valid_until\n"
THREE = (
    HEADER
    + "c1,Ana,ana@example.com,2025-01-01,\n"
    + "c2,Bento,bento@example.com,2025-01-01,2025-06-30\n"
    + "c3,Clara,clara@example.com,2025-07-01,\n"
)
RUN = "6f6ff9d6-5d0a-4f4e-9c43-1c22d54d2a51"


def sample(process: Process, name: str) -> float:
    """The value of one metric, labels included in its name."""
    lines = process.get("/metrics").text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " "))


def test_a_file_is_imported_once_and_only_changes_are_written(backend: Backend) -> None:
    backend.migrate("1.1.0")
    process = backend.serve("1.1.0")

    first = process.import_csv(THREE, Run_Id=RUN)
    assert first.status == 201
    assert first.json["run_id"] == RUN
    assert (first.json["inserted"], first.json["updated"], first.json["unchanged"]) == (3, 0, 0)

    second = process.import_csv(THREE.replace("Bento", "Benta"))
    assert (second.json["inserted"], second.json["updated"], second.json["unchanged"]) == (0, 1, 2)
    runs = {client["external_id"]: client["run_id"] for client in process.get("/clients").json}
    assert runs == {"c1": RUN, "c2": second.json["run_id"], "c3": RUN}

    again = process.import_csv(THREE, Run_Id=RUN)
    assert (again.status, again.json["error"]["code"]) == (409, "run_exists")
    assert backend.database.sql("SELECT name FROM clients WHERE external_id = 'c2'") == "Benta"
    assert [UUID(entry["run_id"]) for entry in process.get("/imports").json][1] == UUID(RUN)
    assert sample(process, 'plano_sample_imports_total{outcome="accepted"}') == 2
    assert sample(process, 'plano_sample_imports_total{outcome="rejected"}') == 1
    assert sample(process, 'plano_sample_imported_clients_total{change="unchanged"}') == 2


def test_a_file_with_faults_names_all_of_them_and_changes_nothing(backend: Backend) -> None:
    backend.migrate("1.1.0")
    process = backend.serve("1.1.0")
    answer = process.import_csv(HEADER + "c1,Ana,ana@example.com,2025-01-01,\nc1,,nobody,2025-02-30,2024-01-01\nc4,x\n")
    assert answer.status == 422
    assert answer.json["error"]["code"] == "faulty_file"
    assert [(fault["line"], fault["column"]) for fault in answer.json["error"]["faults"]] == [
        (3, "name"), (3, "email"), (3, "valid_from"), (3, "external_id"), (4, None),
    ]  # fmt: skip
    assert process.get("/clients").json == []
    assert process.import_csv(HEADER + "x" * (10 * 2**20 + 1)).status == 413


def test_a_distribution_shares_every_cent_among_the_valid_clients(backend: Backend) -> None:
    backend.migrate("1.1.0")
    process = backend.serve("1.1.0")
    process.import_csv(THREE)
    body = {"name": "March", "total_cents": 1001, "as_of": "2025-03-31"}

    made = process.request("POST", "/distributions", body, Run_Id=RUN)
    assert (made.status, made.json["recipients"], made.json["run_id"]) == (201, 2, RUN)
    number = made.json["id"]
    results = process.get(f"/distributions/{number}/results").json
    assert [(one["external_id"], one["share_cents"]) for one in results] == [("c1", 501), ("c2", 500)]
    assert process.get(f"/distributions/{number}").json == made.json
    assert process.get("/distributions").json == [made.json]
    assert backend.database.sql("SELECT DISTINCT run_id FROM results") == RUN

    assert process.request("POST", "/distributions", body, Run_Id=RUN).status == 409
    nobody = process.request("POST", "/distributions", body | {"as_of": "2020-01-01"})
    assert (nobody.status, nobody.json["error"]["message"]) == (422, "no client is valid on 2020-01-01")
    assert process.get("/distributions/99").json["error"]["message"] == "there is no distribution 99"
    assert process.get("/distributions/99/results").status == 404
    wrong = process.request("POST", "/distributions", {"name": "", "total_cents": -1, "colour": "red"})
    assert [fault["field"] for fault in wrong.json["error"]["faults"]] == [
        "body.name", "body.total_cents", "body.colour",
    ]  # fmt: skip
    assert sample(process, 'plano_sample_distributions_total{outcome="accepted"}') == 1
    assert sample(process, "plano_sample_results_total") == 2


def test_the_old_version_serves_on_while_and_after_the_new_one_migrates(backend: Backend) -> None:
    first = json.loads(backend.migrate("1.0.0").stdout)
    assert (first["changed"], first["before"], first["after"]) == (True, None, "0001")
    old = backend.serve("1.0.0")
    assert old.get("/version").json == {
        "version": "1.0.0", "artifact_sha256": "ab" * 32, "release": "r-1.0.0", "schema": "0001",
    }  # fmt: skip
    refused = old.import_csv("external_id,name,email,valid_from,segment\nc1,Ana,ana@example.com,2025-01-01,gold\n")
    assert "unknown" in refused.json["error"]["faults"][0]["message"]
    assert old.get("/clients?segment=gold").status == 422

    early = backend.spawn("1.1.0")
    wait_for(lambda: _answers(early))
    assert early.get("/health").json["reason"] == "the database has schema 0001; this release needs 0002"

    statuses: list[int] = []
    done = threading.Event()

    def load() -> None:
        number = 0
        while not done.is_set():
            number += 1
            # The same statements again and again are prepared on the server, where a changed table could break them.
            statuses.append(old.get("/clients").status)
            statuses.append(old.import_csv(HEADER + f"c{number % 9},N{number},n@example.com,2025-01-01,\n").status)
            body = {"name": "load", "total_cents": 100, "as_of": "2025-03-31"}
            statuses.append(old.request("POST", "/distributions", body).status)

    with ThreadPoolExecutor(2) as workers:
        running = [workers.submit(load) for _worker in range(2)]
        wait_for(lambda: len(statuses) > 60)
        assert json.loads(backend.migrate("1.1.0", "--check").stdout)["changed"] is True
        moved = json.loads(backend.migrate("1.1.0").stdout)
        before = len(statuses)
        wait_for(lambda: len(statuses) > before + 60)
        done.set()
        for one in running:
            one.result()
    assert (moved["changed"], moved["before"], moved["after"]) == (True, "0001", "0002")
    assert set(statuses) == {200, 201}
    assert old.healthy()
    assert wait_for(early.healthy)

    assert json.loads(backend.migrate("1.1.0").stdout)["changed"] is False
    newer = json.loads(backend.migrate("1.0.0").stdout)
    assert (newer["changed"], newer["after"]) == (False, "0002")
    assert (
        backend.database.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == "plano_owner"
    )

    early.import_csv("external_id,name,email,valid_from,segment\ng1,Gil,gil@example.com,2025-01-01,gold\n")
    made = early.request("POST", "/distributions", {"name": "gold", "total_cents": 7, "segment": "gold"})
    assert (made.json["recipients"], made.json["segment"]) == (1, "gold")
    assert [one["external_id"] for one in early.get("/clients?segment=gold").json] == ["g1"]
    # A file without the column, also one that 1.0.0 imports, leaves the segments as they are.
    old.import_csv(HEADER + "g1,Gilda,gil@example.com,2025-01-01,\n")
    assert early.get("/clients?segment=gold").json[0]["name"] == "Gilda"


def _answers(process: Process) -> bool:
    try:
        return process.get("/version").status == 200
    except OSError:
        return False


def test_two_migrations_at_once_wait_for_each_other(backend: Backend) -> None:
    backend.artifacts.python("1.1.0")
    with ThreadPoolExecutor(3) as workers:
        outcomes = [json.loads(done.stdout) for done in workers.map(backend.migrate, ["1.1.0"] * 3)]
    assert sorted(outcome["changed"] for outcome in outcomes) == [False, False, True]


def test_a_migration_that_cannot_get_its_table_gives_up_and_changes_nothing(backend: Backend) -> None:
    backend.migrate("1.0.0")
    with backend.database.locked("clients"):
        failed = backend.migrate("1.1.0", check=False)
    assert failed.returncode == 1
    assert "nothing was changed: canceling statement due to lock timeout" in failed.stderr
    assert backend.database.sql("SELECT version_num FROM alembic_version") == "0001"


def test_the_broken_version_serves_but_its_health_is_500(backend: Backend) -> None:
    backend.migrate("1.2.0-broken")
    process = backend.spawn("1.2.0-broken")
    wait_for(lambda: _answers(process))
    assert process.get("/health").status == 500
    assert process.get("/version").json["version"] == "1.2.0-broken"
    assert process.import_csv(THREE).status == 201


def test_the_crashing_version_is_healthy_and_exits_after_five_seconds(backend: Backend) -> None:
    backend.migrate("1.3.0-crash")
    started = time.monotonic()
    process = backend.serve("1.3.0-crash")
    assert process.popen.wait(10) == 1
    assert time.monotonic() - started >= 5


def test_a_restart_of_the_database_is_survived(backend: Backend) -> None:
    backend.migrate("1.1.0")
    process = backend.serve("1.1.0")
    process.import_csv(THREE)

    # A short restart costs no request: dead connections are noticed before they are used.
    backend.database.stop()
    backend.database.start()
    assert process.get("/clients").status == 200

    backend.database.stop()
    try:
        down = process.get("/health")
        assert down.status == 503
        assert "Connection refused" in down.json["reason"]
        unavailable = process.get("/clients")
        assert (unavailable.status, unavailable.json["error"]["code"]) == (503, "database_unavailable")
        assert process.get("/version").status == 200
    finally:
        backend.database.start()
    wait_for(process.healthy, 10)
    assert len(process.get("/clients").json) == 3


def test_it_starts_without_a_database_and_says_what_is_wrong(backend: Backend) -> None:
    backend.database.stop()
    try:
        process = backend.spawn("1.1.0")
        wait_for(lambda: _answers(process))
        assert process.get("/health").status == 503
    finally:
        backend.database.start()
    wait_for(lambda: "no schema" in process.get("/health").json["reason"])
    backend.migrate("1.1.0")
    wait_for(process.healthy)
    backend.database.sql("ALTER ROLE plano_app PASSWORD 'other'")
    try:
        assert process.healthy()  # connections that are open stay good
        late = backend.spawn("1.1.0")
        wait_for(lambda: _answers(late))
        assert "password authentication failed" in late.get("/health").json["reason"]
    finally:
        backend.database.sql(f"ALTER ROLE plano_app PASSWORD '{PASSWORD}'")


def test_a_request_that_runs_when_the_process_is_stopped_is_finished(backend: Backend) -> None:
    backend.migrate("1.1.0")
    process = backend.serve("1.1.0")
    with ThreadPoolExecutor(1) as worker:
        with backend.database.locked("clients") as waiting:
            slow = worker.submit(process.import_csv, THREE)
            wait_for(waiting)
            process.terminate()
            wait_for(lambda: not _answers(process))  # new requests are refused at once
            assert process.popen.poll() is None
        assert slow.result().status == 201
    assert process.popen.wait(5) in (0, -signal.SIGTERM)
    assert backend.database.sql("SELECT count(*) FROM clients") == "3"


def test_missing_settings_are_told_all_at_once(backend: Backend) -> None:
    python = backend.artifacts.python("1.1.0")
    done = subprocess.run([python, "-m", "plano_sample", "serve"], env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "PORT" in done.stderr and "DATABASE_URL" in done.stderr


def test_unknown_paths_and_methods_are_clear_errors_and_one_time_series(backend: Backend) -> None:
    backend.migrate("1.1.0")
    process = backend.serve("1.1.0")
    assert process.get("/nothing").json == {"error": {"code": "not_found", "message": "Not Found"}}
    process.get("/nothing/else")
    assert process.request("DELETE", "/clients").json["error"]["code"] == "method_not_allowed"
    labels = 'method="GET",route="unmatched",status="404"'
    assert sample(process, f"plano_sample_http_requests_total{{{labels}}}") == 2
    info = 'artifact_sha256="' + "ab" * 32 + '",release="r-1.1.0",schema="0002",version="1.1.0"'
    text = process.get("/metrics").text
    assert "plano_sample_build_info{" in text
    assert all(label in text for label in info.split(","))


def test_check_loads_everything_without_settings(backend: Backend) -> None:
    python = backend.artifacts.python("1.1.0")
    done = subprocess.run([python, "-m", "plano_sample", "check"], env={}, capture_output=True, text=True, check=True)
    assert done.stdout == "plano_sample 1.1.0 can be loaded\n"


def test_a_large_file_does_not_hold_up_other_requests(backend: Backend) -> None:
    backend.migrate("1.1.0")
    process = backend.serve("1.1.0")
    rows = "".join(f"c{number},Name {number},n{number}@example.com,2025-01-01,\n" for number in range(50_000))
    slowest = 0.0
    with ThreadPoolExecutor(1) as worker:
        large = worker.submit(process.import_csv, HEADER + rows)
        while not large.done():
            started = time.monotonic()
            assert process.healthy()
            slowest = max(slowest, time.monotonic() - started)
    assert large.result().json["inserted"] == 50_000
    assert slowest < 2
