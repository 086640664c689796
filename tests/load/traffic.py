"""Users of the backend: they ask at a fixed rate, every request counts, and none is asked twice.

HTTP/1.1 by hand over asyncio streams, because a client library that repeats a request on a new connection (aiohttp does
so for GET, PUT and DELETE, http clients with a pool do so silently) hides exactly the failures that are looked for.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

# As long as HAProxy itself waits for the backend.
ANSWER_SECONDS = 60.0
Pace = Callable[[int], Awaitable[None]]
_serial = itertools.count(1)
_epoch = time.time() - time.monotonic()


def now() -> float:
    """Seconds since 1970, as in the ledger, on a clock that never jumps during a run."""
    return _epoch + time.monotonic()


class Failure(Exception):
    """What a user would call an error."""


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    status: int
    body: bytes


class Connection:
    """One connection; it is used for one request after the other until the server announces its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self.serial = next(_serial)
        self.ended = False
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        try:
            return cls(*await asyncio.open_connection(host, port), host)
        except OSError as error:
            raise Failure(f"no connection: {error}") from error

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Iterable[str] = (), pace: Pace | None = None
    ) -> Answer:
        """Send one request and return the answer; anything but 2xx is a failure. *pace* is awaited before every byte of the
        body, with the number of bytes left."""
        if self._reader.at_eof():
            raise Failure("kept connection closed without notice")
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(body)}", *headers, "", ""]
        try:
            self._writer.write("\r\n".join(lines).encode())
            if pace:
                for place in range(len(body)):
                    await pace(len(body) - place)
                    self._writer.write(body[place : place + 1])
                    await self._writer.drain()
            else:
                self._writer.write(body)
            await self._writer.drain()
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._read()
        except TimeoutError as error:
            raise Failure(f"no answer within {ANSWER_SECONDS:g} s") from error
        except (OSError, EOFError, ValueError, LookupError) as error:
            raise Failure(f"cut off: {error!r}") from error
        if not 200 <= answer.status < 300:
            raise Failure(f"status {answer.status}: {answer.body[:120]!r}")
        return answer

    async def _read(self) -> Answer:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        protocol, status = head[0].split(" ")[:2]
        if protocol != "HTTP/1.1":
            raise ValueError(f"not an HTTP/1.1 answer: {head[0]}")
        fields = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in head[1:])}
        self.ended = fields.get("connection", "").lower() == "close"
        # A body that only ends with the connection could be cut off unnoticed, so there must be a length.
        return Answer(int(status), await self._reader.readexactly(int(fields["content-length"])))

    def close(self) -> None:
        self._writer.close()


@dataclass(frozen=True)
class Request:
    """One request as its user saw it; times are seconds since 1970."""

    kind: str
    due: float
    done: float
    connection: int
    failure: str
    seen: str  # what the reader of the answer made of it
    late: float  # how long after it could be made it was: that is not the server's doing

    @property
    def seconds(self) -> float:
        """From the moment it was due: a request that had to wait for the one before it was slow, too."""
        return self.done - self.due


Act = Callable[[Connection], Awaitable[str]]


@dataclass(frozen=True)
class Kind:
    """Users of one kind: *users* of them, each with a request every *period* seconds."""

    name: str
    users: int
    period: float
    kept: bool  # one connection for all requests of a user, or a new one for each
    act: Act

    @property
    def rate(self) -> float:
        return self.users / self.period


@dataclass
class Traffic:
    """All users together, from enter to exit."""

    host: str
    port: int
    kinds: list[Kind]
    requests: list[Request] = field(default_factory=list)

    async def __aenter__(self) -> Traffic:
        self._stop = asyncio.Event()
        self.begin = now()
        self._users = [
            # No two kinds begin together: nobody's users all click at the same moment.
            asyncio.create_task(self._user(kind, self.begin + kind.period * (number + part) / kind.users))
            for kind, part in zip(self.kinds, (place / len(self.kinds) for place in itertools.count()))
            for number in range(kind.users)
        ]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._users)
        self.end = now()

    @property
    def failures(self) -> list[Request]:
        return [request for request in self.requests if request.failure]

    async def _user(self, kind: Kind, due: float) -> None:
        connection: Connection | None = None
        free = due
        while not await self._stopped_before(due):
            late = now() - max(due, free)
            seen = failure = ""
            serial = 0
            try:
                connection = connection or await Connection.open(self.host, self.port)
                serial = connection.serial
                seen = await kind.act(connection)
            except Failure as error:
                failure = str(error)
            self.requests.append(Request(kind.name, due, now(), serial, failure, seen, late))
            free = self.requests[-1].done
            if connection and (failure or connection.ended or not kind.kept):
                connection.close()
                connection = None
            due += kind.period
        if connection:
            connection.close()

    async def _stopped_before(self, due: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, due - now())):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True
