"""The ledger in PostgreSQL: a primary with one synchronous standby on this machine, pgbouncer before it, and gateways that
use it; and the floor (bench/rivals/floor.c), which keeps its records there. In: the machine. Out: folders of gateways whose
ledgers can be reset, and what a delivery costs the server.

Data is on DISK, like every ledger here. The names are those of docs/several-gateways.md."""

import os
import pwd
import shutil
import signal
import statistics
import subprocess
import time
from pathlib import Path

import operators
from machine import COMMAND, DISK, FLOOR, PROGRAM, command_line, run, until
from users import enrol, twin, write

ACCOUNT = "postgres"
SOCKETS = Path("/run/postgresql")
HOME = DISK / "postgresql"
# How a gateway reaches the server: its rival's name -> [ledger].
WAYS = {
    "mailsudopg": 'url = "postgresql:///mailsudo?host=/run/postgresql"\nsynchronous = "require"',
    "mailsudopool": 'url = "postgresql:///mailsudo?host=/run/postgresql&port=6432"\nsynchronous = "require"',
    "mailsudotls": 'url = "postgresql://mailsudo@database/mailsudo?hostaddr=127.0.0.1'
    '&sslrootcert=/etc/mailsudo-pg/ca.pem"\npassword_file = "/etc/mailsudo-pg/password"\nsynchronous = "require"',
}
# The floor with its records in PostgreSQL: its name -> the server's port.
FLOORS = {"floorpg": 5432, "floorpool": 6432}
OWNER = "postgresql://mailsudo_owner@/mailsudo?host=/run/postgresql"
FRESH = "/usr/local/libexec/fresh-database"
SERVER = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '/run/postgresql'
ssl = on
ssl_cert_file = '{home}/server.pem'
ssl_key_file = '{home}/server.key'
{more}
"""
HBA = """\
local all,replication all trust
hostssl mailsudo mailsudo 127.0.0.1/32 scram-sha-256
"""
POOLER = """\
[databases]
mailsudo = host=/run/postgresql port=5432 user=mailsudo
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = /run/postgresql
auth_type = any
auth_file = {home}/users
pool_mode = transaction
logfile = {home}/pgbouncer.log
pidfile = {home}/pgbouncer.pid
"""
EMPTY = """\
TRUNCATE mailsudo.requests, mailsudo.locks, mailsudo.lockouts, mailsudo.events CASCADE;
UPDATE mailsudo.ledger SET watermark = NULL;
UPDATE mailsudo.counters SET value = 0;
TRUNCATE floor;
"""
FLOOR_TABLE = """\
CREATE TABLE floor (name text PRIMARY KEY, said text NOT NULL);
GRANT SELECT, INSERT, UPDATE ON floor TO mailsudo;
"""
CERTIFICATES = """\
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ca.key -out ca.pem \
    -subj /CN=ca -addext basicConstraints=critical,CA:TRUE
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj /CN=database
printf 'subjectAltName=DNS:database\\n' >extensions
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile extensions
chmod 0600 server.key
"""


def programs():
    return max(Path("/usr/lib/postgresql").iterdir(), key=lambda folder: int(folder.name)) / "bin"


def as_account(*words):
    return run("/usr/bin/setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", "--", *words, cwd="/")


class Server:
    """One PostgreSQL server. It ends with the sandbox."""

    def __init__(self, name, port, more=""):
        self.data, self.port = HOME / name, port
        account = pwd.getpwnam(ACCOUNT)
        for folder in [HOME, SOCKETS]:
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, account.pw_uid, account.pw_gid)
        if not (HOME / "server.pem").exists():
            as_account("bash", "-euc", f"cd {HOME}\n{CERTIFICATES}")
        self._make(more)
        write(self.data / "pg_hba.conf", HBA, 0o640, (account.pw_uid, account.pw_gid))
        as_account(programs() / "pg_ctl", "-D", self.data, "-w", "-l", HOME / f"{name}.log", "start")

    def _make(self, more):
        as_account(programs() / "initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as settings:
            settings.write(SERVER.format(port=self.port, home=HOME, more=more))

    def sql(self, sql, database="mailsudo", user="postgres"):
        words = ["/usr/bin/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", SOCKETS, "-p", str(self.port), "-U", user, "-d", database]
        return run(*words, input=sql).strip()

    def stop(self):
        as_account(programs() / "pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")
        run("rm", "-rf", self.data)

    def roles(self):
        self.sql(
            "CREATE ROLE mailsudo_owner LOGIN; CREATE ROLE mailsudo LOGIN PASSWORD 'correct horse';"
            "GRANT pg_monitor TO mailsudo;", "postgres",
        )
        self.sql("CREATE DATABASE mailsudo OWNER mailsudo_owner ENCODING 'UTF8' TEMPLATE template0", "postgres")


class Standby(Server):
    """A copy of another server that confirms each of its commits."""

    def __init__(self, name, port, primary):
        self.primary = primary
        super().__init__(name, port)
        primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'", "postgres")
        primary.sql("SELECT pg_reload_conf()", "postgres")
        state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        until("the synchronous standby", lambda: primary.sql(state, "postgres") == "1")

    def _make(self, more):
        link = f"host={SOCKETS} port={self.primary.port} user=postgres application_name={self.data.name}"
        as_account(programs() / "pg_basebackup", "-D", self.data, "-R", "-c", "fast", "-d", link)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as settings:
            settings.write(f"port = {self.port}\n")


def folder(name):
    return f"/etc/{name.replace('mailsudo', 'mailsudo-')}"


def gateway(name, ledger, machine, via="sudo"):
    """A gateway with the same users and commands as /etc/mailsudo."""
    twin("/etc/mailsudo", name)
    configure(name, ledger, machine, via)


def configure(name, ledger, machine, via):
    """Writes a gateway's own file."""
    settings = f'gateway = "berlin"\naddress = "ops@example.com"\nmax_age = "12h"\n[ledger]\n{ledger}\n[execution]\nrun_via = "{via}"\n'
    write(f"{name}/mailsudo.toml", settings, 0o640, (0, machine.ids[1]))


