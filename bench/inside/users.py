"""Users, their requests and other mails, made by an independent signer. In: a number. Out: files of the gateways and of
the other programs, and mails as bytes. One user for each message of a batch, because a code can be used once."""

import base64
import hashlib
import hmac
import os
import shutil
import struct
import time
from pathlib import Path

GATEWAY = "berlin"
JUNK = b"From: <u0@users.example>\nTo: <ops@example.com>\nSubject: hello\n\nNothing to do with it.\n"


class User:
    def __init__(self, number):
        self.name = f"u{number}"
        self.address = f"u{number}@users.example"
        # Derived, so that two runs of the bench compare the same bytes.
        self.key = hashlib.sha256(f"key of {number}".encode()).digest()
        self.secret = hashlib.sha1(f"secret of {number}".encode()).digest()

    def code(self, at):
        digest = hmac.digest(self.secret, struct.pack(">Q", at // 30), "sha1")
        offset = digest[-1] & 15
        return f"{(struct.unpack('>I', digest[offset:offset + 4])[0] & 0x7FFFFFFF) % 1000000:06d}"

    def block(self, command, at=None, code=None, gateway=GATEWAY):
        at = int(time.time()) if at is None else at
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        text = (
            f"mailsudo: 1\ngateway: {gateway}\nuser: {self.name}\ntime: {when}\n"
            f"totp: {code or self.code(at)}\ncommand: {command}\n"
        )
        return f"{text}mac: {hmac.digest(self.key, text.encode(), 'sha256').hex()}\n"

    def mail(self, text, sender=None):
        return (
            f"From: <{sender or self.address}>\nTo: <ops@example.com>\nSubject: mailsudo request\n"
            f"Message-ID: <{self.name}.{time.time_ns()}@users.example>\nMIME-Version: 1.0\n"
            f"Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: 7bit\n\n{text}"
        ).encode()


def forged(mail):
    """The same request with another mac."""
    head, _, mac = mail.rpartition(b"mac: ")
    return head + b"mac: " + (b"0" if mac[:1] != b"0" else b"1") + mac[1:]


def write(path, text, mode=0o644, owner=(0, 0)):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    os.chown(path, *owner)


def enrol(users, mailsudo, rival, group):
    """Enrols users with a mailsudo gateway and in the other programs' configuration, with the same secrets."""
    for user in users:
        base32 = base64.b32encode(user.secret).decode()
        write(f"{mailsudo}/users.d/{user.name}.toml", f'address = "{user.address}"\nroles = ["web"]\n')
        url = f"otpauth://totp/mailsudo%20{GATEWAY}:{user.name}?secret={base32}&issuer=mailsudo%20{GATEWAY}"
        secrets = f'hmac_key = "{user.key.hex()}"\ntotp     = "{url}"\n'
        write(f"{mailsudo}/secrets.d/{user.name}.toml", secrets, 0o640, (0, group))
        own = f"key={user.key.hex()}\ntotp={base32}\naddress={user.address}\nroles=web\n"
        write(f"{rival}/users.d/{user.name}", own, 0o640, (0, group))


def twin(folder, other):
    """A second configuration folder with the same users."""
    shutil.copytree(folder, other)
    for path in [other, *Path(other).rglob("*")]:
        source = Path(folder) / Path(path).relative_to(other)
        os.chown(path, source.stat().st_uid, source.stat().st_gid)
