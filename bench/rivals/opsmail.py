#!/usr/bin/python3 -I
"""opsmail.py FOLDER - the script that a sysadmin would write in Python instead of mailsudo, for comparison in `make bench`.

Takes one mail from standard input. It makes the same checks in the same order as mailsudo (size, From, one block, mac,
gateway, replay, freshness, code, step, command, role), records durably before it runs, runs the same command line, and
mails the output. It leaves out what mailsudo has in addition, which is an advantage here: parameters, lockout, resuming
after a crash, a signed reply, checking the owners of its files. FOLDER holds gateway, users.d/NAME and commands.d/NAME, as KEY=VALUE.
"""
import base64
import calendar
import email
import email.policy
import email.utils
import hashlib
import hmac
import os
import re
import sqlite3
import subprocess
import sys
import syslog
import time

LIMIT = 256 * 1024
BLOCK = re.compile(
    r"^mailsudo: 1\n"
    r"gateway: (?P<gateway>[a-z0-9._-]+)\n"
    r"user: (?P<user>[a-z0-9][a-z0-9._-]{0,59})\n"
    r"time: (?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\n"
    r"totp: (?P<totp>[0-9]{6,8})\n"
    r"command: (?P<command>[a-z0-9][a-z0-9_-]{0,59})\n"
    r"mac: (?P<mac>[0-9a-f]{64})$",
    re.MULTILINE,
)


class Refused(Exception):
    """The mail is consumed, and nothing runs."""


def settings(path):
    with open(path, encoding="utf-8") as file:
        return dict(line.rstrip("\n").split("=", 1) for line in file)


def block_of(message):
    texts = []
    for part in message.walk():
        if part.get_content_type() == "text/plain" and not part.is_attachment():
            lines = part.get_content().splitlines()
            texts.append("\n".join(line.strip(" \t\u00a0") for line in lines))
    starts = sum(len(re.findall(r"^mailsudo: *[0-9]+$", text, re.MULTILINE)) for text in texts)
    if starts != 1:
        raise Refused(f"{starts} blocks")
    for text in texts:
        block = BLOCK.search(text)
        if block:
            return block
    raise Refused("malformed block")


def code_at(secret, step):
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset:offset + 4], 'big') & 0x7FFFFFFF) % 1000000:06d}"


def judge(raw, folder):
    if len(raw) > LIMIT:
        raise Refused("too large")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    senders = email.utils.getaddresses(message.get_all("From", []))
    if len(senders) != 1:
        raise Refused("not one sender")
    block = block_of(message)
    try:
        user = settings(f"{folder}/users.d/{block['user']}")
    except FileNotFoundError:
        user = {"key": "00" * 32, "address": ""}
    signed = block[0].rpartition("mac: ")[0].encode()
    mac = hmac.digest(bytes.fromhex(user["key"]), signed, "sha256")
    if not hmac.compare_digest(mac, bytes.fromhex(block["mac"])) or not user["address"]:
        raise Refused("bad mac")
    gateway = settings(f"{folder}/gateway")
    if block["gateway"] != gateway["name"] or senders[0][1] != user["address"]:
        raise Refused("other gateway or sender")
    return block, user, gateway, hashlib.sha256(mac).hexdigest()


def admit(block, user, gateway, name, folder):
    memory = sqlite3.connect(f"{gateway['memory']}/requests.db", timeout=30, isolation_level=None)
    memory.execute("PRAGMA synchronous = FULL")
    memory.execute("BEGIN IMMEDIATE")
    if memory.execute("SELECT 1 FROM requests WHERE name = ?", (name,)).fetchone():
        raise Refused("duplicate")
    signed = calendar.timegm(time.strptime(block["time"], "%Y-%m-%dT%H:%M:%SZ"))
    if not -120 <= time.time() - signed <= int(gateway["max_age"]):
        raise Refused("stale")
    secret = base64.b32decode(user["totp"])
    steps = [signed // 30, signed // 30 - 1, signed // 30 + 1]
    step = next((step for step in steps if hmac.compare_digest(code_at(secret, step), block["totp"])), None)
    if step is None:
        raise Refused("bad code")
    try:
        memory.execute("INSERT INTO requests VALUES (?, ?, ?, 'started')", (name, block["user"], step))
    except sqlite3.IntegrityError:
        raise Refused("code used before") from None
    memory.execute("COMMIT")
    try:
        command = settings(f"{folder}/commands.d/{block['command']}")
    except FileNotFoundError:
        raise Refused("unknown command") from None
    if not set(user["roles"].split()) & set(command["roles"].split()):
        raise Refused("forbidden")
    return command, memory


def main(folder):
    syslog.openlog("opsmail", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    try:
        block, user, gateway, name = judge(sys.stdin.buffer.read(LIMIT + 1), folder)
        command, memory = admit(block, user, gateway, name, folder)
    except Refused as reason:
        syslog.syslog(syslog.LOG_NOTICE, f"refused: {reason}")
        return
    line = ["/usr/bin/timeout", "--kill-after=5s", "60s", *command["argv"].split()]
    if gateway["run_via"] == "sudo":
        line = ["/usr/bin/sudo", "-n", "-u", command["run_as"], "--", *line]
    syslog.syslog(f"started {name[:12]} for {block['user']}: {' '.join(line)}")
    os.umask(0o022)
    run = subprocess.run(
        line, cwd="/", env={"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    memory.execute("UPDATE requests SET state = ? WHERE name = ?", (f"exit-{run.returncode}", name))
    syslog.syslog(f"finished {name[:12]}: exit-{run.returncode}")
    reply = email.message.EmailMessage()
    reply["From"] = gateway["reply_from"]
    reply["To"] = user["address"]
    reply["Subject"] = f"[{gateway['name']}] {block['command']}: exit {run.returncode}"
    reply["Auto-Submitted"] = "auto-replied"
    reply.set_content(run.stdout.decode(errors="replace") or "It printed nothing.\n")
    subprocess.run(
        ["/usr/sbin/sendmail", "-i", "-f", "<>", "--", user["address"]], input=reply.as_bytes(), check=True,
    )
    memory.close()


try:
    main(sys.argv[1])
except Exception as error:
    syslog.syslog(syslog.LOG_ERR, f"deferred: {error}")
    sys.exit(75)
