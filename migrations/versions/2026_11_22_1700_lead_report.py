"""What reports count: a narrow row per lead. A lead that is there already gets its row when it is next heard of."""

from alembic import op

revision = "0017_lead_report"
down_revision: str | None = "0016_endpoints"
branch_labels = None
depends_on = None

# Reports scan it whole, in parallel: there is no index but the key, because everything else changes.
_UP = """
CREATE TABLE pipeline.lead_report (
    workspace text NOT NULL,
    lead_id uuid NOT NULL,
    seen_at timestamptz,
    entered_at timestamptz,
    since timestamptz,
    due_at timestamptz,
    closed_at timestamptz,
    qualified_at timestamptz,
    amount double precision,
    probability double precision,
    close_date date,
    currency text,
    stage text,
    outcome text,
    owner text,
    model text,
    source text,
    medium text,
    campaign text,
    last_source text,
    last_medium text,
    last_campaign text,
    path text NOT NULL,
    entered integer[] NOT NULL,
    spent integer[] NOT NULL,
    thresholds text[] NOT NULL,
    facts jsonb NOT NULL,
    PRIMARY KEY (workspace, lead_id),
    FOREIGN KEY (workspace, lead_id) REFERENCES pipeline.lead (workspace, id) ON DELETE CASCADE
) WITH (fillfactor = 85)
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_UP)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE pipeline.lead_report")
