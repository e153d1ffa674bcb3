"""Create the table of the index.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "xray_case",
        sa.Column("case_id", sa.String(32), primary_key=True),
        sa.Column("run_id", sa.String(250), nullable=False),
        sa.Column("bucket", sa.String(63), nullable=False),
        sa.Column("origin", sa.String(20), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True)),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.Column("attempt", sa.Integer),
        sa.Column("label", sa.String(20)),
        sa.Column("risk", sa.Float),
        sa.Column("refused", sa.String(60)),
        sa.Column("model", sa.String(64)),
        sa.Column("decision", sa.String(30)),
        sa.Column("waits", sa.String(10)),
        sa.Column("object", sa.String(32)),
        sa.Column("patient", sa.String(32)),
        sa.Column("replaced", sa.Boolean, nullable=False),
    )
    newest = sa.text("received DESC")
    op.create_index("idx_xray_case_received", "xray_case", [newest, "case_id"])
    for column in ("state", "label", "decision", "model", "origin"):
        op.create_index(f"idx_xray_case_{column}", "xray_case", [column, newest])
    for column in ("waits", "object", "patient"):
        op.create_index(f"idx_xray_case_{column}", "xray_case", [column])


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("xray_case")
