"""Hosts: each has namespaces of its own for its network, mounts, processes and name. In: a name and an address. Out: a host on which
commands run, and which can be killed, cut off and stopped."""

import os
import signal
import subprocess
import time
from pathlib import Path

HERE = "192.0.2.100"


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"cluster: {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def until(what, holds, timeout=600, every=0.2):
    """What `holds` gives, as soon as it gives something. The timeout ends a test that would never end: nothing is to be that slow."""
    begun = said = time.monotonic()
    while not (found := holds()):
        now = time.monotonic()
        if now - begun > timeout:
            raise SystemExit(f"cluster: waited {timeout} s in vain for {what}")
        if now - said > 30:
            print(f"cluster: waiting for {what}", flush=True)
            said = now
        time.sleep(every)
    return found


def write(path, text, mode=0o644):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def network():
    run("ip", "link", "add", "lan", "type", "bridge")
    run("ip", "addr", "add", f"{HERE}/24", "dev", "lan")
    run("ip", "link", "set", "lan", "up")


class Host:
    """A host, with folders that no other sees."""

    all = []

    def __init__(self, name, address, folders):
        self.name, self.address, self.folders = name, address, folders
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"to-{name}", "master", "lan", "up")
        for words in [["addr", "add", f"{address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]]:
            run("ip", "-n", name, *words)
        self.disk = Path("/srv/cluster") / name
        self.all.append(self)
        self.start()

    def start(self):
        """Starts the host, with what it has on its disk."""
        binds = ""
        for folder in self.folders:
            own = self.disk / folder.strip("/").replace("/", "-")
            if not own.exists():
                own.parent.mkdir(parents=True, exist_ok=True)
                Path(folder).mkdir(parents=True, exist_ok=True)
                run("cp", "-a", folder, own)
            binds += f"mount --bind {own} {folder}; "
        # Process 1 ignores CHLD, so that the kernel removes orphans that end: Patroni waits for its PostgreSQL to be gone.
        script = f"hostname {self.name}; {binds} mount -t tmpfs tmpfs /tmp; trap '' CHLD; exec sleep infinity"
        words = ["ip", "netns", "exec", self.name, "unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
        with open(self.disk / "host.log", "ab") as out:
            self.keeper = subprocess.Popen([*words, "bash", "-euc", script], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.first = None
        until(f"{self.name} to start", lambda: self._first() is not None)

    def _first(self):
        """Process 1 of the host, by its id here, once it has set everything up."""
        children = Path(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text() == "sleep\n":
            self.first = int(children[0])
        return self.first

    def inside(self, *words):
        return ["nsenter", "-t", str(self.first), "-m", "-u", "-n", "-p", "--", *map(str, words)]

    def run(self, *words, **options):
        return run(*self.inside(*words), **options)

    def begin(self, log, *words):
        """Starts a daemon; it ends with the host."""
        with open(self.disk / log, "ab") as out:
            return subprocess.Popen(self.inside(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def kill(self):
        """The power fails."""
        os.kill(self.first, signal.SIGKILL)
        self.keeper.wait()

    def cut(self, is_cut):
        run("ip", "link", "set", f"to-{self.name}", "down" if is_cut else "up")

    def stop(self, is_stopped):
        """Every process stops, as a virtual machine that is paused."""
        own = os.readlink(f"/proc/{self.first}/ns/pid")
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(process / "ns/pid") == own:
                    os.kill(int(process.name), signal.SIGSTOP if is_stopped else signal.SIGCONT)
            except (FileNotFoundError, ProcessLookupError):
                pass


def as_user(user, *words):
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env", "--", *words]
