"""Schema of the pipeline: documents, leads with their state, history, due moments, subscriptions, deliveries."""

from alembic import op

revision = "0005_pipeline"
down_revision: str | None = "0004_scorer"
branch_labels = None
depends_on = None

_UP = """
SET LOCAL lock_timeout = '5s';
CREATE SCHEMA pipeline;

CREATE TABLE pipeline.document (
    workspace text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    body json NOT NULL,
    digest bytea NOT NULL,
    active boolean NOT NULL,
    published_at timestamptz NOT NULL,
    published_by text NOT NULL,
    PRIMARY KEY (workspace, version)
);
CREATE UNIQUE INDEX document_active ON pipeline.document (workspace) WHERE active;

-- A lead by what lists filter on, and its state as the domain has it. `scores_seen` is the last sequence taken
-- from lead-scores, `*_sent` the last given out. No index on what changes with every event.
CREATE TABLE pipeline.lead (
    workspace text NOT NULL,
    id uuid NOT NULL,
    emails text[] NOT NULL DEFAULT '{}',
    external_ids jsonb NOT NULL DEFAULT '{}',
    attributes jsonb NOT NULL DEFAULT '{}',
    state json,
    stage text,
    owner text,
    source text,
    absorbed_by uuid,
    scores_seen bigint NOT NULL DEFAULT 0,
    thresholds_sent bigint NOT NULL DEFAULT 0,
    stages_sent bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace, id)
) WITH (fillfactor = 85);

-- The newest lead.score_changed of a lead, byte for byte, and of it what the hot list needs quickly.
CREATE TABLE pipeline.standing (
    workspace text NOT NULL,
    lead_id uuid NOT NULL,
    message bytea NOT NULL,
    curve bytea NOT NULL,
    grade text,
    bands jsonb NOT NULL,
    PRIMARY KEY (workspace, lead_id)
) WITH (fillfactor = 85);

-- No later value of the score is above `ceiling`: orders candidates without touching rows as time passes.
CREATE TABLE pipeline.ceiling (
    workspace text NOT NULL,
    score text NOT NULL,
    lead_id uuid NOT NULL,
    ceiling double precision NOT NULL,
    PRIMARY KEY (workspace, score, lead_id)
) WITH (fillfactor = 80);

CREATE TABLE pipeline.scored_model (
    workspace text PRIMARY KEY,
    model text NOT NULL,
    version integer NOT NULL,
    scores text[] NOT NULL,
    default_score text NOT NULL
);

CREATE TABLE pipeline.timeline (
    id bigint GENERATED ALWAYS AS IDENTITY,
    workspace text NOT NULL,
    lead_id uuid NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    data json NOT NULL,
    PRIMARY KEY (workspace, lead_id, at, id)
);
CREATE TABLE pipeline.stay (
    id bigint GENERATED ALWAYS AS IDENTITY,
    workspace text NOT NULL,
    lead_id uuid NOT NULL,
    at timestamptz NOT NULL,
    data json NOT NULL,
    PRIMARY KEY (workspace, lead_id, at, id)
);

-- When somebody must be told that a lead stays too long; the row goes when the lead moves or has stalled.
CREATE TABLE pipeline.due (
    workspace text NOT NULL,
    lead_id uuid NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, lead_id)
);
CREATE INDEX due_by_moment ON pipeline.due (due_at);

CREATE TABLE pipeline.subscription (
    id uuid PRIMARY KEY,
    workspace text NOT NULL,
    description text NOT NULL,
    url text NOT NULL,
    event_types text[] NOT NULL,
    filter json NOT NULL,
    secrets json NOT NULL,
    state text NOT NULL CHECK (state IN ('enabled', 'disabled')),
    disabled_reason text,
    created_at timestamptz NOT NULL
);
CREATE INDEX subscription_by_workspace ON pipeline.subscription (workspace);

-- A message as it is delivered, kept once however many receive it.
CREATE TABLE pipeline.webhook_message (
    id text PRIMARY KEY,
    type text NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE pipeline.delivery (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id uuid NOT NULL REFERENCES pipeline.subscription (id) ON DELETE CASCADE,
    message_id text NOT NULL REFERENCES pipeline.webhook_message (id),
    lead_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    leased_until timestamptz,
    lease uuid,
    created_at timestamptz NOT NULL,
    UNIQUE (subscription_id, message_id)
) WITH (fillfactor = 80);
CREATE INDEX delivery_queue ON pipeline.delivery (subscription_id, id) WHERE state = 'pending';
CREATE INDEX delivery_pending ON pipeline.delivery (subscription_id, lead_id, id) WHERE state = 'pending';
CREATE TABLE pipeline.delivery_attempt (
    delivery_id bigint NOT NULL REFERENCES pipeline.delivery (id) ON DELETE CASCADE,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    duration_seconds double precision NOT NULL,
    status integer,
    error text,
    PRIMARY KEY (delivery_id, number)
);

CREATE TABLE pipeline.outbox (
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
    op.execute("DROP SCHEMA pipeline CASCADE")
