"""Widen the indexes of the values that cases are filtered by.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = ("state", "label", "decision", "model", "origin", "waits")


def upgrade() -> None:
    """Add the id of the case and the other values to the index of each value."""
    newest = sa.text("received DESC")
    for column in COLUMNS:
        others = [other for other in COLUMNS if other != column]
        op.drop_index(f"idx_xray_case_{column}", "xray_case")
        op.create_index(
            f"idx_xray_case_{column}", "xray_case", [column, newest, "case_id", *others]
        )


def downgrade() -> None:
    """Restore the indexes of the first migration."""
    newest = sa.text("received DESC")
    for column in COLUMNS:
        op.drop_index(f"idx_xray_case_{column}", "xray_case")
        order = [] if column == "waits" else [newest]
        op.create_index(f"idx_xray_case_{column}", "xray_case", [column, *order])
