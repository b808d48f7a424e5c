"""How many records of each partition a group has handled, and what became of them: the books that must balance."""

from alembic import op

from migrations.row_security import for_workers

revision = "0026_handled"
down_revision: str | None = "0025_sealing_apart"
branch_labels = None
depends_on = None

_UP = """
-- Written by the transaction that handles a batch. A record counts once, however often it comes: those before
-- `next_offset` are known. The books begin at `first_offset`, the first record that was counted.
CREATE TABLE log.handled (
    group_name text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    first_offset bigint NOT NULL,
    next_offset bigint NOT NULL,
    counted bigint NOT NULL,
    repeated bigint NOT NULL,
    dead bigint NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) WITH (fillfactor = 50)
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_UP)
    for_workers("log.handled")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE log.handled")
