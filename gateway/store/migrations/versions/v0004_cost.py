"""What a call cost, where its model has a price, and the sums of it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns. Of what there was before, nobody knows what it cost."""
    op.add_column("usage", sa.Column("cost", sa.BigInteger))
    for table in ("usage_daily", "usage_monthly"):
        op.add_column(table, sa.Column("cost", sa.BigInteger, nullable=False, server_default="0"))
