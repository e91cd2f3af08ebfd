"""What an operator's commands take with a large ledger. In: the machine, with the ledger that growth.py has filled. Out: for each
command the median of its seconds.

Only what `mailsudo` itself does is measured: `check` waits for other programs (Postfix, sudo), whatever the ledger holds."""

import statistics
import subprocess
import time
from pathlib import Path

import growth
from machine import PROGRAM
from users import User

LEDGER = Path("/var/lib/mailsudo/rows.db")
# The rows are of commands named `nothing`, and of users with a thousand requests each (growth.py).
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
    found = {"rows": rows, "bytes": LEDGER.stat().st_size, "seconds": {}}
    for words in COMMANDS:
        took = []
        for _ in range(TIMES):
            begin = time.monotonic()
            command = machine.as_service(PROGRAM, *words, "--config", growth.ROWS_FOLDER)
            done = subprocess.run(command, capture_output=True, cwd="/", check=False)
            took.append(time.monotonic() - begin)
            # check: 1 and 2 say that it has found something.
            if done.returncode not in ([0, 1, 2] if words == ["check"] else [0]):
                raise SystemExit(f"bench: {words}: exit {done.returncode}\n{done.stderr.decode()}")
        found["seconds"][" ".join(words)] = statistics.median(took)
    for path in LEDGER.parent.glob("rows.db*"):
        path.unlink()
    return found
