"""The targets of the benchmark, judged. In: the measures. Out: for each target what was wanted, what was measured, whether
it is met, and whether it counts: a count is the same on any machine, while a ratio in time is not."""

import statistics
from pathlib import Path
from typing import NamedTuple

CONCURRENCIES = [1, 2, 8, 32]
MIB = 1 << 20


# What a delivery may cost, in million instructions. The ledger alone takes the goal of an executed request
# (performance-limits.md); beside it stands what it must not exceed.
INSTRUCTIONS = [("not a request", "junk", 0.20), ("refused", "refused", 0.30), ("executed", "sudo", 2.1)]
EXECUTED_GOAL = 1.0


class Target(NamedTuple):
    what: str
    wanted: str
    measured: str
    met: bool
    counted: bool


def rate(measures, kind, rival, most):
    return statistics.median(measures["queue"][f"{kind} {rival} {most}"])


def ratios(measures, ours, theirs):
    """Median over the rounds of ours/theirs in the same round, for each concurrency."""
    found = []
    for most in CONCURRENCIES:
        pairs = zip(measures["queue"][f"{ours} {most}"], measures["queue"][f"{theirs} {most}"], strict=True)
        found.append(statistics.median(our / their for our, their in pairs))
    return found


def time_of(measures, name):
    return statistics.median(measures["oneshot"][name])


def in_time(measures):
    flood = measures["flood"]
    slower = statistics.median(flood["own"]["seconds"]) / statistics.median(flood["quiet"])
    yield Target("answer under a flood, against a quiet host", "≤ 2", f"{slower:.2f}", slower <= 2, False)
    operators = measures["operators"]
    slowest = max(operators["seconds"], key=operators["seconds"].get)
    most = operators["seconds"][slowest]
    what = f"operators' commands with {operators['rows']:,} requests, in seconds"
    yield Target(what, "≤ 0.2", f"{most:.2f} ({slowest})", most <= 0.2, False)
    queue = [
        ("not a request, against /bin/true", "junk mailsudo-sudo", "true true", 0.95),
        ("refused, against /bin/true", "refused mailsudo-sudo", "true true", 0.90),
        ("executed without sudo, against the floor", "open mailsudo-open", "open floor-open", 0.95),
        ("executed with sudo, against the floor", "sudo mailsudo-sudo", "sudo floor-sudo", 0.95),
        ("refused, against Python", "refused mailsudo-sudo", "refused python-sudo", 15),
        ("executed with sudo, against Python", "sudo mailsudo-sudo", "sudo python-sudo", 3),
    ]
    if measures["has_smtp"]:
        for via, how in [("open", "without"), ("sudo", "with")]:
            what = f"executed {how} sudo, replies by SMTP, against the floor"
            queue.append((what, f"{via} mailsudosmtp-{via}", f"{via} floorsmtp-{via}", 0.95))
    for what, ours, theirs, least in queue:
        each = ratios(measures, ours, theirs)
        shown = ", ".join(f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}" for ratio in each)
        yield Target(f"deliveries: {what}", f"≥ {least:g}", shown, min(each) >= least, False)
    slower = time_of(measures, "junk mailsudo-sudo") / time_of(measures, "true true")
    yield Target("one message: not a request, against /bin/true", "≤ 1.2", f"{slower:.2f}", slower <= 1.2, False)


def in_counts(measures):
    instructions = measures["instructions"]
    for what, kind, most in INSTRUCTIONS:
        count = instructions[kind] / 1e6
        yield Target(f"instructions: {what}", f"≤ {most} million", f"{count:.3f} million", count <= most, True)
    executed = instructions["sudo"] / 1e6
    shown = f"{executed:.3f} million"
    yield Target("instructions: executed, goal", f"≤ {EXECUTED_GOAL} million", shown, executed <= EXECUTED_GOAL, False)
    commits = measures["calls"]["sudo print"]["syncs_median"]
    yield Target("fsyncs of an executed request, checkpoints apart", "≤ 2", f"{commits:g}", commits <= 2, True)
    growth = measures["growth"]
    peak = max(cost for curve in ["output", "mail_memory"] for _, cost in growth[curve]) / MIB
    yield Target("peak memory, whatever the mail or the output", "≤ 8 MiB", f"{peak:.1f} MiB", peak <= 8, True)
    size = measures["size"] / MIB
    yield Target("size of the program", "≤ 8 MiB", f"{size:.2f} MiB", size <= 8, True)
    for what, name in [("users and commands", "names"), ("ledger rows", "rows")]:
        costs = [cost for _, cost in growth[name]]
        more = max(costs) / costs[0] - 1
        yield Target(f"growth with {what}, in instructions", "≤ 5 %", f"{100 * more:.1f} %", more <= 0.05, True)
    for kind, curve in growth["mail"].items():
        yield from message_growth(kind, curve)
    unknown = sorted(unexplained(measures))
    shown = ", ".join(unknown) or "none"
    yield Target("system calls without a reason in bench/syscalls", "none", shown, not unknown, True)


def message_growth(kind, curve):
    cost = dict(map(tuple, curve))
    kib = 1 << 10
    first = (cost[128 * kib] - cost[64 * kib]) / (64 * kib)
    second = (cost[256 * kib] - cost[128 * kib]) / (128 * kib)
    what = "not a request" if kind == "junk" else kind
    shown = f"{first:.1f}, then {second:.1f} instructions a byte"
    yield Target(f"growth with the message, {what}: linear", "within 5 %", shown, second <= first * 1.05, True)
    more = cost[25 * MIB] / cost[257 * kib] - 1
    yield Target(f"growth beyond the limit, {what}", "within 5 %", f"{100 * more:.1f} %", more <= 0.05, True)


def reasons():
    """bench/syscalls: a name, and why a delivery calls it."""
    lines = (Path(__file__).parent / "syscalls").read_text().splitlines()
    return dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))


def unexplained(measures):
    return {name for calls in measures["calls"].values() for name in calls["own"]} - set(reasons())


def all_targets(measures, more):
    return [*in_counts(measures), *in_time(measures), *more(measures)]
