"""The HTTP interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID, uuid4

import anyio.lowlevel
from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from plano_sample import csvfile, database, errors, models, store
from plano_sample._release import FAULT, SCHEMA, VERSION
from plano_sample.features import SEGMENTS
from plano_sample.metrics import Metrics, Observed
from plano_sample.settings import ServeSettings

LARGEST_FILE = 10 * 1024 * 1024


def run_id(header: Annotated[UUID | None, Header(alias="Run-Id")] = None) -> UUID:
    """The run a change belongs to: the caller's, which makes a repeated request harmless, or a new one."""
    return header or uuid4()


RunId = Annotated[UUID, Depends(run_id)]
Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[int, Query(ge=0, le=2**63 - 1)]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


def create_app(settings: ServeSettings) -> FastAPI:
    """The application; its pool opens when it starts and closes when it stops."""
    pool = database.create_pool(settings.database)
    metrics = Metrics(settings, pool)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await _warm()
        async with pool:
            yield

    app = FastAPI(
        title="plano-sample", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.add_middleware(Observed, metrics=metrics)
    errors.install(app)

    @app.get("/health")
    async def health() -> JSONResponse:
        if FAULT == "unhealthy":
            return JSONResponse({"status": "failed", "reason": "this release was built to be unhealthy"}, 500)
        reason = await database.failure(pool, settings.database)
        if reason:
            return JSONResponse({"status": "failed", "reason": reason}, 503)
        return JSONResponse({"status": "ok"})

    @app.get("/version")
    async def version() -> dict[str, str]:
        return {
            "version": VERSION,
            "artifact_sha256": settings.artifact_sha256,
            "release": settings.release,
            "schema": SCHEMA,
        }

    @app.get("/metrics")
    async def metrics_text() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.post("/clients/import", status_code=201)
    async def import_clients(
        request: Request, run: RunId, file: Annotated[str, Query(max_length=200)] = "clients.csv"
    ) -> models.ImportSummary:
        try:
            data = await _body(request)
            # A large file takes its time to check; other requests go on meanwhile.
            content = await asyncio.to_thread(csvfile.parse, data, segments=SEGMENTS)
            summary = await store.import_clients(pool, run, file, content)
        except (csvfile.FaultyFileError, store.RunExistsError, HTTPException):
            metrics.imports.labels("rejected").inc()
            raise
        except BaseException:
            metrics.imports.labels("failed").inc()
            raise
        metrics.imports.labels("accepted").inc()
        for change in ("inserted", "updated", "unchanged"):
            metrics.imported.labels(change).inc(getattr(summary, change))
        return summary

    @app.get("/imports")
    async def imports(limit: Limit = 100) -> list[models.ImportSummary]:
        return await store.imports(pool, limit=limit)

    @app.get("/clients")
    async def clients(query: Annotated[models.ClientQuery, Query()]) -> list[models.Client]:
        return await store.clients(pool, query)

    @app.post("/distributions", status_code=201)
    async def start_distribution(new: models.NewDistribution, run: RunId) -> models.Distribution:
        try:
            made = await store.start_distribution(pool, run, new)
        except (store.NobodyValidError, store.RunExistsError):
            metrics.distributions.labels("rejected").inc()
            raise
        except BaseException:
            metrics.distributions.labels("failed").inc()
            raise
        metrics.distributions.labels("accepted").inc()
        metrics.results.inc(made.recipients)
        return made

    @app.get("/distributions")
    async def distributions(limit: Limit = 100) -> list[models.Distribution]:
        return await store.distributions(pool, limit=limit)

    @app.get("/distributions/{number}")
    async def distribution(number: Number) -> models.Distribution:
        found = await store.distribution(pool, number)
        if found is None:
            raise _no_distribution(number)
        return found

    @app.get("/distributions/{number}/results")
    async def results(number: Number, after: After = 0, limit: Limit = 100) -> list[models.Result]:
        found = await store.results(pool, number, after=after, limit=limit)
        if not found and await store.distribution(pool, number) is None:
            raise _no_distribution(number)
        return found

    return app


async def _warm() -> None:
    """Load what the libraries leave for the first request that needs it, while all others would wait."""
    await anyio.lowlevel.checkpoint()
    await asyncio.to_thread(csvfile.parse, csvfile.SAMPLE, segments=False)


def _no_distribution(number: int) -> HTTPException:
    return HTTPException(404, f"there is no distribution {number}")


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST_FILE:
            raise HTTPException(413, f"the file is larger than {LARGEST_FILE // 2**20} MiB")
    return bytes(data)
