"""The ledger in PostgreSQL beside that in SQLite, as Markdown and as targets. In: the measures. Out: a section of docs/performance.md."""

import statistics

from tables import figure, table
from targets import CONCURRENCIES, Target, rate, ratios

WAYS = {
    "mailsudo": "SQLite",
    "mailsudopg": "PostgreSQL, Unix socket",
    "mailsudopool": "PostgreSQL, pgbouncer on the same host",
    "mailsudotls": "PostgreSQL, TLS and password",
}
# The least that such a ledger can cost: the floor of an executed request (bench/rivals/floor.c) with its records there.
FLOORS = {
    "floor": "floor, records in a file",
    "floorpg": "floor, records in PostgreSQL, Unix socket",
    "floorpool": "floor, records in PostgreSQL, pgbouncer",
}
LEAST = 0.85


def queue(measures):
    return {"queue": measures["postgresql"]["queue"]}


def targets(measures):
    for name in ["mailsudopg", "mailsudopool"]:
        each = ratios(queue(measures), f"sudo {name}-sudo", "sudo mailsudo-sudo")
        shown = ", ".join(f"{ratio:.2f}" for ratio in each)
        what = f"deliveries: executed with sudo, {WAYS[name]}, against SQLite"
        yield Target(what, f"≥ {LEAST:g}", shown, min(each) >= LEAST, False)
    curve = measures["postgresql"]["growth"]["curve"]
    for at, what in [(1, "instructions of the delivery"), (3, "bytes of PostgreSQL's log")]:
        costs = [point[at] for point in curve]
        more = max(costs) / costs[0] - 1
        yield Target(f"growth with rows in PostgreSQL, in {what}", "≤ 5 %", f"{100 * more:.1f} %", more <= 0.05, at == 1)


def reachable(measures, floor):
    """About what part of SQLite's rate mailsudo would reach if its ledger cost no more than that floor's, and all else what it
    takes longer now than the floor with a file. SQLite's own cost is in that. For each concurrency, the median of the rounds."""
    found = []
    for most in CONCURRENCIES:
        names = ["mailsudo", "floor", floor]
        rounds = zip(*[queue(measures)["queue"][f"sudo {name}-sudo {most}"] for name in names], strict=True)
        found.append(statistics.median(1 / (1 + own * (1 / there - 1 / file)) for own, file, there in rounds))
    return found


def deliveries(measures):
    rows = []
    for name, title in (WAYS | FLOORS).items():
        rows.append([title, *[figure(rate(queue(measures), "sudo", f"{name}-sudo", most)) for most in CONCURRENCIES]])
    for name, title in list(WAYS.items())[1:]:
        each = ratios(queue(measures), f"sudo {name}-sudo", "sudo mailsudo-sudo")
        rows.append([f"{title}, against SQLite", *[f"{ratio:.2f}" for ratio in each]])
    for name, way in [("floorpg", "mailsudopg"), ("floorpool", "mailsudopool")]:
        rows.append([f"with no more ledger than the floor's: {WAYS[way]}, against SQLite, about", *[f"{ratio:.2f}" for ratio in reachable(measures, name)]])
    return table(["executed with sudo: deliveries a second, at a time:", *CONCURRENCIES], rows)


def one_message(measures):
    rows = []
    for name, title in WAYS.items():
        cells = [statistics.median(measures["postgresql"]["oneshot"][f"{kind} {name}-sudo"]) for kind in ["sudo", "duplicate"]]
        rows.append([title, *[figure(1000 * cell) for cell in cells]])
    return table(["milliseconds", "executed with sudo", "the same mail again"], rows)


def section(measures):
    growth = measures["postgresql"]["growth"]
    rows = [[f"{size:,}", f"{own / 1e6:.3f}", f"{blocks:,}", f"{log:,}"] for size, own, blocks, log in growth["curve"]]
    curve = table(["rows", "million instructions of mailsudo", "blocks of tables and indices", "bytes of log"], rows)
    operators = table(["command", "seconds"], [[f"`{name}`", figure(seconds)] for name, seconds in growth["operators"].items()])
    return f"""\
PostgreSQL {measures["postgresql"]["version"]} with one synchronous standby on the same machine, both on the disk of the other ledgers.

{deliveries(measures)}
The floor checks nothing: it connects, inserts one row, and changes it after the run, each with a commit. The last rows say
about what mailsudo would reach if its ledger cost no more than these two statements, and all else what it takes longer now, with
SQLite, than the floor with a file. SQLite's own cost is still in that, a few hundredths.

The same mail again costs a connection, one transaction that finds the request, and no run. So what it takes longer than with SQLite
is the cost of connecting and logging in, mostly.

{one_message(measures)}
An executed request with so many in the ledger, without sudo and without sendmail: what it costs mailsudo, how many blocks the server
reads or changes for it, and what it writes into its log (means of 100). The blocks grow with the depth of the indices.

{curve}
What an operator asks, with {growth["curve"][-1][0]:,} requests in PostgreSQL, on a host as in the table of SQLite; medians, `ledger check` once:

{operators}"""
