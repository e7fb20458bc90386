"""Run by Alembic for each upgrade, with the connection and the transaction of `gateway.store.migrate`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
