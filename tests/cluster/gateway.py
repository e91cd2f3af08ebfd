"""Two mail servers with one gateway, by the recipe: the real Postfix and sudo."""

import base64
import hmac
import os
import subprocess
import sys
import time
from pathlib import Path

import recipe
from nodes import HERE, Host, run, until, write

sys.path.insert(0, str(recipe.CHECKOUT / "bench/inside"))
from users import User  # noqa: E402

FOLDERS = ["/etc/postfix", "/var/spool/postfix", "/var/lib/postfix", "/var/log", "/etc/mailsudo", "/etc/sudoers.d", "/var/lib/mailsudo"]
PROGRAM = "/usr/bin/mailsudo"
RAN = Path("/srv/ran")
MAIN = """\
compatibility_level = 3.6
myhostname = {name}.example.com
mydestination = localhost
inet_interfaces = all
inet_protocols = ipv4
mynetworks = 127.0.0.0/8 192.0.2.0/24
alias_maps =
maillog_file = /var/log/postfix.log
relay_domains = users.example
smtp_dns_support_level = disabled
smtp_host_lookup = native
default_transport = error:nothing leaves the sandbox
relay_transport = smtp:[{here}]:2525
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 4s
in_flow_delay = 0
"""
SETTINGS = 'gateway = "berlin"\naddress = "ops@example.com"\n\n'
COMMAND = """\
summary   = "Leave a mark"
run_as    = "nobody"
argv      = ["/usr/local/libexec/mark", "{which}"]
exclusive = false
[parameters.which]
pattern    = "^[0-9]+$"
max_length = 9
[allow.web]
"""


def install(users):
    """What both have: program, service user, users, commands, as `make install` and `mailsudo user add` leave them."""
    run("install", "-m", "0755", os.environ["PROGRAM"], PROGRAM)
    run("bash", "-c", "getent passwd mailsudo || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin mailsudo")
    run("rm", "-rf", "/etc/mailsudo", "/var/lib/mailsudo")
    for folder in ["/etc/mailsudo/users.d", "/etc/mailsudo/commands.d", "/var/lib/mailsudo"]:
        Path(folder).mkdir(parents=True)
    run("install", "-d", "-m", "0750", "-g", "mailsudo", "/etc/mailsudo/secrets.d")
    write("/usr/local/libexec/mark", f"#!/bin/sh\necho \"$1\" >>{RAN}\n", 0o755)
    write(RAN, "", 0o666)
    write("/etc/mailsudo/commands.d/mark.toml", COMMAND)
    write("/etc/mailsudo/mailsudo.toml", SETTINGS + recipe.LEDGER)
    run("cp", "/srv/cluster/tls/ca.pem", "/etc/mailsudo/postgresql-ca.pem")
    write("/etc/mailsudo/owner-password", "CHANGE-ME-owner\n", 0o600)
    write("/etc/mailsudo/ledger-password", "CHANGE-ME-deliver\n", 0o640)
    for user in users:
        base32 = base64.b32encode(user.secret).decode()
        url = f"otpauth://totp/mailsudo%20berlin:{user.name}?secret={base32}&issuer=mailsudo%20berlin"
        write(f"/etc/mailsudo/users.d/{user.name}.toml", f'address = "{user.address}"\nroles = ["web"]\n')
        write(f"/etc/mailsudo/secrets.d/{user.name}.toml", f'hmac_key = "{user.key.hex()}"\ntotp = "{url}"\n', 0o640)
    run("chgrp", "-R", "mailsudo", "/etc/mailsudo/secrets.d", "/etc/mailsudo/ledger-password")
    write("/etc/rsyslog.conf", 'module(load="imuxsock" SysSock.RateLimit.Interval="0")\n*.* /srv/syslog\n')
    run("rsyslogd", "-i", "/run/rsyslogd.pid")
    stock = Path("/usr/share/postfix/master.cf.dist")
    if stock.exists():
        write("/etc/postfix/master.cf", stock.read_text())


class Gateway(Host):
    def __init__(self, number):
        super().__init__(f"mx{number}", f"192.0.2.1{number}", FOLDERS)
        # sudo looks its own host's name up before each command.
        with open("/etc/hosts", "a") as hosts:
            hosts.write(f"{self.address} {self.name}\n")

    def prepare(self):
        own = self.disk / "etc-postfix"
        write(own / "main.cf", MAIN.format(name=self.name, here=HERE))
        run("touch", "-d", "1 minute ago", own / "main.cf")
        self.run("postconf", "-F", "*/*/chroot = n")
        self.run(PROGRAM, "sudoers", "--install", "--yes")
        self.run("postfix", "start")
        self.run(PROGRAM, "postfix", "install", "--yes")

    def follow(self, commands):
        """Runs the recipe's commands; what systemd would do is done by `resume`."""
        for line in commands.splitlines():
            if line and not line.startswith("systemctl "):
                done = subprocess.run(self.inside("bash", "-euc", line), check=False, capture_output=True, text=True)
                # check ends with 1 where it warns.
                if done.returncode != 0 and not (line == "mailsudo check" and done.returncode == 1):
                    raise SystemExit(f"cluster: {self.name}: {line}: {done.returncode}\n{done.stdout}{done.stderr}")
                print(f"{self.name}: {line}\n{done.stdout}", flush=True)

    def resume(self):
        """What mailsudo-resume.timer starts each minute."""
        unit = (recipe.CHECKOUT / "packaging/mailsudo-resume.service").read_text()
        words = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).partition("=")[2].split()
        as_service = ["setpriv", "--reuid=mailsudo", "--regid=mailsudo", "--clear-groups", "--", *words]
        subprocess.run(self.inside(*as_service), check=False, capture_output=True)

    def queue(self):
        return self.run("postqueue", "-j")

    def state(self):
        return f"queue of Postfix:\n{self.queue()}"


class Request:
    """One request, signed in the newest step of its user that no other has used."""

    used = set()

    def __init__(self, user, number):
        step = int(time.time()) // 30
        while (user.name, step) in self.used:
            step -= 1
        self.used.add((user.name, step))
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(step * 30))
        text = (
            f"mailsudo: 1\ngateway: berlin\nuser: {user.name}\ntime: {when}\ntotp: {user.code(step * 30)}\n"
            f"command: mark\narg: which={number}\n"
        )
        mac = hmac.digest(user.key, text.encode(), "sha256").hex()
        self.which, self.user = str(number), user
        self.mail = user.mail(f"{text}mac: {mac}\n")
