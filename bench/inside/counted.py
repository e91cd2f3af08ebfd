"""What one message costs in things that can be counted, which come out the same on any machine: instructions (callgrind,
children excluded) and system calls (strace, its own and its children's). In: the machine. Out: counts.

A request's cost depends on how full the ledger's write-ahead log is, so a mean over consecutive deliveries is taken."""

import os
import re
import sqlite3
import statistics
import subprocess
from collections import Counter

from machine import DISK, EMPTY, PROGRAM, SENDMAIL, gateway_folder, ledger_floor
from users import JUNK, forged

TRACE = DISK / "trace"
# Consecutive deliveries: enough for the write-ahead log to be moved back once.
SERIES = 12


def deliver(via, transport=None):
    return [PROGRAM, "deliver", "--config", gateway_folder(via), *(["--reply-via", transport] if transport else [])]


def instructions(machine, words, mail):
    """What callgrind counts for one run of `words`."""
    valgrind = ["/usr/bin/valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    # As little environment as pipe(8) gives.
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C"}
    done = subprocess.run(
        machine.as_service(*valgrind, *words), input=mail, capture_output=True, cwd="/", env=environment, check=False
    )
    count = re.search(rb"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not count:
        raise SystemExit(f"bench: {words} under callgrind: exit {done.returncode}\n{done.stderr.decode()}")
    return int(count[1])


def last_result(via):
    """How the ledger's last run ended. (The database is not the live one: nothing runs meanwhile.)"""
    ledger = sqlite3.connect(f"/var/lib/mailsudo/{via}.db")
    try:
        return ledger.execute("SELECT result FROM requests ORDER BY rowid DESC LIMIT 1").fetchone()[0]
    finally:
        ledger.close()


def all_instructions(machine):
    machine.forget()
    counts = {"junk": instructions(machine, deliver("sudo"), JUNK)}
    for via in ["open", "sudo"]:
        machine.forget()
        mails = [user.mail(user.block("nothing")) for user in machine.users[:SERIES]]
        each = [instructions(machine, deliver(via), mail) for mail in mails]
        counts[via] = round(statistics.mean(each))
        if via == "sudo":
            counts["refused"] = instructions(machine, deliver(via), forged(mails[0]))
            counts["duplicate"] = instructions(machine, deliver(via), mails[0])
    # Valgrind before 3.20 or so knows no pidfd_open(2): then the run ends as one that could not be watched.
    counts["executed_ended"] = last_result("sudo")
    machine.forget()
    each = [instructions(machine, ledger_floor(number), b"") for number in range(SERIES)]
    return counts | {"ledger": round(statistics.mean(each))}


def page_faults(machine, words, mail):
    """The page faults of one run (getrusage(2)), and of setpriv(1), which starts it: the fewest of five runs."""
    path = DISK / "faults.eml"
    path.write_bytes(mail)
    counts = []
    for _ in range(5):
        with open(path, "rb") as file:
            process = subprocess.Popen(machine.as_service(*words), stdin=file, stdout=subprocess.DEVNULL, cwd="/", env={"PATH": "/usr/bin:/bin"})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"bench: {words}: exit {process.returncode}")
        counts.append(usage.ru_minflt)
    return min(counts)


def all_page_faults(machine):
    """What a mail without a request costs, beyond what a program costs that does nothing."""
    machine.forget()
    nothing = page_faults(machine, [EMPTY], JUNK)
    return {
        "true": page_faults(machine, ["/bin/true"], JUNK) - nothing,
        "junk": page_faults(machine, deliver("sudo"), JUNK) - nothing,
    }


def trace(machine, words, mail):
    """The system calls of one run: (its own, its children's, how many children it has)."""
    tracer = ["/usr/bin/strace", "-f", "-u", "mailsudo", "-o", str(TRACE), "--", *words]
    # pipe(8)'s child has no supplementary group either; strace takes the user's own, which has none.
    done = subprocess.run(tracer, input=mail, capture_output=True, cwd="/", env={"PATH": "/usr/bin:/bin"}, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: {words} under strace: exit {done.returncode}\n{done.stderr.decode()}")
    own, others, pids = Counter(), Counter(), []
    for line in TRACE.read_text(errors="replace").splitlines():
        pid, _, rest = line.partition(" ")
        pids.append(pid)
        # A call that was interrupted by another's is resumed on a line of its own.
        call = re.match(r" *([a-z0-9_]+)\(", rest)
        if call:
            (own if pid == pids[0] else others)[call[1]] += 1
    return own, others, len(set(pids)) - 1


def syncs(calls):
    return calls["fsync"] + calls["fdatasync"] + calls["msync"] + calls["sync_file_range"]


def summary(series):
    """Means over a series of runs, and the durable commits of the run in the middle."""
    means = Counter()
    for own, _, _ in series:
        means.update(own)
    return {
        "own": {name: round(count / len(series), 1) for name, count in means.most_common()},
        "own_total": round(statistics.mean(own.total() for own, _, _ in series), 1),
        "children_total": round(statistics.mean(others.total() for _, others, _ in series), 1),
        "children": round(statistics.mean(children for _, _, children in series), 1),
        "syncs_median": statistics.median(syncs(own) for own, _, _ in series),
        "syncs_mean": round(statistics.mean(syncs(own) for own, _, _ in series), 2),
        "children_syncs": round(statistics.mean(syncs(others) for _, others, _ in series), 2),
    }


def all_calls(machine, transports):
    machine.forget()
    good = [user.mail(user.block("nothing")) for user in machine.users[:SERIES]]
    found = {
        "junk": summary([trace(machine, deliver("sudo", SENDMAIL), JUNK)]),
        "refused": summary([trace(machine, deliver("sudo", SENDMAIL), forged(good[0]))]),
    }
    for via in ["open", "sudo"]:
        for name, transport in transports.items():
            machine.forget()
            series = [trace(machine, deliver(via, transport), mail) for mail in good]
            found[f"{via} {name}"] = summary(series)
    return found
