"""The real Postfix, and how long it takes to empty a queue that was filled beforehand.

In: mails, and the transport that takes them. Out: deliveries for each second, from the moment the queue manager sees the
queue until nothing is left in it, replies included. The queue manager is stopped (SIGSTOP) while the queue is being filled,
so that it finds all of it at once, as after a maintenance, and nothing else of Postfix is waited for."""

import os
import re
import signal
import smtplib
import threading
import time
from pathlib import Path

from machine import DISK, run, until
from users import write

LOG = Path("/var/log/postfix.log")
SPOOL = Path("/var/spool/postfix")
# In the order in which a mail passes through them.
STAGES = ["maildrop", "incoming", "active", "deferred"]
CONCURRENCIES = [1, 2, 8, 32]
DOMAIN = "bench.example"

# As tests/system has it; nothing retries by itself, and nothing but the transports sets the pace.
MAIN = """\
compatibility_level = 3.6
myhostname = sandbox.example.com
mydestination = localhost
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
maillog_file = /var/log/postfix.log
default_transport = error:nothing leaves the sandbox
relay_domains = users.example, .bench.example
transport_maps = texthash:/etc/postfix/transport
queue_run_delay = 1h
minimal_backoff_time = 1h
maximal_backoff_time = 1h
in_flow_delay = 0
"""
SERVICE = """\
{name} unix - n n - {most} pipe
    flags=Rq user=mailsudo null_sender=
    argv={argv}
"""
# What mailsudo gets; the other programs get no envelope, since they use none.
ENVELOPE = (
    "--sender=${sender} --recipient=${recipient} --queue-id=${queue_id} "
    "--client-address=${client_address} --sasl-username=${sasl_username}"
)


class Postfix:
    def __init__(self, rivals):
        for folder in [SPOOL, DISK / "spool"]:
            folder.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", DISK / "spool", SPOOL)
        stock = Path("/usr/share/postfix/master.cf.dist")
        services = stock.read_text() if stock.exists() else Path("/etc/postfix/master.cf").read_text()
        settings, routes = MAIN, "users.example discard:\n"
        for rival, argv in rivals.items():
            words = " ".join(argv) + (f" {ENVELOPE}" if rival.startswith("mailsudo") else "")
            for most in CONCURRENCIES:
                name = f"{rival}{most}"
                services += SERVICE.format(name=name, most=most, argv=words)
                routes += f"{rival}@{most}.{DOMAIN} {name}:\n"
                settings += f"{name}_destination_recipient_limit = 1\n"
                settings += f"{name}_destination_concurrency_limit = {most}\n"
                settings += f"{name}_initial_destination_concurrency = {most}\n"
        LOG.unlink(missing_ok=True)
        write("/etc/postfix/master.cf", services)
        write("/etc/postfix/transport", routes)
        write("/etc/postfix/main.cf", settings)
        # Postfix waits for a file to be older than a second.
        for name in ["main.cf", "master.cf", "transport"]:
            os.utime(f"/etc/postfix/{name}", (time.time() - 60, time.time() - 60))
        run("postconf", "-F", "*/*/chroot = n")
        run("postfix", "start")
        until("Postfix", lambda: (SPOOL / "public/qmgr").exists())
        self.qmgr = self.find_qmgr()

    @staticmethod
    def find_qmgr():
        """The queue manager's process id; the sandbox has a /proc of its own, and so no other."""

        def found():
            return [comm.parent.name for comm in Path("/proc").glob("[0-9]*/comm") if comm.read_text() == "qmgr\n"]

        until("the queue manager", found)
        return int(found()[0])

    def deliver(self, rival, most, mails):
        """Seconds that `rival` takes for `mails`, `most` at a time, and how often each status was logged."""
        begin = LOG.stat().st_size
        os.kill(self.qmgr, signal.SIGSTOP)
        try:
            fill(f"{rival}@{most}.{DOMAIN}", mails)
            start = time.monotonic()
        finally:
            os.kill(self.qmgr, signal.SIGCONT)
        end = empty()
        lines = self._lines_since(begin)
        to = re.findall(r" to=<[^>]*@([^>]*)>.* status=(\w+)", lines)
        ours = [status for domain, status in to if domain.endswith(DOMAIN)]
        replies = [status for domain, status in to if domain == "users.example"]
        if ours != ["sent"] * len(mails) or set(replies) - {"sent"}:
            raise SystemExit(f"bench: {rival} did not take {len(mails)} mails: {lines[-3000:]}")
        return end - start, len(replies)

    @staticmethod
    def _lines_since(begin):
        """What was logged: postlogd writes late, but in order, so all of it is there when a mark of ours is."""
        mark = f"the queue is empty {time.monotonic_ns()}"
        run("postlog", "-t", "bench", mark)
        lines = ""

        def has_mark():
            nonlocal lines
            with LOG.open() as log:
                log.seek(begin)
                lines = log.read()
            return mark in lines

        until("Postfix's log", has_mark)
        return lines


def fill(recipient, mails, sessions=2):
    def send(some):
        with smtplib.SMTP("127.0.0.1", 25) as server:
            for mail in some:
                server.sendmail("sender@users.example", [recipient], mail)

    threads = [threading.Thread(target=send, args=(mails[number::sessions],)) for number in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def is_empty():
    for stage in STAGES:
        # `deferred` has folders of its own, one for each first letter.
        for _, _, files in os.walk(SPOOL / stage):
            if files:
                return False
    return True


def empty(timeout=300):
    """Waits until the queue is empty; returns when it became so. A mail may pass behind the look's back: so twice."""
    deadline = time.monotonic() + timeout
    while True:
        now = time.monotonic()
        if is_empty() and is_empty():
            return now
        if now > deadline:
            raise SystemExit(f"bench: the queue does not become empty: {run('postqueue', '-j')[:2000]}")
        time.sleep(0.002)
