"""What grows, and what must not: users and commands, ledger rows, the message, the output. In: the machine. Out: curves, as
lists of [size, cost]: instructions by callgrind, or the peak of memory."""

import os
import sqlite3
import statistics
import time
from pathlib import Path

import counted
import memory
from machine import COMMAND, GATEWAY, SENDMAIL, run
from users import JUNK, User, enrol, forged, write

MANY = "/srv/many"
ROWS_FOLDER = "/srv/rows"
LIMIT = 256 << 10


def executed(machine, folder, user, times=4):
    """Mean instructions of `times` executed requests in a row, each with a code of its own."""
    words = [counted.PROGRAM, "deliver", "--config", folder]
    now = int(time.time())
    mails = [user.mail(user.block("nothing", now + 30 * turn)) for turn in range(-times, 0)]
    return round(statistics.mean(counted.instructions(machine, words, mail) for mail in mails))


def gateway(machine, folder, name, users):
    """A gateway without sudo and with a ledger of its own."""
    write(f"{folder}/mailsudo.toml", GATEWAY.format(via="direct", name=name))
    write(f"{folder}/commands.d/nothing.toml", COMMAND.format(name="nothing", program="/usr/bin/true", role="web"))
    enrol(users, folder, f"{folder}-rival", machine.ids[1])


def new_ledger(machine, folder, name):
    """An empty ledger without a watermark: codes of the last minutes count. Each point of a curve begins with a log that is as
    empty as any other's, since what is in it costs, too."""
    for path in Path("/var/lib/mailsudo").glob(f"{name}.db*"):
        path.unlink()
    run(*machine.as_service(counted.PROGRAM, "ledger", "init", "--config", folder))
    ledger = sqlite3.connect(f"/var/lib/mailsudo/{name}.db")
    with ledger:
        ledger.execute("DELETE FROM floor")
    ledger.close()
    own(machine, name)


def own(machine, name):
    """Gives the ledger back to the service user, after root has had it open."""
    for path in Path("/var/lib/mailsudo").glob(f"{name}.db*"):
        os.chown(path, *machine.ids)
        path.chmod(0o600)


def users_and_commands(machine, sizes, say):
    """Names that lead to the same three files: what counts is how many there are in each folder."""
    base = [User(number) for number in range(10)]
    gateway(machine, MANY, "many", base)
    have, curve = 10, []
    for number, size in enumerate(sizes):
        say(f"growth: {size} users and commands")
        for extra in range(have, size):
            for place in ["users.d/u0", "secrets.d/u0", "commands.d/nothing"]:
                folder = Path(MANY) / place.partition("/")[0]
                os.link(f"{MANY}/{place}.toml", folder / f"x{extra}.toml")
        have = size
        new_ledger(machine, MANY, "many")
        curve.append([size, executed(machine, MANY, base[number])])
    return curve


def move_log(name):
    """Moves the log back into the ledger, so that it is empty."""
    ledger = sqlite3.connect(f"/var/lib/mailsudo/{name}.db")
    ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    ledger.close()


ROWS = """
INSERT INTO requests
WITH RECURSIVE number (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM number WHERE n + 1 < :last)
SELECT randomblob(32), 'user' || (n / 1000), 'nothing', '', :now - 7000000 + n, :now - 7000000 + n, 'finished', NULL, n,
       'nobody', '/usr/bin/true', :now - 7000000 + n, :now - 7000000 + n, 'exit-0', 'user@users.example',
       CAST('the reply' AS BLOB), :now - 7000000 + n, 'queue', 0, NULL
FROM number
"""


def rows_gateway(machine, users):
    """A gateway of `users` with an empty ledger, for `fill`."""
    gateway(machine, ROWS_FOLDER, "rows", users)
    new_ledger(machine, ROWS_FOLDER, "rows")


def fill(machine, have, size):
    """Finished requests, none of them old enough to be pruned, with replies of a few bytes, until there are `size`."""
    ledger = sqlite3.connect("/var/lib/mailsudo/rows.db")
    # Filled without a log, which would hold the whole of it once more.
    for setting in ["journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000", "temp_store = MEMORY"]:
        ledger.execute(f"PRAGMA {setting}").fetchall()
    with ledger:
        ledger.execute(ROWS, {"first": have, "last": size, "now": int(time.time())})
        # As admission counts them.
        ledger.execute("UPDATE counters SET value = value + ? WHERE series = 'recorded'", [size - have])
    ledger.execute("PRAGMA journal_mode = WAL").fetchall()
    ledger.close()
    own(machine, "rows")


def ledger_rows(machine, sizes, say):
    """The ledger stays, with all rows, for operators.py."""
    base = [User(number) for number in range(len(sizes))]
    rows_gateway(machine, base)
    have, curve = 0, []
    for user, size in zip(base, sizes, strict=True):
        say(f"growth: {size} ledger rows")
        if size > have:
            fill(machine, have, size)
            have = size
        curve.append([size, executed(machine, ROWS_FOLDER, user)])
        move_log("rows")
    return curve


def padded(mail, size):
    """`mail` with text of ordinary lines before its own, so that it is `size` bytes long."""
    head, body = mail.split(b"\n\n", 1)
    line = b"The quick brown fox jumps over the lazy dog, and the dog takes no notice.\n"
    need = size - len(mail)
    text = (line * (need // len(line) + 1))[: max(need - 1, 0)] + b"\n"
    return head + b"\n\n" + text + body


def message_sizes(machine, sizes, say):
    """Two curves: mails that hold no block, and mails with a forged request at their end."""
    user = machine.users[0]
    request = forged(user.mail(user.block("nothing")))
    # As Postfix calls it: a mail server that gives a queue id does not mind what is left unread.
    words = [*counted.deliver("open"), "--reply-via", SENDMAIL, "--queue-id=4X"]
    curves = {"junk": [], "refused": []}
    for size in sizes:
        say(f"growth: a message of {size} bytes")
        for name, mail in [("junk", JUNK), ("refused", request)]:
            curves[name].append([size, counted.instructions(machine, words, padded(mail, size))])
    return curves


def message_memory(machine, sizes):
    return [[size, memory.peak(machine.as_service(*counted.deliver("open")), padded(JUNK, size))] for size in sizes]


PRINT = """
summary   = "Prints so many bytes"
run_as    = "nobody"
argv      = ["/usr/local/libexec/print", "{bytes}"]
timeout   = "5m"
exclusive = false
[parameters.bytes]
integer   = { min = 0, max = 2000000000 }
[allow.web]
"""


def output_memory(machine, sizes, say):
    """The peak of the process that runs a command which prints so much."""
    write("/usr/local/libexec/print", "#!/bin/sh\nyes 'a line of output, as long as they are' | head -c \"$1\"\n", 0o755)
    write("/etc/mailsudo-open/commands.d/print.toml", PRINT)
    machine.forget()
    curve = []
    for user, size in zip(machine.users, sizes, strict=False):
        say(f"growth: an output of {size} bytes")
        mail = user.mail(user.block(f"print\narg: bytes={size}"))
        curve.append([size, memory.peak(machine.as_service(*counted.deliver("open")), mail)])
    return curve
