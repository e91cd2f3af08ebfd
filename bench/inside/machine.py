"""The machine that is measured: the sandbox of tests/system with a gateway, the other programs, Postfix and rsyslog, set up
as a sysadmin would. In: a built mailsudo and the compiled floor. Out: a machine whose ledgers can be reset.

Postfix's queue, every ledger and the installed programs are on a real disk (DISK), since fsync(2) on the sandbox's own tmpfs
costs nothing, and a program that is started from it costs more. Each program has a transport for each concurrency: mail to
`RIVAL@C.bench.example` goes to it, C at a time. Replies go to discard(8)."""

import os
import pwd
import sqlite3
import subprocess
import time
from pathlib import Path

from users import User, enrol, twin, write

CHECKOUT = Path(__file__).resolve().parents[2]
DISK = Path("/mnt")
PROGRAM = "/usr/local/bin/mailsudo"
FLOOR = "/usr/local/libexec/floor"
EMPTY = "/usr/local/libexec/empty"
LEDGER = "/usr/local/libexec/ledger"
SENDMAIL = "/usr/sbin/sendmail"
SMTP = "smtp://127.0.0.1:25"
MARKS = DISK / "marks"
MEMORY = DISK / "lib/opsmail"
FRESH = "/usr/local/libexec/fresh"
SERVICE = "mailsudo"

RSYSLOG = """\
module(load="imuxsock" SysSock.RateLimit.Interval="0")
module(load="builtin:omfile" Template="RSYSLOG_TraditionalFileFormat")
*.*  /var/log/syslog
"""
GATEWAY = """\
gateway = "berlin"
address = "ops@example.com"
max_age = "12h"
[ledger]
url = "sqlite:/var/lib/mailsudo/{name}.db"
[execution]
run_via = "{via}"
"""
COMMAND = """\
summary   = "{name}"
run_as    = "nobody"
argv      = ["{program}"]
exclusive = false
[allow.{role}]
"""
# name: program, role; the same for mailsudo and the other programs.
COMMANDS = {
    "nothing": ("/usr/bin/true", "web"),
    "mark": ("/usr/local/libexec/mark", "web"),
    "forbidden": ("/usr/local/libexec/mark", "oncall"),
}
RIVAL = """\
name=berlin
reply_from=ops@example.com
max_age=43200
run_via={via}
memory={memory}
"""
FORGET = """\
#!/bin/sh -e
cd {disk}/lib
rm -rf mailsudo/* opsmail/*
cp -a ../template/mailsudo/. mailsudo/
exec cp -a ../template/opsmail/. opsmail/
"""


