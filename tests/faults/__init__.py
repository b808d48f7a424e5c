"""Breaks a running leadflow on purpose and counts what came of it: `make faults`, and a small part in `make test`.

Real processes on a real PostgreSQL and a real log, loaded through HTTP; what was acknowledged is kept in a ledger,
and a scoring function of its own (tests.support.oracle) says what should have come of it. docs/faults.md tells more.
"""
