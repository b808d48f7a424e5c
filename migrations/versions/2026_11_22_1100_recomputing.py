"""How far a rebuild has come, and simulations that are asked for by API."""

from alembic import op

revision = "0011_recomputing"
down_revision: str | None = "0010_separation"
branch_labels = None
depends_on = None

_UP = """
SET LOCAL lock_timeout = '5s';

-- A rebuild of all leads of a workspace; at most one goes on at a time.
CREATE TABLE scorer.rebuild (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace text NOT NULL,
    model_version integer NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    abandoned boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX rebuild_going_on ON scorer.rebuild (workspace) WHERE ended_at IS NULL;

-- Its parts: leads after `after_id` up to `upto_id`, of which those up to `last_id` are done. Null: no bound.
CREATE TABLE scorer.rebuild_part (
    rebuild_id bigint NOT NULL REFERENCES scorer.rebuild (id) ON DELETE CASCADE,
    part integer NOT NULL,
    after_id uuid,
    upto_id uuid,
    last_id uuid,
    leads bigint NOT NULL,
    done bigint NOT NULL DEFAULT 0,
    repaired bigint NOT NULL DEFAULT 0,
    told bigint NOT NULL DEFAULT 0,
    finished boolean NOT NULL DEFAULT false,
    PRIMARY KEY (rebuild_id, part)
);

-- A running one whose `alive_at` is long past lost its process.
CREATE TABLE scorer.simulation (
    id uuid PRIMARY KEY,
    workspace text NOT NULL,
    request json NOT NULL,
    requested_at timestamptz NOT NULL,
    requested_by text NOT NULL,
    status text NOT NULL CHECK (status IN ('waiting', 'running', 'done', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    started_at timestamptz,
    alive_at timestamptz,
    finished_at timestamptz,
    done bigint NOT NULL DEFAULT 0,
    leads bigint,
    result json,
    error text
);
CREATE INDEX simulation_by_workspace ON scorer.simulation (workspace, requested_at DESC);
CREATE INDEX simulation_unfinished ON scorer.simulation (requested_at) WHERE status IN ('waiting', 'running')
"""

_DOWN = """
SET LOCAL lock_timeout = '5s';
DROP TABLE scorer.simulation;
DROP TABLE scorer.rebuild_part;
DROP TABLE scorer.rebuild
"""


def upgrade() -> None:
    _run(_UP)


def downgrade() -> None:
    _run(_DOWN)


def _run(statements: str) -> None:
    for statement in statements.split(";\n"):
        op.execute(statement)
