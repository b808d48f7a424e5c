"""An index by which all leads of a workspace are read in order, page after page."""

from alembic import op

revision = "0008_lead_order"
down_revision: str | None = "0007_tolerance"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE INDEX lead_by_workspace ON scorer.lead (workspace, id) WHERE merged_into IS NULL")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP INDEX scorer.lead_by_workspace")
