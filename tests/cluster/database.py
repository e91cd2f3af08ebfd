"""Three database servers, by the recipe."""

import http.client
import json
import urllib.request

import recipe
from nodes import Host, as_user, run, until, write

FOLDERS = ["/etc/patroni", "/etc/default", "/var/lib/etcd", "/var/lib/postgresql", "/run/postgresql"]
PATRONI = "/etc/patroni/config.yml"


def certificates(folder):
    """A CA, and a certificate for each server's name."""
    script = """
    mkdir -p $1; cd $1; key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl req -x509 $key -days 2 -keyout ca.key -out ca.pem -subj /CN=ca -addext basicConstraints=critical,CA:TRUE
    for name in pg1 pg2 pg3; do
        openssl req $key -keyout $name.key -out $name.csr -subj /CN=$name
        printf 'subjectAltName=DNS:%s\\n' $name >extensions
        openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out $name.pem -extfile extensions
    done"""
    run("bash", "-euc", script, "certificates", folder)


class Server(Host):
    def __init__(self, number):
        super().__init__(f"pg{number}", f"192.0.2.{number}", FOLDERS)
        own = self.disk / "etc-patroni"
        write(self.disk / "etc-default/etcd", recipe.for_server(recipe.ETCD, number))
        write(own / "config.yml", recipe.for_server(recipe.PATRONI, number), 0o600)
        for end in ["pem", "key"]:
            run("cp", f"/srv/cluster/tls/{self.name}.{end}", own / f"server.{end}")
        run("chown", "-R", "postgres:postgres", own, self.disk / "run-postgresql", self.disk / "var-lib-postgresql")
        run("chmod", "0600", own / "server.key")
        run("chown", "-R", "etcd:etcd", self.disk / "var-lib-etcd")
        self.serve()

    def serve(self):
        """What systemd starts."""
        etcd = ["bash", "-c", "set -a; . /etc/default/etcd; exec /usr/bin/etcd"]
        self.begin("etcd.log", *as_user("etcd", *etcd))
        self.begin("patroni.log", *as_user("postgres", "/usr/bin/patroni", PATRONI))

    def view(self):
        """What `patronictl list` shows, by this server: name -> (role, state, timeline). One that was cut off shows what was."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:8008/cluster", timeout=2) as answer:
                return {one["name"]: (one["role"], one["state"], one.get("timeline")) for one in json.load(answer)["members"]}
        except (OSError, ValueError, http.client.HTTPException):
            return {}

    state = view


class Cluster:
    def __init__(self):
        certificates("/srv/cluster/tls")
        self.servers = [Server(number) for number in [1, 2, 3]]
        self.wait()
        words = self.leader().inside(*as_user("postgres", "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"))
        run(*words, input=recipe.ROLES, cwd="/")

    def leader(self, besides=None):
        """The leader, as the servers see it `besides` one. On a busy machine they do not answer each time."""
        asked = [server for server in self.servers if server is not besides]

        def seen():
            names = {name for server in asked for name, (role, *_) in server.view().items() if role == "leader"}
            return next((server for server in asked if server.name in names), None)

        return until("a server that says who the leader is", seen)

    def is_whole(self):
        """All three show the same leader, a synchronous standby and a third, all running and on one timeline."""
        views = [server.view() for server in self.servers]
        if len(views[0]) != 3 or any(view != views[0] for view in views):
            return False
        roles, states, timelines = map(set, zip(*views[0].values(), strict=True))
        return {"leader", "sync_standby"} <= roles and states <= {"running", "streaming"} and len(timelines) == 1

    def wait(self):
        until("a leader, a synchronous standby and a third server that runs", self.is_whole, every=1)

    def sql(self, sql):
        """Asks the leader's ledger."""
        words = self.leader().inside(*as_user("postgres", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "mailsudo"))
        return run(*words, input=sql, cwd="/").strip()
