"""One good request beside a flood. In: the machine and Postfix. Out: seconds from the request's SMTP session to its reply at the
user's mail server, on a quiet host, and while the queue is full of junk and forged requests come in: to the address that is
flooded, and to the users' own address, which has processes of its own (docs/operations.md#under-a-flood). The forged ones go to
the same address as the good one.

The junk is queued while the queue manager is stopped, so the queue is full when the request comes."""

import os
import signal
import smtplib
import socketserver
import threading
import time

from machine import GATEWAY, PROGRAM, run, until
from postfix import SPOOL, STAGES, fill
from users import JUNK, forged, write

# The gateway's own address (machine.GATEWAY), and a further one, which everybody knows.
OWN = "ops@example.com"
FLOODED = "public@example.com"
FORGED_A_SECOND = 100
# The user's mail server, which takes the replies.
PORT = 2525


class Replies(socketserver.StreamRequestHandler):
    """Takes mails, and notes when each recipient's has come."""

    came = {}

    def handle(self):
        self.wfile.write(b"220 users.example\r\n")
        recipient = ""
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"RCPT":
                recipient = line.decode().split("<")[1].split(">")[0]
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline() not in [b".\r\n", b""]:
                    pass
                self.came[recipient] = time.monotonic()
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


def request(user, address, timeout=120):
    """Sends a good request of `user` to `address`; seconds until its reply has come."""
    Replies.came.pop(user.address, None)
    start = time.monotonic()
    with smtplib.SMTP("127.0.0.1", 25) as server:
        server.sendmail(user.address, [address], user.mail(user.block("nothing")))
    until(f"the reply to {user.name}", lambda: user.address in Replies.came, timeout)
    return Replies.came[user.address] - start


def queued():
    return sum(len(files) for stage in STAGES for _, _, files in os.walk(SPOOL / stage))


class Forger(threading.Thread):
    """Sends forged requests at their rate until it is told to stop."""

    def __init__(self, mail, address):
        super().__init__(daemon=True)
        self.mail, self.address = mail, address
        self.sent, self.stopped = 0, threading.Event()

    def run(self):
        begin = time.monotonic()
        with smtplib.SMTP("127.0.0.1", 25) as server:
            while not self.stopped.is_set():
                server.sendmail("sender@users.example", [self.address], self.mail)
                self.sent += 1
                self.stopped.wait(max(0, begin + self.sent / FORGED_A_SECOND - time.monotonic()))
        self.rate = self.sent / (time.monotonic() - begin)


def flooded(postfix, users, address, junk, times):
    """Answers' times to requests at `address` while the queue has `junk` mails to the flooded one."""
    qmgr = postfix.find_qmgr()
    os.kill(qmgr, signal.SIGSTOP)
    fill(FLOODED, [JUNK] * junk, sessions=4)
    forger = Forger(forged(users[-1].mail(users[-1].block("nothing"))), address)
    forger.start()
    os.kill(qmgr, signal.SIGCONT)
    time.sleep(0.5)
    took = []
    for user in users[:times]:
        seconds = request(user, address)
        left = queued()
        if left < 500 and took:
            break
        took.append(seconds)
    forger.stopped.set()
    forger.join()
    empty_queue(postfix)
    return {"seconds": took, "left": left, "forged_a_second": forger.rate}


def empty_queue(postfix):
    run("postsuper", "-d", "ALL")
    until("an empty queue", lambda: queued() == 0, 300)


INTAKE = f'[intake]\nrecipients = ["{FLOODED}", "{OWN}"]\n'


def install():
    """Connects the gateway and its two addresses to Postfix, as a sysadmin would."""
    write("/etc/mailsudo/mailsudo.toml", GATEWAY.format(via="sudo", name="sudo") + INTAKE)
    domains = run("postconf", "-h", "relay_domains").strip()
    run("postconf", "-e", f"relay_domains = {domains}, example.com")
    run(PROGRAM, "postfix", "install", "--yes")
    # The user's mail server; the rest of this domain's mail is discarded.
    routes = "".join(f"u{number}@users.example smtp:[127.0.0.1]:{PORT}\n" for number in range(100))
    write("/etc/postfix/users", routes)
    maps = run("postconf", "-h", "transport_maps").strip()
    run("postconf", "-e", f"transport_maps = texthash:/etc/postfix/users, {maps}")
    for name in ["main.cf", "master.cf"]:
        os.utime(f"/etc/postfix/{name}", (time.time() - 60, time.time() - 60))
    run("postfix", "reload")


def remove():
    """Makes Postfix and the gateway as they were."""
    run(PROGRAM, "postfix", "remove", "--yes")
    maps = run("postconf", "-h", "transport_maps").strip()
    run("postconf", "-e", f"transport_maps = {maps.removeprefix('texthash:/etc/postfix/users, ')}")
    write("/etc/mailsudo/mailsudo.toml", GATEWAY.format(via="sudo", name="sudo"))
    run("postfix", "reload")


def measure(machine, postfix, junk, times, say):
    install()
    server = socketserver.ThreadingTCPServer(("127.0.0.1", PORT), Replies)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    machine.forget()
    users = machine.users
    say("flood: a quiet host")
    found = {"junk": junk, "quiet": [request(user, OWN) for user in users[:times]]}
    for name, address, many in [("own", OWN, times), ("same", FLOODED, 1)]:
        say(f"flood: {junk} mails, a request to {address}")
        machine.forget()
        found[name] = flooded(postfix, users, address, junk, many)
    server.shutdown()
    remove()
    return found
