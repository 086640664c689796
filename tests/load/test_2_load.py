"""Nobody is let down by a deploy, a rollback, a release that does not work, or by HAProxy's own reload and upgrade.

How long requests took is told in the table, not asserted: the machine is somebody else's too.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import scenario
import workload
from load_environment import PORT, Environment
from traffic import Traffic

REUSE = Path(__file__).with_name("idle_backend.py")


def test_a_backend_that_stops_is_seen(environment: Environment) -> None:
    """A check that cannot fail proves nothing: this is the one that must."""

    async def go() -> Traffic:
        async with Traffic(environment.address, PORT, workload.Users().kinds(long=False)) as traffic:
            await asyncio.sleep(6)
        return traffic

    unit = f"plano-backend@{environment.switches()[-1].slot}.service"
    environment.script(f"systemctl stop {unit}")
    try:
        failures = asyncio.run(go()).failures
    finally:
        environment.script(f"systemctl start {unit}")
        environment.wait_until_it_serves()
    assert {failure.failure[:10] for failure in failures} == {"status 503"}


def test_a_backend_may_close_idle_connections_when_it_likes(environment: Environment) -> None:
    """The deployed configuration, in front of a backend that closes each connection just when it would be used again."""
    config = environment.on(environment.app, "cat", "/etc/haproxy/haproxy.cfg")
    assert environment.on(environment.app, "python3", "-", config, text=REUSE.read_text()) == (
        "GET 201\nGET 201\nPOST 201\nPOST 201\n"
    )


def test_every_operation_did_what_it_should(record: scenario.Record) -> None:
    assert [done.fault for done in record.operations if done.fault] == []


def test_no_request_failed(record: scenario.Record) -> None:
    assert [
        f"{failure.kind} at {failure.done - record.traffic.begin:.1f} s: {failure.failure}"
        for failure in record.traffic.failures
    ] == []


def test_the_load_was_what_it_was_meant_to_be(record: scenario.Record) -> None:
    seconds = record.traffic.end - record.traffic.begin
    for kind in record.traffic.kinds:
        made = sum(request.kind == kind.name for request in record.traffic.requests)
        assert made >= 0.95 * kind.rate * seconds - kind.users, f"{kind.name}: {made} in {seconds:.0f} s"


def test_every_acknowledged_write_is_there_once(record: scenario.Record, environment: Environment) -> None:
    imports, distributions = record.users.imports, record.users.distributions
    assert len(imports.acknowledged) > 100
    assert len(distributions.acknowledged) > 100
    assert imports.faults(environment.counts(workload.COUNT_IMPORTS)) == []
    assert distributions.faults(environment.counts(workload.COUNT_DISTRIBUTIONS)) == []


def test_a_confirmed_release_gives_every_answer_from_then_on(record: scenario.Record) -> None:
    assert scenario.wrong_release(record) == []


def test_kept_connections_go_over_to_the_new_release(record: scenario.Record) -> None:
    deploys = sum(done.name in ("deploy", "rollback") for done in record.operations)
    counts = scenario.carried_over(record, workload.VERSION_KEPT)
    assert len(counts) == deploys
    assert min(counts) > 0


def test_long_requests_end_where_they_began(record: scenario.Record, environment: Environment) -> None:
    assert record.uploads
    journal = environment.on(environment.app, "journalctl", "--unit=haproxy", "--output=cat", "--no-pager")
    for upload in record.uploads:
        assert upload.failure == ""
        assert upload.end - upload.begin >= scenario.UPLOAD_SECONDS
        assert scenario.answered_by(journal, upload.run) == f"{record.serving(upload.begin).slot} 201"
        assert [switch for switch in record.switches if upload.begin < switch.begin and switch.end < upload.end]