def run(*words, **options):
    done = subprocess.run(words, check=False, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def gateway_folder(name):
    return "/etc/mailsudo" if name == "sudo" else "/etc/mailsudo-open"


def ledger_floor(number):
    """The floor of what an executed request costs in the ledger, in that of the gateway without sudo."""
    return [LEDGER, "/var/lib/mailsudo/open.db", str(number)]


def command_line(via, program="/usr/bin/true"):
    """What mailsudo runs for such a command, without `mailsudo begin`."""
    line = ["/usr/bin/timeout", "--kill-after=5s", "60s", program]
    return line if via == "open" else ["/usr/bin/sudo", "-n", "-u", "nobody", "--", *line]


def rivals(has_smtp):
    """Every way to handle a message: name -> what pipe(8) runs. `sudo` and `open` say whether it runs via sudo."""
    log = f"{DISK}/lib/opsmail/floor.log"
    ways = {"true": ["/bin/true"]}
    for via in ["sudo", "open"]:
        mailsudo = [PROGRAM, "deliver", "--config", gateway_folder(via)]
        folder = f"/etc/opsmail-{via}"
        ways[f"mailsudo-{via}"] = [*mailsudo, "--reply-via", SENDMAIL]
        ways[f"floor-{via}"] = [FLOOR, log, SENDMAIL, "u0@users.example", *command_line(via)]
        if has_smtp:
            ways[f"mailsudosmtp-{via}"] = [*mailsudo, "--reply-via", SMTP]
            ways[f"floorsmtp-{via}"] = [FLOOR, log, "smtp:25", "u0@users.example", *command_line(via)]
        ways[f"python-{via}"] = ["/usr/local/libexec/opsmail.py", folder]
        ways[f"shell-{via}"] = ["/usr/local/libexec/opsmail.sh", folder]
        ways[f"procmail-{via}"] = ["/usr/bin/procmail", "-m", f"FOLDER={folder}", "/etc/opsmail.procmailrc"]
    return ways


class Machine:
    def __init__(self, count):
        self.users = [User(number) for number in range(count)]
        # The ledger in PostgreSQL, where there is one (postgresql.py).
        self.database = None
        self._disk()
        run("make", "-C", str(CHECKOUT), "install", "PREFIX=/usr/local", f"program={os.environ['PROGRAM']}")
        account = pwd.getpwnam(SERVICE)
        self.ids = (account.pw_uid, account.pw_gid)
        self._programs()
        self._memories()
        self._gateways()
        run("cp", "-a", DISK / "lib", DISK / "template")
        self._syslog()
        # `ledger init` refuses whatever was signed up to the second in which the ledger was made.
        time.sleep(1.1)

    def _disk(self):
        """Puts the folders of installed programs on the disk, where /bin/true is: the kernel maps a file of the sandbox's tmpfs
        into a process in smaller steps."""
        for name in ["bin", "libexec"]:
            (DISK / name).mkdir(mode=0o755)
            Path("/usr/local", name).mkdir(exist_ok=True)
            run("mount", "--bind", DISK / name, f"/usr/local/{name}")

    def _programs(self):
        for name in ["opsmail.py", "opsmail.sh"]:
            run("install", "-D", "-m", "755", CHECKOUT / "bench/rivals" / name, f"/usr/local/libexec/{name}")
        run("install", "-m", "755", os.environ["FLOOR"], FLOOR)
        run("install", "-m", "755", os.environ["EMPTY"], EMPTY)
        run("install", "-m", "755", os.environ["LEDGER"], LEDGER)
        run("install", "-m", "644", CHECKOUT / "bench/rivals/procmailrc", "/etc/opsmail.procmailrc")
        write("/usr/local/libexec/mark", f"#!/bin/sh\necho run >>{MARKS}\n", 0o755)
        write(MARKS, "", 0o666)
        write(FRESH, FORGET.format(disk=DISK), 0o755)

    def _memories(self):
        for place in ["mailsudo", "opsmail"]:
            (DISK / "lib" / place).mkdir(parents=True)
            (DISK / "lib" / place).chmod(0o700)
            os.chown(DISK / "lib" / place, *self.ids)
        run("mount", "--bind", DISK / "lib/mailsudo", "/var/lib/mailsudo")
        database = MEMORY / "requests.db"
        memory = sqlite3.connect(database)
        # The write-ahead log was measured to be faster for the script too.
        memory.execute("PRAGMA journal_mode = WAL")
        columns = "name TEXT PRIMARY KEY, user TEXT, step INTEGER, state TEXT, UNIQUE (user, step)"
        memory.execute(f"CREATE TABLE requests ({columns})")
        memory.close()
        os.chown(database, *self.ids)

    def _gateways(self):
        for name, (program, role) in COMMANDS.items():
            write(f"/etc/mailsudo/commands.d/{name}.toml", COMMAND.format(name=name, program=program, role=role))
            write(f"/etc/opsmail-sudo/commands.d/{name}", f"run_as=nobody\nroles={role}\nargv={program}\n")
        enrol(self.users, "/etc/mailsudo", "/etc/opsmail-sudo", self.ids[1])
        twin("/etc/mailsudo", "/etc/mailsudo-open")
        twin("/etc/opsmail-sudo", "/etc/opsmail-open")
        for via, name in [("sudo", "sudo"), ("direct", "open")]:
            write(f"{gateway_folder(name)}/mailsudo.toml", GATEWAY.format(via=via, name=name))
            run(*self.as_service(PROGRAM, "ledger", "init", "--config", gateway_folder(name)))
            write(f"/etc/opsmail-{name}/gateway", RIVAL.format(via=via, memory=MEMORY))
        run(PROGRAM, "sudoers", "--install", "--yes")
        # The other programs run the command without `mailsudo begin`, which the gateway's own rules hold.
        rule = f"{SERVICE} ALL = (nobody) NOPASSWD: EXEC: /usr/bin/timeout --kill-after\\=5s 60s *\n"
        write("/etc/sudoers.d/zz-rivals", rule, 0o440)

    def _syslog(self):
        write("/etc/rsyslog.conf", RSYSLOG)
        run("rsyslogd", "-i", "/run/rsyslogd.pid")
        until("rsyslogd's socket", lambda: Path("/dev/log").exists())

    def forget(self):
        """Resets every ledger to its state after the installation."""
        run(FRESH)
        if self.database:
            self.database.forget()

    def as_service(self, *words):
        """The words that run `words` as the service user, as pipe(8) would."""
        uid, gid = self.ids
        return ["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--", *words]


def until(what, holds, timeout=60):
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: waited in vain for {what}")
        time.sleep(0.01)
