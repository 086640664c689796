"""What the users of the sample backend do, and whether all they wrote is there once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from traffic import Connection, Failure, Kind, Pace

# Clients of long ago: a distribution goes to those valid today, and stays as small as it is.
CLIENTS = "external_id,name,email,valid_from,valid_until\nload-{run},Load,load@example.org,2000-01-01,2000-12-31\n"
RECIPIENTS = "external_id,name,email,valid_from\n" + "".join(
    f"load-{number},Load,load@example.org,2000-01-01\n" for number in range(10)
)
NAME = "load-{run}"

# Everything above carries "load-" in its name, which is how it is found again and removed.
COUNT_IMPORTS = """
    SELECT i.run_id, count(*) FROM imports i JOIN clients c ON c.run_id = i.run_id AND c.external_id = i.file
    WHERE i.file LIKE 'load-%' GROUP BY 1"""
COUNT_DISTRIBUTIONS = """
    SELECT substr(d.name, 6), count(*) FROM distributions d
    WHERE d.name LIKE 'load-%' AND d.total_cents = (SELECT sum(share_cents) FROM results WHERE distribution_id = d.id)
    GROUP BY 1"""
REMOVE = """
    DELETE FROM results WHERE distribution_id IN (SELECT id FROM distributions WHERE name LIKE 'load-%');
    DELETE FROM distributions WHERE name LIKE 'load-%';
    DELETE FROM clients WHERE external_id LIKE 'load-%' AND id NOT IN (SELECT client_id FROM results);
    DELETE FROM imports WHERE file LIKE 'load-%' AND run_id NOT IN (SELECT run_id FROM clients)"""


@dataclass
class Writes:
    """What was asked to be written, and what of it the backend said it has."""

    tried: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)

    def faults(self, found: Mapping[str, int]) -> list[str]:
        """Compare with how often each run is *found* in the database; a write without an answer may be there or not."""
        return [
            *(f"{run} was acknowledged and is not there" for run in sorted(self.acknowledged - found.keys())),
            *(f"{run} is there {count} times" for run, count in sorted(found.items()) if count != 1),
            *(f"{run} is there and nobody asked for it" for run in sorted(found.keys() - self.tried)),
        ]


@dataclass
class Users:
    """Their writes are kept apart by what was written."""

    imports: Writes = field(default_factory=Writes)
    distributions: Writes = field(default_factory=Writes)

    async def bring_in(self, connection: Connection, pace: Pace | None = None) -> str:
        """Import one client. Were the request repeated on the way, its Run-Id would get the second one refused."""
        run = str(uuid.uuid4())
        self.imports.tried.add(run)
        path = f"/clients/import?file={NAME.format(run=run)}"
        answer = await connection.ask("POST", path, CLIENTS.format(run=run).encode(), [f"Run-Id: {run}"], pace)
        if json.loads(answer.body)["inserted"] != 1:
            raise Failure(f"one client was sent, the answer is {answer.body!r}")
        self.imports.acknowledged.add(run)
        return run

    async def distribute(self, connection: Connection) -> str:
        """Start a distribution, without a Run-Id: were the request repeated on the way, there would be two of its name."""
        run = str(uuid.uuid4())
        self.distributions.tried.add(run)
        body = json.dumps({"name": NAME.format(run=run), "total_cents": 100}).encode()
        await connection.ask("POST", "/distributions", body, ["Content-Type: application/json"])
        self.distributions.acknowledged.add(run)
        return run

    def kinds(self, long: bool) -> list[Kind]:
        """About 75 requests a second, which two cores answer beside the deploys they also do.

        There are fewer writers than the backend has connections to its database: all hosts share one disk here, and a commit
        that waits for it must not keep the readers waiting, too.
        """
        return [
            Kind(VERSION_KEPT, users=8, period=0.4, kept=True, act=read_version),
            Kind("GET /clients, kept", users=8, period=0.4, kept=True, act=read_clients),
            Kind("GET /version, new", users=8, period=0.4, kept=False, act=read_version),
            Kind("GET /clients, new", users=4, period=0.4, kept=False, act=read_clients),
            Kind("POST /clients/import, kept", users=1, period=0.5, kept=True, act=self.bring_in),
            Kind("POST /clients/import, new", users=1, period=0.5, kept=False, act=self.bring_in),
            # As long as uvicorn lets a connection idle: it closes it just when it would be used again.
            Kind("POST /distributions, kept 5 s", users=5, period=5.0, kept=True, act=self.distribute),
            # As long as a load balancer in front keeps its idle connections, and a little more.
            *([Kind("GET /version, kept 62 s", users=10, period=62.0, kept=True, act=read_version)] if long else []),
        ]


VERSION_KEPT = "GET /version, kept"


async def read_version(connection: Connection) -> str:
    """Return the release that answers."""
    return str(json.loads((await connection.ask("GET", "/version")).body)["release"])


async def read_clients(connection: Connection) -> str:
    if not json.loads((await connection.ask("GET", "/clients?limit=20")).body):
        raise Failure("no clients, and there are some")
    return ""
