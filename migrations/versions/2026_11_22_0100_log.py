"""Schema of log: the embedded engine's records, and who has read how far."""

from alembic import op

revision = "0001_log"
down_revision: str | None = None
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE log.topics (
        name text PRIMARY KEY,
        retention_seconds bigint NOT NULL CHECK (retention_seconds > 0)
    )
    """,
    # `head` is the next offset. Publishers hold the row's lock until they commit, so offsets become
    # visible in order and readers that go on from the last offset they saw skip nothing.
    """
    CREATE TABLE log.partitions (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        topic text NOT NULL REFERENCES log.topics (name),
        number integer NOT NULL CHECK (number >= 0),
        head bigint NOT NULL DEFAULT 0,
        UNIQUE (topic, number)
    )
    """,
    # No foreign key to partitions: it would be checked for every record, and partitions are never deleted.
    """
    CREATE TABLE log.records (
        partition_id integer NOT NULL,
        "offset" bigint NOT NULL,
        key bytea NOT NULL,
        value bytea NOT NULL,
        headers bytea NOT NULL,
        published_at timestamptz NOT NULL,
        PRIMARY KEY (partition_id, "offset")
    )
    """,
    # Every change of the members takes a new generation; commits of older ones are refused.
    """
    CREATE TABLE log.groups (
        name text PRIMARY KEY,
        generation bigint NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE log.members (
        group_name text NOT NULL REFERENCES log.groups (name),
        name text NOT NULL,
        token uuid NOT NULL,
        topics text[] NOT NULL,
        lease_until timestamptz NOT NULL,
        PRIMARY KEY (group_name, name)
    )
    """,
    # What a group has ever read: records are kept until all of its groups have committed them.
    """
    CREATE TABLE log.subscriptions (
        group_name text NOT NULL REFERENCES log.groups (name),
        topic text NOT NULL,
        PRIMARY KEY (group_name, topic)
    )
    """,
    """
    CREATE TABLE log.offsets (
        group_name text NOT NULL REFERENCES log.groups (name),
        partition_id integer NOT NULL REFERENCES log.partitions (id),
        next_offset bigint NOT NULL CHECK (next_offset >= 0),
        committed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (group_name, partition_id)
    ) WITH (fillfactor = 70)
    """,
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE SCHEMA log")
    for table in TABLES:
        op.execute(table)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP SCHEMA log CASCADE")
