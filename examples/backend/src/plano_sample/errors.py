"""Every error is JSON of one shape: {"error": {"code", "message", ...}}."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from plano_sample.csvfile import FaultyFileError
from plano_sample.store import NobodyValidError, RunExistsError

# A file with a wrong separator in every line shall not become an answer of hundreds of megabytes.
MOST_FAULTS_SHOWN = 1000


def answer(status: int, code: str, message: str, **details: Any) -> JSONResponse:
    """One error as JSON."""
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse({"error": {"code": code, "message": message, **details}}, status, headers)


def install(app: FastAPI) -> None:
    """Give every exception a request can end in its answer."""

    @app.exception_handler(FaultyFileError)
    async def faulty_file(_request: Request, error: FaultyFileError) -> JSONResponse:
        shown = [
            {"line": fault.line, "column": fault.column, "message": fault.message}
            for fault in error.faults[:MOST_FAULTS_SHOWN]
        ]
        return answer(422, "faulty_file", str(error), fault_count=len(error.faults), faults=shown)

    @app.exception_handler(RequestValidationError)
    async def invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            {"field": ".".join(str(part) for part in fault["loc"]), "message": fault["msg"]} for fault in error.errors()
        ]
        return answer(422, "invalid_request", "the request is not valid", faults=faults)

    @app.exception_handler(NobodyValidError)
    async def nobody_valid(_request: Request, error: NobodyValidError) -> JSONResponse:
        return answer(422, "no_valid_clients", str(error))

    @app.exception_handler(RunExistsError)
    async def run_exists(_request: Request, error: RunExistsError) -> JSONResponse:
        return answer(409, "run_exists", str(error))

    @app.exception_handler(HTTPException)
    async def http_error(_request: Request, error: HTTPException) -> JSONResponse:
        return answer(error.status_code, HTTPStatus(error.status_code).name.lower(), error.detail)

    @app.exception_handler(PoolTimeout)
    @app.exception_handler(psycopg.OperationalError)
    async def database_unavailable(*_arguments: object) -> JSONResponse:
        # A connection that is lost during COMMIT leaves the outcome open: only the run id makes a second try safe.
        message = "the database did not answer; the same request with the same Run-Id header is safe to repeat"
        return answer(503, "database_unavailable", message)

    @app.exception_handler(Exception)
    async def internal_error(_request: Request, error: Exception) -> JSONResponse:
        return answer(500, "internal_error", f"unexpected {type(error).__name__}; the log tells more")
