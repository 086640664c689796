"""Run the revisions on the connection that plano_sample.migrate opened and locked."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
