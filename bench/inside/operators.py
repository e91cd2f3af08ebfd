"""What an operator's commands take with a large ledger. In: the machine, with the ledger that growth.py has filled. Out: for each
command the median of its seconds, and for each program that `check` asks, too, run by itself.

`check` is that of a gateway that uses sudo. The folder that growth.py has filled with users is removed first: `check` reads the
secrets of each gateway beside its own."""

import ast
import re
import shutil
import sqlite3
import statistics
import subprocess
import time
from pathlib import Path

import growth
from machine import GATEWAY, PROGRAM
from users import User, write

LEDGER = Path("/var/lib/mailsudo/rows.db")
# The rows are of a command named `nothing`, and of users with a thousand requests each (growth.py); these few become another's.
RARE = "UPDATE requests SET command = 'rare' WHERE rowid % 250000 = 7"
COMMANDS = [
    ["metrics"],
    ["ledger", "status"],
    ["log"],
    ["log", "--since", "1h"],
    ["log", "--user", "user7"],
    ["log", "--state", "refused"],
    ["log", "--state", "started"],
    ["log", "--state", "finished"],
    ["log", "--command", "nothing"],
    ["log", "--command", "rare"],
    ["log", "--command", "rare", "--since", "2400h"],
    ["log", "--command", "rare", "--user", "user7"],
    ["log", "--command", "rare", "--state", "finished"],
    ["log", "--command", "help"],
    ["report", "--since", "1h"],
    ["check"],
]
TIMES = 5


def measure(machine, rows, say):
    if not LEDGER.exists():
        growth.rows_gateway(machine, [User(0)])
        growth.fill(machine, 0, rows)
    say(f"operators' commands with {rows} requests")
    ledger = sqlite3.connect(LEDGER)
    with ledger:
        ledger.execute(RARE)
    ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    ledger.close()
    growth.own(machine, "rows")
    shutil.rmtree(growth.MANY, ignore_errors=True)
    write(f"{growth.ROWS_FOLDER}/mailsudo.toml", GATEWAY.format(via="sudo", name="rows"))
    found = {"rows": rows, "bytes": LEDGER.stat().st_size, "seconds": {}}
    for words in COMMANDS:
        command = machine.as_service(PROGRAM, *words, "--config", growth.ROWS_FOLDER)
        # check: 1 and 2 say that it has found something.
        found["seconds"][" ".join(words)] = seconds(command, [0, 1, 2] if words == ["check"] else [0])
    found["asked"] = asked(machine)
    for path in LEDGER.parent.glob("rows.db*"):
        path.unlink()
    return found


def seconds(command, statuses=None):
    """The median of what a command takes."""
    took = []
    for _ in range(TIMES):
        begin = time.monotonic()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, cwd="/", check=False)
        took.append(time.monotonic() - begin)
        if statuses and done.returncode not in statuses:
            raise SystemExit(f"bench: {command}: exit {done.returncode}\n{done.stderr.decode()}")
    return statistics.median(took)


def asked(machine):
    """Each program that `check` starts itself: its words, and the seconds that it takes alone."""
    place = Path("/tmp/check-trace")
    place.mkdir()
    check = machine.as_service(PROGRAM, "check", "--config", growth.ROWS_FOLDER)
    watched = ["strace", "-ff", "-qq", "-s", "1000", "-e", "trace=execve,process", "-e", "signal=none", "-o", place / "of", *check]
    subprocess.run(watched, capture_output=True, cwd="/", check=False)
    calls = {path.suffix[1:]: path.read_text().splitlines() for path in place.iterdir()}
    # The thread that has begun it is the one with the first number; what a program becomes, or starts, is a part of it.
    threads, programs = [min(calls, key=int)], []
    for thread in threads:
        for line in calls[thread]:
            if started := re.match(r"(?:clone3?|v?fork)\(.*= (\d+)$", line):
                (threads if "CLONE_THREAD" in line else programs).append(started[1])
    words = [first_words(calls[program]) for program in programs]
    return [[line, seconds(machine.as_service(*line))] for line in words if line]


def first_words(calls):
    """The command line of the first program that a process has become."""
    found = (re.match(r'execve\("[^"]*", (\[.*\]), .*\) = 0$', line) for line in calls)
    return next((ast.literal_eval(call[1]) for call in found if call), None)
