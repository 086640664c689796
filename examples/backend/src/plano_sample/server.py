"""Run the application on the loopback address until a signal ends it; requests that are running finish first."""

from __future__ import annotations

import asyncio
import logging
import os

import uvicorn

from plano_sample._release import FAULT, VERSION
from plano_sample.app import create_app
from plano_sample.settings import ServeSettings

# The unit's TimeoutStopSec must be longer.
GRACEFUL_SECONDS = 30
CRASH_AFTER_SECONDS = 5

_log = logging.getLogger("plano_sample")


def serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        create_app(settings),
        host="127.0.0.1",
        port=settings.port,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        access_log=False,  # the proxy in front writes one
        log_config=None,
        proxy_headers=False,
        server_header=False,
    )
    _log.info("version %s listens on 127.0.0.1:%d", VERSION, settings.port)
    asyncio.run(_run(uvicorn.Server(config)))


async def _run(server: uvicorn.Server) -> None:
    if FAULT == "crash":
        asyncio.get_running_loop().call_later(CRASH_AFTER_SECONDS, _crash)
    await server.serve()


def _crash() -> None:
    _log.critical("this release was built to exit %d seconds after its start", CRASH_AFTER_SECONDS)
    os._exit(1)
