"""Everything that `make bench` measures, inside the sandbox, started by bench/run as root. Out: the measures as JSON on
standard output, and what is being done on standard error."""

import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import agree
import counted
import flood
import growth
import oneshot
import operators
import postgresql
import throughput
from machine import DISK, PROGRAM, SENDMAIL, SMTP, Machine, gateway_folder, rivals, run
from postfix import Postfix

if not Path("/run/mailsudo-sandbox").exists():
    sys.exit("measure.py changes users, sudoers and mail, and so runs in the sandbox only: make bench")

QUICK = os.environ.get("QUICK", "") not in ["", "0"]
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# Only these parts, separated by commas, if there are any: for working on the bench. Nothing is written then.
PARTS = [part for part in os.environ.get("PARTS", "").split(",") if part]
# How many seconds after the start the last round of the queue is to end, if two have been made.
BUDGET = 0 if QUICK else 840


def say(what):
    print(f"bench: {time.monotonic() - START:4.0f} s: {what}", file=sys.stderr, flush=True)


def others():
    """What part of the cores other work takes, seen while the bench itself does nothing."""
    before = cpu_times()
    time.sleep(3)
    spent, idle = (after - once for after, once in zip(cpu_times(), before, strict=True))
    return 1 - idle / spent


def cpu_times():
    """Ticks of all cores since the machine began, all and idle ones (proc_stat(5))."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]


def about_machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu[1] if cpu else platform.machine(),
        "kernel": platform.release(),
        "disk": run("findmnt", "-n", "-o", "FSTYPE", "-T", DISK).strip(),
        "quick": QUICK,
        "versions": {
            "mailsudo": run(PROGRAM, "--version").strip(),
            "Postfix": run("postconf", "-h", "mail_version").strip(),
            "sudo": run("sudo", "--version").splitlines()[0],
            "Python": platform.python_version(),
            "valgrind": run("valgrind", "--version").strip().removeprefix("valgrind-"),
        },
    }


def takes_smtp(machine):
    """Whether this mailsudo sends replies by SMTP. Found out with a request, since it might take the words for a path."""
    user = machine.users[0]
    words = [PROGRAM, "deliver", "--config", gateway_folder("open"), "--reply-via", SMTP]
    done = subprocess.run(machine.as_service(*words), input=user.mail(user.block("nothing")), cwd="/", check=False)
    machine.forget()
    return done.returncode == 0


def in_postgresql(machine, postfix, ways):
    """The ledger in PostgreSQL, beside that in SQLite in the same rounds."""
    machine.database = postgresql.Database(machine)
    ways = {name: ways[name] for name in ["mailsudo-sudo", "floor-sudo"]} | postgresql.rivals(SENDMAIL)
    sizes = [1000, 100_000] + ([] if QUICK else [1_000_000, 5_000_000])

    def executed(folder, user):
        return growth.executed(machine, folder, user, postgresql.TIMES)

    measured = {
        "version": machine.database.primary.sql("SHOW server_version", "postgres").split()[0],
        "oneshot": oneshot.databases(machine, ways, 10 if QUICK else 40, say),
        "queue": throughput.measure(machine, postfix, ways, time.monotonic() + BUDGET / 6, say, [("sudo", way) for way in ways]),
        "growth": postgresql.growth(machine, sizes, executed, say),
    }
    machine.database.stop()
    machine.database = None
    return measured


def parts(machine, postfix, ways, transports):
    """Each part of the bench: what it measures."""
    sizes = [KIB, 64 * KIB, MIB, 64 * MIB, GIB]
    rows = [0, 1000, 100_000] + ([] if QUICK else [1_000_000, 5_000_000])
    return {
        "agree": lambda: agree.agree(machine, postfix, ways),
        "instructions": lambda: counted.all_instructions(machine),
        "calls": lambda: counted.all_calls(machine, transports),
        "faults": lambda: counted.all_page_faults(machine),
        "growth": lambda: {
            "output": growth.output_memory(machine, sizes[:4] if QUICK else sizes, say),
            "mail_memory": growth.message_memory(machine, [KIB, 256 * KIB, MIB, 25 * MIB]),
            "mail": growth.message_sizes(
                machine, [KIB, 16 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, 257 * KIB, MIB, 25 * MIB], say
            ),
            "names": growth.users_and_commands(machine, [10, 100, 1000, 10000] + ([] if QUICK else [100_000]), say),
            "rows": growth.ledger_rows(machine, rows, say),
        },
        # In the ledger that the growth with rows has filled.
        "operators": lambda: operators.measure(machine, rows[-1], say),
        "oneshot": lambda: oneshot.measure(machine, ways, 40 if QUICK else 200, say),
        "postgresql": lambda: in_postgresql(machine, postfix, ways),
        "queue": lambda: throughput.measure(machine, postfix, ways, START + BUDGET, say),
        # The last one: it changes Postfix's configuration.
        "flood": lambda: flood.measure(machine, postfix, 3000 if QUICK else 10_000, 8 if QUICK else 20, say),
    }


def main():
    busy = others()
    machine = Machine(100 if QUICK else 600)
    postfix = Postfix(rivals(True) | postgresql.rivals(SENDMAIL))
    has_smtp = takes_smtp(machine)
    say(f"replies by SMTP: {'yes' if has_smtp else 'not with this mailsudo'}")
    ways = rivals(has_smtp)
    transports = {"print": None, "sendmail": SENDMAIL} | ({"smtp": SMTP} if has_smtp else {})
    results = {"machine": about_machine(), "size": Path(PROGRAM).stat().st_size, "has_smtp": has_smtp}
    for name, part in parts(machine, postfix, ways, transports).items():
        if not PARTS or name in PARTS:
            say(name)
            results[name] = part()
    results["machine"]["others"] = max(busy, others())
    results["machine"]["took"] = round(time.monotonic() - START)
    json.dump(results, sys.stdout)


START = time.monotonic()
main()
