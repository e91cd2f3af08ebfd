"""What one message costs in time, without Postfix. In: the machine. Out: the time of every run.

(hyperfine(1), as Debian 12 has it, gives no standard input without a shell, whose noise is larger than what is looked for.)
The runs are made by timer.py, as the service user and in turns."""

import json
import subprocess
import sys
from pathlib import Path

import postgresql
from machine import DISK, EMPTY, FRESH, PROGRAM, gateway_folder, ledger_floor
from throughput import RUN_VIA, contests
from users import JUNK, forged

# One run in so many turns: what is quick has the tightest targets.
EVERY = {"python": 10, "shell": 10, "procmail": 10}
EXECUTED = 10


def printing(rivals):
    """mailsudo and its floor with the reply on standard output: the cost of sending the reply is the difference to these."""
    ways = {}
    for via in RUN_VIA:
        ways[f"mailsudoprint-{via}"] = [PROGRAM, "deliver", "--config", gateway_folder(via)]
        floor, log, _, *rest = rivals[f"floor-{via}"]
        ways[f"floorprint-{via}"] = [floor, log, "-", *rest]
    return ways


def fresh(way):
    return postgresql.FRESH if way.partition("-")[0] in postgresql.WAYS else FRESH


def databases(machine, rivals, turns, say):
    """A request and the same mail again, with the ledger in SQLite and in PostgreSQL: the second connects, looks it up, and does
    nothing else."""
    say(f"one-shot: the ledger in PostgreSQL, {turns} turns")
    machine.forget()
    user = machine.users[0]
    mail = DISK / "sudo.eml"
    mail.write_bytes(user.mail(user.block("nothing")))
    jobs = []
    for way in ["mailsudo-sudo", *(f"{name}-sudo" for name in postgresql.WAYS)]:
        once = f"{fresh(way)}; {' '.join(rivals[way])} <{mail}"
        for kind, before in [("sudo", [fresh(way)]), ("duplicate", ["/bin/sh", "-c", once])]:
            jobs.append({"name": f"{kind} {way}", "words": rivals[way], "mail": str(mail), "before": before, "every": 1})
    return timed(machine, turns, jobs)


def timed(machine, turns, jobs):
    timer = machine.as_service(sys.executable, "-B", str(Path(__file__).with_name("timer.py")))
    done = subprocess.run(timer, input=json.dumps([turns, jobs]), text=True, stdout=subprocess.PIPE, cwd="/", check=True)
    return json.loads(done.stdout)


def measure(machine, rivals, turns, say):
    say(f"one-shot: {turns} turns")
    machine.forget()
    user = machine.users[0]
    good = user.mail(user.block("nothing"))
    mails = {"true": JUNK, "junk": JUNK, "refused": forged(good), "open": good, "sudo": good}
    for kind, mail in mails.items():
        (DISK / f"{kind}.eml").write_bytes(mail)
    ways = rivals | printing(rivals) | {"empty": [EMPTY], "ledger": ledger_floor(0)}
    all_contests = [("true", "empty"), ("open", "ledger"), *contests(rivals)] + [(way.partition("-")[2], way) for way in printing(rivals)]
    jobs = [
        {
            "name": f"{kind} {way}",
            "words": ways[way],
            "mail": str(DISK / f"{kind}.eml"),
            # An executed request must be new each time.
            "before": [FRESH] if kind in RUN_VIA else None,
            "every": EXECUTED if kind in RUN_VIA else EVERY.get(way.partition("-")[0], 1),
        }
        for kind, way in all_contests
    ]
    return timed(machine, turns, jobs)
