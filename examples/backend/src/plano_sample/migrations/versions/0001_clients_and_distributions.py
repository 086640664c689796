"""Clients, imports, distributions and their results."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables; every row names the run that wrote it."""
    op.create_table(
        "imports",
        sa.Column("run_id", UUID, primary_key=True),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("inserted", sa.Integer, nullable=False),
        sa.Column("updated", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_table(
        "clients",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("external_id", sa.Text, unique=True, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("valid_until", sa.Date),
        sa.Column("run_id", UUID, sa.ForeignKey("imports.run_id"), index=True, nullable=False),
        sa.CheckConstraint("valid_until >= valid_from", name="clients_valid_period"),
    )
    op.create_table(
        "distributions",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("run_id", UUID, unique=True, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("total_cents", sa.BigInteger, nullable=False),
        sa.Column("recipients", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("total_cents > 0", name="distributions_total_positive"),
    )
    op.create_table(
        "results",
        sa.Column("distribution_id", sa.BigInteger, sa.ForeignKey("distributions.id"), primary_key=True),
        sa.Column("client_id", sa.BigInteger, sa.ForeignKey("clients.id"), index=True, primary_key=True),
        sa.Column("share_cents", sa.BigInteger, nullable=False),
        sa.Column("run_id", UUID, index=True, nullable=False),
        sa.CheckConstraint("share_cents >= 0", name="results_share_not_negative"),
    )
