"""How the receivers of webhooks are doing: failures in a row, pauses, and a log of attempts per subscription."""

from alembic import op

revision = "0016_endpoints"
down_revision: str | None = "0015_activation"
branch_labels = None
depends_on = None

_UP = """
SET LOCAL lock_timeout = '5s';

-- Since its last success: when it first failed, how often, and how often it was left alone for a while.
ALTER TABLE pipeline.subscription
    ADD COLUMN disabled_at timestamptz,
    ADD COLUMN failing_since timestamptz,
    ADD COLUMN failures integer NOT NULL DEFAULT 0,
    ADD COLUMN pauses integer NOT NULL DEFAULT 0,
    ADD COLUMN resume_at timestamptz;

-- Attempts made before the message was last replayed: its schedule began anew there.
ALTER TABLE pipeline.delivery ADD COLUMN attempts_before integer NOT NULL DEFAULT 0;
CREATE INDEX delivery_due ON pipeline.delivery (subscription_id, next_at, id) WHERE state = 'pending';
DROP INDEX pipeline.delivery_queue;
CREATE INDEX delivery_by_message ON pipeline.delivery (message_id);
CREATE INDEX webhook_message_by_age ON pipeline.webhook_message (created_at);

-- Attempts of earlier releases name no subscription: they end with their deliveries and are in no log.
ALTER TABLE pipeline.delivery_attempt
    ADD COLUMN subscription uuid,
    ADD COLUMN response text;
CREATE INDEX attempt_log ON pipeline.delivery_attempt (subscription, at, delivery_id, number);
"""


def upgrade() -> None:
    for statement in _UP.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE pipeline.delivery_attempt DROP COLUMN subscription, DROP COLUMN response")
    op.execute("DROP INDEX pipeline.delivery_due, pipeline.delivery_by_message, pipeline.webhook_message_by_age")
    op.execute("ALTER TABLE pipeline.delivery DROP COLUMN attempts_before")
    op.execute("CREATE INDEX delivery_queue ON pipeline.delivery (subscription_id, id) WHERE state = 'pending'")
    op.execute("""
        ALTER TABLE pipeline.subscription DROP COLUMN disabled_at, DROP COLUMN failing_since,
            DROP COLUMN failures, DROP COLUMN pauses, DROP COLUMN resume_at
    """)
