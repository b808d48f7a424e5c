"""Room for keyed digests of attributes and deals in the rows that reports count, in place of what they say.

Only adds: what is plain is counted as before until its lead changes or `leadflow leads seal` has run.
"""

from alembic import op

revision = "0031_marked_facts"
down_revision: str | None = "0030_sealed_leads"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE pipeline.lead_report ADD COLUMN marks jsonb")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE pipeline.lead_report DROP COLUMN marks")
