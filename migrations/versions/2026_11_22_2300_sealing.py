"""Data keys and erasures: what a lead holds is sealed with a key of its own, and gone with it.

Only adds: a process of the release before neither writes nor misses any of it.
"""

from alembic import op

revision = "0023_sealing"
down_revision: str | None = "0022_traces"
branch_labels = None
depends_on = None

_UP = """
SET LOCAL lock_timeout = '5s';
CREATE SCHEMA sealing;

-- A lead's key has the lead's id; that of a dead letter or a parked element one of its own, and an end. `wrapped_by`
-- names the master key that the key is sealed with; null: it is there as it is. Backups keep this schema apart.
CREATE TABLE sealing.data_key (
    id uuid PRIMARY KEY,
    workspace text NOT NULL,
    key bytea NOT NULL,
    wrapped_by text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz
);
CREATE INDEX data_key_by_end ON sealing.data_key (expires_at) WHERE expires_at IS NOT NULL;

-- Leads that were erased, by their ids alone. `names` are there until each service has done its part.
CREATE TABLE sealing.erasure (
    id uuid PRIMARY KEY,
    workspace text NOT NULL,
    lead_id uuid NOT NULL,
    leads uuid[] NOT NULL,
    names jsonb,
    asked_at timestamptz NOT NULL,
    asked_by text NOT NULL,
    done text[] NOT NULL DEFAULT '{}',
    completed_at timestamptz
);
CREATE INDEX erasure_by_lead ON sealing.erasure (workspace, lead_id);
CREATE INDEX erasure_going_on ON sealing.erasure (asked_at) WHERE completed_at IS NULL;

-- Keyed digests of erased leads' events, which never count again, and of their names: events that carry one of
-- those and were received before the erasure do not count either.
CREATE TABLE scorer.forgotten (
    workspace text NOT NULL,
    mark bytea NOT NULL,
    received_until timestamptz NOT NULL,
    PRIMARY KEY (workspace, mark)
);

-- In place of `body`, which only rows written before have.
ALTER TABLE scorer.event ADD COLUMN sealed bytea;
ALTER TABLE ingest.parked ADD COLUMN sealed boolean NOT NULL DEFAULT false;
-- What is left of an erased lead, so that no message on its way brings it back.
ALTER TABLE pipeline.lead ADD COLUMN erased_at timestamptz
"""

_DOWN = """
SET LOCAL lock_timeout = '5s';
ALTER TABLE pipeline.lead DROP COLUMN erased_at;
ALTER TABLE ingest.parked DROP COLUMN sealed;
ALTER TABLE scorer.event DROP COLUMN sealed;
DROP TABLE scorer.forgotten;
DROP SCHEMA sealing CASCADE
"""


def upgrade() -> None:
    _run(_UP)


def downgrade() -> None:
    _run(_DOWN)


def _run(statements: str) -> None:
    for statement in statements.split(";\n"):
        op.execute(statement)
