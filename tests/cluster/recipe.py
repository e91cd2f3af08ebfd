"""The recipe docs/several-gateways.md: its files and commands, word for word."""

import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs/several-gateways.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def block(language, beginning):
    """The block of code of this language that begins so."""
    found = [text for kind, text in BLOCKS if kind == language and text.startswith(beginning)]
    if len(found) != 1:
        raise SystemExit(f"cluster: docs/several-gateways.md has {len(found)} blocks {language} that begin with {beginning!r}")
    return found[0]


def for_server(text, number):
    """The same on another server: "each line that names pg1 alone names that server and its address instead"."""

    def changed(line):
        names_all = "pg2" in line or "192.0.2.2" in line
        return line if names_all else line.replace("pg1", f"pg{number}").replace("192.0.2.1:", f"192.0.2.{number}:")

    return "".join(changed(line) for line in text.splitlines(keepends=True))


def for_installed(text):
    """The same with what is installed: "The 15 in two paths is PostgreSQL's version; write that of yours", "etcd 3.6 has no API v2"."""
    versions = [int(folder.name) for folder in Path("/usr/lib/postgresql").glob("[0-9]*") if (folder / "bin/postgres").exists()]
    if not versions:
        raise SystemExit("cluster: there is no PostgreSQL in /usr/lib/postgresql: tests/setup installs it")
    etcd = subprocess.run(["etcd", "--version"], check=True, capture_output=True, text=True).stdout
    major, minor = re.search(r"etcd Version: (\d+)\.(\d+)", etcd).groups()
    if (int(major), int(minor)) >= (3, 6):
        text = text.replace("ETCD_ENABLE_V2=true\n", "").replace("\netcd:\n", "\netcd3:\n")
    return text.replace("/postgresql/15/", f"/postgresql/{max(versions)}/")


ETCD = for_installed(block("sh", "ETCD_NAME"))
PATRONI = for_installed(block("yaml", "scope:"))
ROLES = block("sql", "CREATE ROLE")
LEDGER = block("toml", "[ledger]")
INIT = block("sh", "mailsudo ledger init")
EACH = block("sh", "mailsudo ledger nodes")
