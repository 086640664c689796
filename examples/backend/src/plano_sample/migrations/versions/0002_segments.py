"""Segments: expand only, so that 1.0.0 works on as if nothing had happened."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add columns that may be null; code that does not know them neither reads nor writes them."""
    op.add_column("clients", sa.Column("segment", sa.Text))
    op.add_column("distributions", sa.Column("segment", sa.Text))
