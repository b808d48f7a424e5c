"""Use, saturation and errors of the processes and of PostgreSQL."""

from deploy.grafana.asking import gauges, greatest, of, rates, summed
from deploy.grafana.layout import Board, Panel, Query, Row

_PROCESS = "{{instance}}"

RUNTIME = Board(
    "leadflow-runtime",
    "PostgreSQL and runtime",
    "Processes, event loops, the pool of connections, and PostgreSQL itself.",
    (
        Row(
            "Processes",
            (
                Panel(
                    "Up",
                    "1: Prometheus reaches the process.",
                    "none",
                    (Query(of("up"), _PROCESS),),
                    most=1,
                    width=6,
                    alerts=("TargetDown", "AbsentMetrics"),
                ),
                Panel(
                    "Versions",
                    "Processes by the version of leadflow; two of them while one is rolled out.",
                    "none",
                    (Query(f"count by (version) ({of('leadflow_build_info')})", "{{version}}"),),
                    kind="bargauge",
                    width=6,
                ),
                Panel(
                    "Age of processes",
                    "Since they were started; a saw tooth is a process that crashes again and again.",
                    "s",
                    (Query(f"time() - {of('process_start_time_seconds')}", _PROCESS),),
                    width=6,
                ),
                Panel(
                    "Lag of the event loop",
                    "How late a task that slept is woken; CPU work that blocks the loop.",
                    "s",
                    (Query(greatest("leadflow_event_loop_lag_seconds", "instance"), _PROCESS),),
                    width=6,
                    warn=0.1,
                    bad=0.2,
                    alerts=("LoopLag",),
                ),
                Panel(
                    "CPU",
                    "Cores used; one process cannot use more than one.",
                    "percentunit",
                    (Query(f"rate({of('process_cpu_seconds_total')}[$__rate_interval])", _PROCESS),),
                ),
                Panel(
                    "Memory",
                    "Resident; of that the leads that a scorer keeps between batches, 24 MB at most.",
                    "bytes",
                    (
                        Query(of("process_resident_memory_bytes"), _PROCESS),
                        Query(of("leadflow_scoring_remembered_bytes"), f"leads, {_PROCESS}"),
                    ),
                ),
                Panel(
                    "Open files",
                    "Share of what the process may open, sockets included.",
                    "percentunit",
                    (Query(f"{of('process_open_fds')} / {of('process_max_fds')}", _PROCESS),),
                    most=1,
                    bad=0.8,
                ),
                Panel(
                    "Periodic work, last done",
                    "How long ago each work was done; gauges that it sets are as old.",
                    "s",
                    (
                        Query(
                            f"time() - {greatest('leadflow_periodic_last_success_timestamp_seconds', 'work')}",
                            "{{work}}",
                        ),
                    ),
                    bad=900,
                    width=12,
                    alerts=("PeriodicWorkFails",),
                ),
                Panel(
                    "Periodic work, failed",
                    "Rounds that a dependency kept from happening.",
                    "ops",
                    rates("leadflow_periodic_failures_total", "work"),
                    width=12,
                    alerts=("PeriodicWorkFails",),
                ),
            ),
        ),
        Row(
            "Connections to PostgreSQL",
            (
                Panel(
                    "Pool",
                    "Places for connections of all processes; with none idle or free, work waits.",
                    "none",
                    (Query(summed(of("leadflow_db_pool_connections"), "state"), "{{state}}"),),
                    stacked=True,
                    alerts=("PoolExhausted",),
                ),
                Panel(
                    "Failed units of work",
                    "That PostgreSQL ended, by class of SQLSTATE. 40: serialisation and deadlocks, 53: resources, "
                    "57: cancelled or shut down.",
                    "ops",
                    rates("leadflow_db_errors_total", "sqlstate_class"),
                    alerts=("DatabaseAway",),
                ),
                Panel(
                    "Connections of the server",
                    "Whoever's, by what they do, and how many it takes.",
                    "none",
                    (
                        *gauges("leadflow_postgres_connections", "state"),
                        Query(greatest("leadflow_postgres_max_connections"), "at most"),
                    ),
                    alerts=("PostgresConnectionsLow",),
                ),
            ),
        ),
        Row(
            "PostgreSQL",
            (
                Panel(
                    "Longest transaction",
                    "It keeps vacuum from its work, and stalls the embedded log.",
                    "s",
                    (Query(greatest("leadflow_postgres_longest_transaction_seconds"), "oldest"),),
                    warn=60,
                    bad=300,
                    alerts=("LongTransaction",),
                ),
                Panel(
                    "Size of the database",
                    "Tables and indexes.",
                    "bytes",
                    (Query(greatest("leadflow_postgres_database_bytes"), "size"),),
                ),
                Panel(
                    "Rows that wait for vacuum",
                    "Dead rows of all tables.",
                    "none",
                    (Query(greatest("leadflow_postgres_dead_rows"), "rows"),),
                ),
                Panel(
                    "Age of transaction ids",
                    "At two thousand million PostgreSQL takes no more writes.",
                    "none",
                    (Query(greatest("leadflow_postgres_xid_age"), "transactions"),),
                    warn=5e8,
                    bad=1e9,
                    alerts=("TransactionIdsRunOut",),
                ),
                Panel(
                    "Inactive replication slots",
                    "Slots that nobody reads; they keep the WAL growing until the volume is full.",
                    "none",
                    (Query(greatest("leadflow_postgres_inactive_replication_slots"), "slots"),),
                    bad=1,
                    alerts=("InactiveReplicationSlot",),
                ),
                Panel(
                    "WAL kept for replication",
                    "By the slot that is furthest behind.",
                    "bytes",
                    (Query(greatest("leadflow_postgres_retained_wal_bytes"), "kept"),),
                    alerts=("InactiveReplicationSlot",),
                ),
            ),
        ),
    ),
)