class Database:
    """A primary, its standby and its pooler, and a gateway for each way to reach them."""

    def __init__(self, machine):
        self.primary = Server("primary", 5432, "shared_buffers = 256MB")
        self.primary.roles()
        self.standby = Standby("standby", 5433, self.primary)
        account = pwd.getpwnam(ACCOUNT)
        write(HOME / "users", '"mailsudo" ""\n', 0o640, (account.pw_uid, account.pw_gid))
        write(HOME / "pgbouncer.ini", POOLER.format(home=HOME), 0o640, (account.pw_uid, account.pw_gid))
        as_account("/usr/sbin/pgbouncer", "-d", HOME / "pgbouncer.ini")
        until("pgbouncer", lambda: (SOCKETS / ".s.PGSQL.6432").exists())
        for name, ledger in WAYS.items():
            gateway(folder(name), ledger, machine)
        write("/etc/mailsudo-pg/ca.pem", (HOME / "ca.pem").read_text())
        write("/etc/mailsudo-pg/password", "correct horse\n", 0o640, (0, machine.ids[1]))
        run(PROGRAM, "ledger", "init", "--config", folder("mailsudopg"), "--owner-url", OWNER)
        self.primary.sql(FLOOR_TABLE)
        psql = f"exec /usr/bin/psql -Xq -v ON_ERROR_STOP=1 -h {SOCKETS} -U postgres -d mailsudo"
        write(FRESH, f"#!/bin/sh -e\n{psql} <<'END'\n{EMPTY}END\n", 0o755)
        self.forget()

    @staticmethod
    def forget():
        """Resets the ledger to its state after `ledger init`, without the watermark."""
        run(FRESH)

    def stop(self):
        """Ends all of it: nothing of it runs beside what is measured later."""
        os.kill(int((HOME / "pgbouncer.pid").read_text()), signal.SIGINT)
        for server in [self.primary, self.standby]:
            server.stop()


def rivals(sendmail):
    """What pipe(8) runs, as in machine.rivals."""
    ways = {f"{name}-sudo": [PROGRAM, "deliver", "--config", folder(name), "--reply-via", sendmail] for name in WAYS}
    for name, port in FLOORS.items():
        place = f"postgresql:{SOCKETS}/.s.PGSQL.{port}"
        ways[f"{name}-sudo"] = [FLOOR, place, sendmail, "u0@users.example", *command_line("sudo")]
    return ways


# Requests that are done with, none of them old enough to be pruned, each with one event of the audit chain.
ROWS = """
INSERT INTO mailsudo.requests (id, user_name, command, arguments, signed, first_seen, state, step, run_as, argv, started, finished,
    result, reply_to, reply, replied, queue_id, audit_lost, node, token, written)
SELECT sha256(int8send(n)), 'user' || (n / 1000), 'nothing', '', {now} - 7000000 + n, {now} - 7000000 + n, 'finished', n, 'nobody',
    '/usr/bin/true', {now} - 7000000 + n, {now} - 7000000 + n, 'exit-0', 'user@users.example', 'the reply', {now} - 7000000 + n,
    'queue', 0, 'mx', 'token', 1
FROM generate_series({first}::bigint, {last} - 1) AS n;
INSERT INTO mailsudo.events SELECT {base} + n, {now} - 7000000 + n, 'an event', sha256(int8send(n))
FROM generate_series({first}::bigint + 1, {last}) AS n;
UPDATE mailsudo.counters SET value = value + {last} - {first} WHERE series = 'recorded';
ANALYZE;
CHECKPOINT;
"""
TOUCHED = """
SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit) FROM pg_statio_all_tables WHERE schemaname = 'mailsudo'
"""


