"""Elements of requests that became no event: their bytes, the reason, and what became of them since."""

from alembic import op

revision = "0006_parked"
down_revision: str | None = "0005_pipeline"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # The bytes are bytea: what could not be read is mostly not storable as jsonb either.
    op.execute("""
        CREATE TABLE ingest.parked (
            id text PRIMARY KEY,
            workspace text NOT NULL,
            source text NOT NULL,
            kind text NOT NULL,
            form text NOT NULL,
            disposition text NOT NULL CHECK (disposition IN ('parked', 'refused')),
            code text NOT NULL,
            field text,
            message text NOT NULL,
            element_id text,
            body bytea NOT NULL,
            size_bytes bigint NOT NULL,
            headers jsonb NOT NULL CHECK (jsonb_typeof(headers) = 'object'),
            received_at timestamptz NOT NULL,
            state text NOT NULL DEFAULT 'parked'
                CHECK (state IN ('parked', 'replayed', 'resolved', 'discarded')),
            attempts integer NOT NULL DEFAULT 0,
            changed_at timestamptz,
            event_ids text[] NOT NULL DEFAULT '{}'
        )
    """)
    op.execute("CREATE INDEX parked_by_age ON ingest.parked (workspace, received_at DESC, id DESC)")
    op.execute("CREATE INDEX parked_oldest ON ingest.parked (received_at)")
    op.execute("CREATE INDEX parked_waiting ON ingest.parked (workspace, source, code) WHERE state = 'parked'")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE ingest.parked")
