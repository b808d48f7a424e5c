"""Schema of the scorer: models, leads with their folded state, identities, accepted events, due moments."""

from alembic import op

revision = "0004_scorer"
down_revision: str | None = "0003_ingest"
branch_labels = None
depends_on = None

_UP = """
SET LOCAL lock_timeout = '5s';
CREATE SCHEMA scorer;

CREATE TABLE scorer.model (
    workspace text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    -- json, not jsonb: the order in which its author wrote it is kept.
    document json NOT NULL,
    digest bytea NOT NULL,
    published_at timestamptz NOT NULL,
    published_by text NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (workspace, version)
);
-- Which version counts, with the history of who decided so: the newest row stands.
CREATE TABLE scorer.activation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace text NOT NULL,
    version integer NOT NULL,
    activated_at timestamptz NOT NULL,
    activated_by text NOT NULL,
    reason text NOT NULL,
    FOREIGN KEY (workspace, version) REFERENCES scorer.model (workspace, version)
);
CREATE INDEX activation_by_workspace ON scorer.activation (workspace, id DESC);

CREATE TABLE scorer.lead (
    id uuid PRIMARY KEY,
    workspace text NOT NULL,
    created_at timestamptz NOT NULL,
    merged_into uuid REFERENCES scorer.lead (id),
    model_version integer,
    state jsonb,
    published jsonb,
    sequence bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 90);
-- Finds the leads that an activation has yet to reach; neither column changes when an event comes.
CREATE INDEX lead_by_model_version ON scorer.lead (workspace, model_version) WHERE merged_into IS NULL;
CREATE INDEX lead_by_survivor ON scorer.lead (merged_into) WHERE merged_into IS NOT NULL;

CREATE TABLE scorer.identity (
    workspace text NOT NULL,
    kind text NOT NULL,
    value text NOT NULL,
    lead_id uuid NOT NULL REFERENCES scorer.lead (id),
    learnt_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, kind, value)
);
CREATE INDEX identity_by_lead ON scorer.identity (lead_id);

-- Every accepted event; its key is the memory that drops duplicates. `lead_id` is the lead it was recorded
-- for: after a merge the survivor owns the events of those it absorbed, which keeps merges reversible.
-- A retraction that came first leaves a row without body.
CREATE TABLE scorer.event (
    workspace text NOT NULL,
    source text NOT NULL,
    event_id text NOT NULL,
    lead_id uuid REFERENCES scorer.lead (id),
    occurred_at timestamptz,
    received_at timestamptz,
    type text,
    body jsonb,
    digest bytea,
    voided boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workspace, source, event_id)
);
CREATE INDEX event_by_lead ON scorer.event (lead_id, occurred_at);

CREATE TABLE scorer.merge (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace text NOT NULL,
    survivor uuid NOT NULL,
    absorbed uuid NOT NULL,
    merged_at timestamptz NOT NULL
);

-- When a lead's standing changes by itself. Apart from `lead`, so that an index on it costs no update of a lead
-- more than the one row it moves.
CREATE TABLE scorer.due (
    lead_id uuid PRIMARY KEY REFERENCES scorer.lead (id),
    due_at timestamptz NOT NULL
);
CREATE INDEX due_by_moment ON scorer.due (due_at);

CREATE TABLE scorer.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


def upgrade() -> None:
    for statement in _UP.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP SCHEMA scorer CASCADE")
