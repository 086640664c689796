"""The users see every failure there is, and the evidence is read the right way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import scenario
import traffic
from load_environment import Switch
from scenario import Record
from traffic import Connection, Failure, Kind, Request, Traffic
from workload import VERSION_KEPT, Users, Writes

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def get(connection: Connection) -> str:
    return (await connection.ask("GET", "/")).body.decode()


def visit(serve: Serve, kept: bool = True, users: int = 1, period: float = 0.05, seconds: float = 0.5) -> Traffic:
    """Let users ask a server for a while."""

    async def go() -> Traffic:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with Traffic("127.0.0.1", port, [Kind("GET", users, period, kept, get)]) as found:
            await asyncio.sleep(seconds)
        server.close()
        return found

    return asyncio.run(go())


def answers(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
        except EOFError:
            pass

    return serve


def words(found: Traffic) -> str:
    return " | ".join(failure.failure for failure in found.failures)


def test_a_good_server_lets_nobody_down_and_connections_are_kept():
    found = visit(answers(OK), users=3, seconds=2)
    assert len(found.requests) >= 20
    assert found.failures == []
    assert len({request.connection for request in found.requests}) == 3


def test_new_connections_are_new():
    found = visit(answers(OK), kept=False)
    assert len({request.connection for request in found.requests}) == len(found.requests) >= 5


def test_a_kept_connection_closed_under_a_request_is_a_failure_and_nothing_is_asked_twice():
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")
        asked += 1

    found = visit(serve)
    assert "cut off" in words(found)
    assert len(found.failures) >= len(found.requests) // 2 > 1
    assert asked == len(found.requests)


def test_a_kept_connection_closed_without_notice_is_a_failure():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)

    assert "closed without notice" in words(visit(serve))


def test_a_close_that_was_announced_is_none():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    found = visit(serve)
    assert found.failures == []
    assert len({request.connection for request in found.requests}) == len(found.requests) >= 5


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "status 302"),
        (b"HTTP/1.1 200 OK\r\n\r\nwithout a length", "cut off"),
        (b"nonsense\r\n\r\n", "cut off"),
    ],
)
def test_an_answer_that_is_no_success_is_a_failure(answer, expected):
    found = visit(answers(answer))
    assert len(found.failures) == len(found.requests) > 1
    assert expected in words(found)


def test_half_an_answer_is_a_failure():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])

    assert "cut off" in words(visit(serve))


def test_silence_is_a_failure(monkeypatch):
    monkeypatch.setattr(traffic, "ANSWER_SECONDS", 0.1)
    assert "no answer within 0.1 s" in words(visit(answers(b"")))


def test_a_server_that_is_not_there_is_a_failure():
    async def go() -> Traffic:
        async with Traffic("127.0.0.1", 1, [Kind("GET", 2, 0.05, False, get)]) as found:
            await asyncio.sleep(0.2)
        return found

    found = asyncio.run(go())
    assert len(found.failures) == len(found.requests) > 2
    assert "no connection" in words(found)


def test_a_request_that_had_to_wait_for_the_one_before_it_was_slow():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.write(OK)
        await answers(OK)(reader, writer)

    found = visit(serve)
    assert sum(request.seconds > 0.1 for request in found.requests) >= 3


# -- the evidence ------------------------------------------------------------------------------------------------------------


def test_writes_that_are_lost_doubled_or_strange_are_found():
    writes = Writes(tried={"a", "b", "c", "d"}, acknowledged={"a", "b", "c"})
    assert writes.faults({"a": 1, "b": 1, "c": 1}) == []
    assert writes.faults({"a": 1, "b": 1, "c": 1, "d": 1}) == []
    assert writes.faults({"a": 2, "b": 1, "x": 1}) == [
        "c was acknowledged and is not there",
        "a is there 2 times",
        "x is there and nobody asked for it",
    ]


def recorded(*requests: tuple[float, str, int], failure: str = "") -> Record:
    """A run with one switch, from r1 to r2, at 10 to 11 s."""
    found = Traffic("", 0, [])
    found.begin, found.end = 0.0, 20.0
    found.requests = [Request(VERSION_KEPT, at, at + 0.1, serial, failure, seen, 0.0) for at, seen, serial in requests]
    switches = [Switch("r1", "blue", "deploy", -9.0, -8.0), Switch("r2", "green", "deploy", 10.0, 11.0)]
    return Record(found, Users(), 5.0, switches=switches)


def test_the_old_release_may_not_answer_once_the_new_one_is_confirmed():
    assert scenario.wrong_release(recorded((9, "r1", 1), (10.5, "r1", 1), (12, "r2", 1))) == []
    assert len(scenario.wrong_release(recorded((9, "r1", 1), (12, "r1", 1)))) == 1


def test_a_connection_is_carried_over_only_when_the_same_one_answers_from_the_new_release():
    assert scenario.carried_over(recorded((9, "r1", 1), (12, "r2", 1)), VERSION_KEPT) == [1]
    assert scenario.carried_over(recorded((9, "r1", 1), (12, "r2", 2)), VERSION_KEPT) == [0]
    assert scenario.carried_over(recorded((9, "r1", 1), (12, "r1", 1)), VERSION_KEPT) == [0]


def test_what_served_at_a_moment_is_the_last_confirmed():
    record = recorded()
    assert [record.serving(moment).slot for moment in (0, 10.9, 11, 20)] == ["blue", "blue", "green", "green"]


def test_the_log_tells_the_slot_and_the_status():
    line = '1.2.3.4:5 [24/Nov/2026] backend backend_green/green 0/0/0/3/30012 201 308 - - ---- 1/1 "POST /clients/import?file=load-{} HTTP/1.1"'
    journal = line.format("b").replace("green", "blue") + "\n" + line.format("a")
    assert scenario.answered_by(journal, "a") == "green 201"
    assert scenario.answered_by(journal, "b") == "blue 201"
    assert scenario.answered_by(journal, "c") == "not in HAProxy's log"


def test_the_table_counts_failures_and_compares_with_the_steady_time():
    record = recorded((1, "r1", 1), (2, "r1", 1), (10.2, "r2", 1), failure="cut off")
    rows = [line.split(" | ") for line in scenario.table(record).splitlines()]
    assert rows[2][:4] == ["| steady, nothing going on", "2", "2", "2"]
    assert next(row for row in rows if row[0] == "| the whole run")[2:4] == ["3", "3"]


def test_a_percentile_is_a_value_that_was_seen():
    assert scenario.percentile([5, 1, 4, 2, 3], 0.5) == 3
    assert scenario.percentile(range(1, 101), 0.99) == 99
    assert scenario.percentile([7], 0.99) == 7


def test_a_status_that_is_no_success_raises():
    async def go() -> None:
        server = await asyncio.start_server(answers(OK.replace(b"200", b"409")), "127.0.0.1", 0)
        async with server:
            connection = await Connection.open("127.0.0.1", server.sockets[0].getsockname()[1])
            with pytest.raises(Failure, match="status 409"):
                await Users().bring_in(connection)
            connection.close()

    asyncio.run(go())
