"""Usage: the name that a caller asked for, where another model served it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; calls before it asked for the model that served them."""
    op.add_column("usage", sa.Column("asked", sa.String(256)))
