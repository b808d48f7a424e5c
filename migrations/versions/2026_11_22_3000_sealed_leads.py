"""Room for the pipeline's leads as sealed bytes, and for receivers' answers and why elements are parked.

Only adds: what is plain stays readable until it is written again or `leadflow leads seal` has run.
"""

from alembic import op

revision = "0030_sealed_leads"
down_revision: str | None = "0029_sealed_names"
branch_labels = None
depends_on = None

# Where `sealed` is set, it has names, attributes and state; `emails` has keyed digests of the addresses, `attributes`
# an array of those of attributes with their values. A parked element's `sealed_reason` is in place of `message` and
# `field`, its `sealed_origin` in place of `headers` and `element_id`.
_UP = """
SET LOCAL lock_timeout = '5s';
ALTER TABLE pipeline.lead ADD COLUMN sealed bytea;
ALTER TABLE pipeline.delivery_attempt ADD COLUMN sealed_response bytea;
ALTER TABLE ingest.parked ADD COLUMN sealed_reason bytea, ADD COLUMN sealed_origin bytea
"""

# Of a lead without its state nothing would be right.
_REFUSE = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pipeline.lead WHERE sealed IS NOT NULL) THEN
        RAISE EXCEPTION 'leads are sealed, and the schema of before has no room for those';
    END IF;
END $$
"""
_DOWN = """
SET LOCAL lock_timeout = '5s';
ALTER TABLE ingest.parked DROP COLUMN sealed_reason, DROP COLUMN sealed_origin;
ALTER TABLE pipeline.delivery_attempt DROP COLUMN sealed_response;
ALTER TABLE pipeline.lead DROP COLUMN sealed
"""


def upgrade() -> None:
    _run(_UP)


def downgrade() -> None:
    op.execute(_REFUSE)
    _run(_DOWN)


def _run(statements: str) -> None:
    for statement in statements.split(";\n"):
        op.execute(statement)
