"""What comes in and what goes out, as JSON."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from plano_sample.features import SEGMENTS

SEGMENT = r"^[a-z0-9][a-z0-9_-]{0,31}$"


class ImportSummary(BaseModel):
    """One import: its run and what it changed."""

    run_id: UUID
    file: str
    rows: int
    inserted: int
    updated: int
    unchanged: int
    created_at: datetime


class Client(BaseModel):
    """A client, and the run which wrote it last."""

    id: int
    external_id: str
    name: str
    email: str
    valid_from: date
    valid_until: date | None
    run_id: UUID
    if SEGMENTS:
        segment: str | None


class ClientQuery(BaseModel):
    """Which clients to list."""

    model_config = ConfigDict(extra="forbid")

    valid_on: date | None = None
    after: int = Field(default=0, ge=0, lt=2**63)
    limit: int = Field(default=100, ge=1, le=1000)
    if SEGMENTS:
        segment: str | None = Field(default=None, pattern=SEGMENT)


class NewDistribution(BaseModel):
    """An amount to be shared out among the clients valid on a day, by default today."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
    total_cents: int = Field(gt=0, le=10**15)
    as_of: date = Field(default_factory=date.today)
    if SEGMENTS:
        segment: str | None = Field(default=None, pattern=SEGMENT)


class Distribution(BaseModel):
    """A distribution that was made; the shares of its results add up to its total."""

    id: int
    run_id: UUID
    name: str
    as_of: date
    total_cents: int
    recipients: int
    created_at: datetime
    if SEGMENTS:
        segment: str | None


class Result(BaseModel):
    """What one client got."""

    client_id: int
    external_id: str
    share_cents: int
