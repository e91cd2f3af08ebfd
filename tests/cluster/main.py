"""Three database servers and two mail servers: the recipe of docs/several-gateways.md, and what happens when the primary dies.

Each request is delivered to both mail servers. MUST: each runs once, the queue becomes empty, each has at least one reply that says that it
ran. When the primary of before is back, the ledger holds every request, and none runs again that is delivered again."""

import collections
import re
import smtplib
import socketserver
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if not Path("/run/mailsudo-sandbox").exists():
    sys.exit("main.py changes users, sudoers and mail, and so runs in the sandbox only: make test-cluster")

import recipe
from database import Cluster
from gateway import RAN, Gateway, Request, User, install
from nodes import HERE, Host, network, until

SHORT = sys.argv[1:] == ["short"]
BEGUN = time.monotonic()
REPLIES = collections.defaultdict(list)


def say(what):
    print(f"cluster: {time.monotonic() - BEGUN:4.0f} s: {what}", flush=True)


class Mailbox(socketserver.StreamRequestHandler):
    """A mail server that takes every reply (RFC 5321)."""

    def handle(self):
        def answer(text):
            self.wfile.write(f"{text}\r\n".encode())

        answer("220 mailbox")
        while line := self.rfile.readline().decode(errors="replace").strip():
            word = line[:4].upper()
            if word == "DATA":
                answer("354 go on")
                message = b""
                while (part := self.rfile.readline()) not in [b".\r\n", b""]:
                    message += part
                found = re.search(r"arg: which=(\d+)|\bmark which=(\d+)", message.decode(errors="replace").replace("=3D", "="))
                if found:
                    REPLIES[found[1] or found[2]].append(message)
                answer("250 taken")
            elif word == "QUIT":
                answer("221 bye")
                return
            else:
                answer("250 mailbox")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True


def send(gateways, requests):
    """Delivers each to both mail servers, at once."""

    def to(gateway):
        try:
            with smtplib.SMTP(gateway.address, 25, timeout=300) as server:
                for request in requests:
                    server.sendmail(request.user.address, ["ops@example.com"], request.mail)
        except (OSError, smtplib.SMTPException) as error:
            raise SystemExit(f"cluster: Postfix on {gateway.name} took no mail: {error!r}") from error

    with ThreadPoolExecutor() as pool:
        for sent in [pool.submit(to, gateway) for gateway in gateways]:
            sent.result()


def ran():
    return collections.Counter(RAN.read_text().split())


def settle(cluster, gateways, requests, what):
    """Waits until both queues are empty, and judges."""
    asked = {request.which for request in requests}

    def is_done():
        return not any(gateway.queue().strip() for gateway in gateways)

    until(f"empty queues of Postfix ({what})", is_done, every=1)
    runs = ran()
    wrong = {which: runs[which] for which in asked if runs[which] > 1}
    if wrong:
        raise SystemExit(f"cluster: {what}: ran more than once: {wrong}")
    silent = [which for which in asked if not REPLIES[which]]
    if silent:
        raise SystemExit(f"cluster: {what}: no reply to {silent}")
    lacking = [which for which in asked if runs[which] == 0]
    unknown = [which for which in asked if any(b"outcome unknown" in reply for reply in REPLIES[which])]
    # A delivery that dies with its database between its commits may leave an outcome unknown, and says so.
    if set(lacking) - set(unknown):
        raise SystemExit(f"cluster: {what}: did not run, and no reply says that this is unknown: {lacking}")
    say(f"{what}: {len(asked)} requests on both: {len(asked) - len(lacking)} ran once, {len(unknown)} outcomes unknown, all answered")


def remembered(cluster, gateways, requests, asked, what):
    """Nothing was lost: the ledger holds as many requests as were sent ever, and those that are delivered once more do not run again."""
    held = int(cluster.sql("SELECT count(*) FROM mailsudo.requests"))
    if held != asked:
        raise SystemExit(f"cluster: {what}: the ledger holds {held} of {asked} requests")
    send(gateways, requests)
    settle(cluster, gateways, requests, f"{what}, delivered once more")


def first_served(gateways, users, number, since):
    """Sends one request each second until one runs; the seconds from `since`."""
    sent = []
    while time.monotonic() - since < 600:
        request = Request(users[number % 20], 10_000 + number)
        sent.append(request)
        send(gateways, [request])
        number += 1
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            if any(ran()[one.which] for one in sent):
                return time.monotonic() - since, sent, number
            time.sleep(0.05)
    raise SystemExit("cluster: waited 600 s in vain for a request that runs")


def main():
    network()
    server = Server((HERE, 2525), Mailbox)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    users = [User(number) for number in range(20)]
    cluster = Cluster()
    say("PostgreSQL has a leader and a synchronous standby")
    install(users)
    gateways = [Gateway(1), Gateway(2)]
    for gateway in gateways:
        gateway.prepare()
    gateways[0].follow(recipe.INIT)
    for gateway in gateways:
        gateway.follow(recipe.EACH)
    say("two gateways are ready")
    # `ledger init` refuses what was signed before it: from here on a request may be signed that much earlier.
    cluster.sql("UPDATE mailsudo.ledger SET watermark = 0")

    count = 0
    requests = [Request(users[number % 20], number) for number in range(200)]
    asked = len(requests)
    send(gateways, requests)
    settle(cluster, gateways, requests, "200 mails to both at once")

    ways = [("killed", lambda host: host.kill(), None)]
    if not SHORT:
        ways.append(("cut off", lambda host: host.cut(True), lambda host: host.cut(False)))
    ways.append(("stopped", lambda host: host.stop(True), lambda host: host.stop(False)))
    for way, harm, mend in ways:
        leader = cluster.leader()
        before = [Request(users[number % 20], 1000 * (count + 1) + number) for number in range(20)]
        with ThreadPoolExecutor() as pool:
            feeder = pool.submit(send, gateways, before)
            harm(leader)
            since = time.monotonic()
            feeder.result()
        seconds, sent, _ = first_served(gateways, users, 200 * count, since)
        say(f"the primary {leader.name} is {way}: the next request is served after {seconds:.1f} s, by {cluster.leader(leader).name}")
        for gateway in gateways:
            gateway.resume()
        settle(cluster, gateways, before + sent, f"primary {way}")
        if mend:
            mend(leader)
        else:
            leader.start()
            leader.serve()
        cluster.wait()
        asked += len(before + sent)
        remembered(cluster, gateways, before + sent, asked, f"primary {way} and back")
        count += 1
    lost = cluster.sql("SELECT lost_until IS NULL FROM mailsudo.ledger")
    if lost != "t":
        raise SystemExit("cluster: a failover with synchronous replication raised the watermark")
    again = {which: times for which, times in ran().items() if times > 1}
    if again:
        raise SystemExit(f"cluster: ran more than once: {again}")
    say(f"{sum(ran().values())} runs, each once")


def report(hosts):
    """For who looks why the test failed: what each host says of itself, and the last lines of each daemon."""
    for host in hosts:
        try:
            state = host.state()
        except SystemExit as error:
            state = str(error)
        print(f"== {host.name}: {state}", file=sys.stderr)
    for log in [*Path("/srv/cluster").glob("*/*.log"), *Path("/srv/cluster").glob("mx*/var-log/postfix.log"), Path("/srv/syslog")]:
        if log.exists():
            print(f"== {log}", *log.read_text(errors="replace").splitlines()[-60:], sep="\n", file=sys.stderr)


try:
    main()
except (Exception, SystemExit):
    report(Host.all)
    raise
