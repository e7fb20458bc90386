"""Usage: one row for each call, and sums by day and month."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SUMS = ("requests", "failed", "prompt_tokens", "cached_tokens", "completion_tokens", "estimated")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "usage",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("request_id", sa.String(160), nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=False),
        sa.Column("organisation", sa.String(128), nullable=False),
        sa.Column("team", sa.String(128), nullable=False),
        sa.Column("user", sa.String(256), nullable=False),
        sa.Column("key_id", sa.String(128), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("operation", sa.String(64), nullable=False),
        sa.Column("tier", sa.SmallInteger, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("code", sa.String(64)),
        sa.Column("replica", sa.String(128)),
        sa.Column("attempts", sa.SmallInteger, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("queue_ms", sa.BigInteger),
        sa.Column("first_content_ms", sa.BigInteger),
        sa.Column("total_ms", sa.BigInteger),
    )
    op.create_index("ix_usage_ended", "usage", ["ended"])
    op.create_index("ix_usage_team_ended", "usage", ["team", "ended"])
    for table in ("usage_daily", "usage_monthly"):
        op.create_table(
            table,
            sa.Column("start", sa.BigInteger, primary_key=True),
            sa.Column("organisation", sa.String(128), primary_key=True),
            sa.Column("team", sa.String(128), primary_key=True),
            sa.Column("user", sa.String(256), primary_key=True),
            sa.Column("key_id", sa.String(128), primary_key=True),
            sa.Column("model", sa.String(256), primary_key=True),
            *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
        )