def growth(machine, sizes, count, say):
    """What an executed request costs the server with so many requests in the ledger: blocks that it reads or changes (of tables
    and indices), and bytes of its log; `count(folder, user)` delivers some and says the client's own instructions. Then the seconds
    of each operator's command with the last of `sizes`."""
    # No durability: the rows are made anew each time, and what is counted does not depend on it. Whole pages in the log depend on when
    # the last checkpoint was.
    quick = "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nautovacuum = off"
    server = Server("rows", 5440, f"{quick}\nmax_wal_size = 8GB\nshared_buffers = 1GB")
    server.roles()
    place = "/srv/rows-pg"
    users = machine.users[: (1 + SENDERS) * len(sizes)]
    rows_gateway(place, users, machine, "direct")
    run(PROGRAM, "ledger", "init", "--config", place, "--owner-url", f"{OWNER}&port=5440")
    have, curve = 0, []
    for size in sizes:
        say(f"growth: {size} rows in PostgreSQL")
        if size > have:
            base = server.sql("SELECT coalesce(max(number), 0) FROM mailsudo.events")
            server.sql("SET synchronous_commit = off;" + ROWS.format(first=have, last=size, now=int(time.time()), base=int(base) - have))
            have = size
        server.sql("UPDATE mailsudo.ledger SET watermark = NULL")
        # They come first: what is read for the first time is not counted with the rest.
        instructions = count(place, users.pop())
        before = touched(server)
        delivered = [deliver(machine, place, users.pop()) for _ in range(SENDERS)]
        blocks, log = (after - once for after, once in zip(touched(server), before, strict=True))
        curve.append([size, instructions, round(blocks / sum(delivered)), round(log / sum(delivered))])
    # The host as operators.py has it, a gateway with few users that uses sudo: `check` reads the secrets of all gateways beside it,
    # and of those that Postfix knows. The others of this file have done their part.
    for other in [place, *map(folder, WAYS)]:
        shutil.rmtree(other)
    rows_gateway(place, machine.users[: len(sizes)], machine, "sudo")
    seconds = {}
    for words in [*operators.COMMANDS, ["ledger", "check"]]:
        name = " ".join(words)
        say(f"operators' commands in PostgreSQL: {name}")
        times = 1 if name == "ledger check" else operators.TIMES
        seconds[name] = statistics.median(timed(machine, words, place) for _ in range(times))
    server.stop()
    return {"curve": curve, "operators": seconds}


def rows_gateway(place, users, machine, via):
    """A gateway beside that of SQLite's rows."""
    write(f"{place}/commands.d/nothing.toml", COMMAND.format(name="nothing", program="/usr/bin/true", role="web"))
    enrol(users, place, f"{place}-rival", machine.ids[1])
    configure(place, 'url = "postgresql:///mailsudo?host=/run/postgresql&port=5440"', machine, via)


# How many requests each user sends, and how many users, of which what the server does is counted. Now and then an index's page is
# split, and its half is a record of some 4 KB in the log: with a few requests, one more or less would look like growth.
TIMES = 4
SENDERS = 25


def deliver(machine, folder, user):
    """Delivers requests of a user, and says how many. Each has a code of its own."""
    now = int(time.time())
    for turn in range(-TIMES, 0):
        mail = user.mail(user.block("nothing", now + 30 * turn))
        words = machine.as_service(PROGRAM, "deliver", "--config", folder)
        done = subprocess.run(words, input=mail, capture_output=True, cwd="/", check=False)
        if done.returncode != 0 or b"result: exit-0" not in done.stdout:
            raise SystemExit(f"bench: a request was not executed: exit {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
    return TIMES


def touched(server):
    """The blocks and the bytes of log so far. A session counts what it did when it ends."""
    server.sql("SELECT pg_sleep(0.5)")
    blocks = int(server.sql(TOUCHED))
    return blocks, int(server.sql("SELECT pg_current_wal_insert_lsn() - '0/0'"))


def timed(machine, words, folder):
    begin = time.monotonic()
    done = subprocess.run(machine.as_service(PROGRAM, *words, "--config", folder), capture_output=True, cwd="/", check=False)
    took = time.monotonic() - begin
    # check: 1 and 2 say that it has found something.
    if done.returncode not in ([0, 1, 2] if words == ["check"] else [0]):
        raise SystemExit(f"bench: {words}: exit {done.returncode}\n{done.stderr.decode()}")
    return took
