"""The directory: organisations, teams, users and keys, and a count of its changes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables, and the row that counts."""
    op.create_table(
        "directory_objects",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("made", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    state = op.create_table(
        "directory_state",
        sa.Column("id", sa.SmallInteger, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("pepper", sa.String(64)),
    )
    op.bulk_insert(state, [{"id": 1, "revision": 0, "pepper": None}])
