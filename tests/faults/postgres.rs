//! PostgreSQL: connections that are cut at each commit, a server that is killed, a pooler in between.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::common::{Ended, TestGateway};
use crate::database::server::{DELIVER, Server, server};
use crate::database::{new, set};
use crate::gateway::{during_the_run, until};
use crate::proxy::{Cut, Proxy};

fn socket(server: &Server) -> PathBuf {
    server.folder.join(format!(".s.PGSQL.{}", server.port))
}

/// For a server that never answers: long enough for what comes before on a busy machine.
const SHORT: Duration = Duration::from_secs(3);

/// Delivers one request through a proxy that cuts once, then without it until it is a duplicate. Gives the first end,
/// and the replies.
fn cut(cut: Cut, text: &'static str, nth: u32) -> (Ended, String, usize) {
    let (mut test_gateway, database) = new(server(), "");
    let patient = test_gateway.timeouts.transaction;
    let proxy = Proxy::new(&socket(server()), cut, text, nth);
    let request = test_gateway.request("count", &[]);
    set(&test_gateway, &format!("url = \"postgresql://{DELIVER}@/{database}?host={}\"", proxy.folder().display()));
    if cut == Cut::Hang {
        test_gateway.timeouts.transaction = SHORT;
    }
    let first = test_gateway.deliver(&request);
    test_gateway.timeouts.transaction = patient;
    assert!(proxy.has_cut(), "{cut:?} {text} {nth}: {first:?}");
    set(&test_gateway, &format!("url = \"{}\"", server().url(DELIVER, &database)));
    let second = test_gateway.deliver(&request);
    let replies: Vec<_> = first.replies.iter().chain(&second.replies).cloned().collect();
    assert!(!replies.is_empty() && replies.iter().all(|reply| *reply == replies[0]), "{first:?} {second:?}");
    assert!(second.deferred.is_none(), "{second:?}");
    assert!(test_gateway.deliver(&request).refused("duplicate"));
    let reply = mailsudo::intake::readable(replies[0].as_bytes()).concat();
    (first, reply, test_gateway.runs().len())
}

#[test]
fn a_connection_that_is_cut_at_a_commit_defers_and_the_next_delivery_finds_out() {
    for (how, nth, runs, outcome) in [
        (Cut::Before, 1, 1, "ok: count"),
        (Cut::After, 1, 0, "outcome unknown: count"),
        (Cut::Hang, 1, 0, "outcome unknown: count"),
        (Cut::Before, 2, 1, "outcome unknown: count"),
        (Cut::After, 2, 1, "ok: count"),
        (Cut::Hang, 2, 1, "ok: count"),
    ] {
        let (first, reply, ran) = cut(how, "COMMIT\0", nth);
        assert_eq!((first.deferred, first.replies.len()), (Some("ledger"), 0), "{how:?} {nth}: {first:?}");
        assert!(first.log.join("\n").contains("may have been done or not"), "{first:?}");
        assert!(reply.starts_with(outcome) && ran == runs, "{how:?} {nth}: {ran} runs: {reply}");
    }
}

/// `[ledger] url` of this database with these folders of sockets, in this order.
fn hosts(test_gateway: &TestGateway, database: &str, folders: &[&Path]) {
    let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let ports = vec![server().port.to_string(); folders.len()].join(",");
    let url = format!("postgresql://{DELIVER}@/{database}?host={}&port={ports}", folders.join(","));
    set(test_gateway, &format!("url = \"{url}\""));
}

/// A server's socket in a folder of its own.
fn listening() -> (tempfile::TempDir, UnixListener) {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join(format!(".s.PGSQL.{}", server().port));
    (folder, UnixListener::bind(socket).expect("a socket"))
}

/// Hosts that were stopped, or cut off: they take connections and do not answer. A share of the time for each would
/// make a delivery wait for minutes.
#[test]
fn servers_that_do_not_answer_are_not_waited_for() {
    let (mut test_gateway, database) = new(server(), "");
    test_gateway.timeouts.transaction = Duration::from_mins(10);
    let (first, silent) = listening();
    let (second, _silent) = listening();
    hosts(&test_gateway, &database, &[first.path(), second.path(), &server().folder]);
    let begun = Instant::now();
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.reply().contains("ok: count"), "{ended:?}");
    println!("a delivery with two servers that do not answer takes {:?}", begun.elapsed());
    assert!(silent.accept().is_ok(), "it was asked first");
}

/// A server that answers late, while another one that was tried after it has failed.
#[test]
fn a_server_that_answers_late_is_taken() {
    let (mut test_gateway, database) = new(server(), "");
    test_gateway.timeouts.transaction = Duration::from_mins(10);
    let ((late, listener), (refusing, refuses)) = (listening(), listening());
    let (was_tried, tried) = mpsc::channel();
    std::thread::spawn(move || {
        let other = refuses.accept().expect("a connection");
        drop(other);
        was_tried.send(()).expect("somebody waits");
    });
    std::thread::spawn(move || {
        let mut is_first = true;
        for client in listener.incoming().flatten() {
            if std::mem::take(&mut is_first) {
                tried.recv().expect("the other one is tried");
            }
            relay(client);
        }
    });
    hosts(&test_gateway, &database, &[late.path(), refusing.path()]);
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.reply().contains("ok: count"), "{ended:?}");
}

/// Joins a client with the server.
fn relay(client: UnixStream) {
    let server = UnixStream::connect(socket(server())).expect("the server");
    let ends = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    for (mut from, mut to) in [(client, server), (ends.1, ends.0)] {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    }
}

#[test]
fn a_commit_that_cannot_be_read_back_is_no_commit() {
    for how in [Cut::Before, Cut::After] {
        let (first, reply, runs) = cut(how, "mailsudo.read_back(", 1);
        assert_eq!((first.deferred, runs), (Some("ledger"), 0), "{how:?}: {first:?}");
        assert!(first.log.join("\n").contains("the row could not be read back"), "{first:?}");
        assert!(reply.starts_with("outcome unknown: count"), "{reply}");
    }
}

/// The login, the lock, then for each of two transactions its begin, and its commit with what reads it back; and the end.
/// One more asks who holds the command, which is exclusive.
#[test]
fn a_delivery_waits_for_no_answer_that_decides_nothing() {
    let (mut test_gateway, database) = new(server(), "");
    // The first one also stores which server it is.
    test_gateway.deliver(&test_gateway.request("count", &[]));
    test_gateway.clock.forward(60);
    let proxy = Proxy::new(&socket(server()), Cut::Before, "nothing is cut", 1);
    set(&test_gateway, &format!("url = \"postgresql://{DELIVER}@/{database}?host={}\"", proxy.folder().display()));
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.reply().contains("ok: count"), "{ended:?}");
    assert_eq!(proxy.turns(), 1 + 1 + 2 * 2 + 1 + 1);
}

/// What may be sent twice is sent again on a new connection.
#[test]
fn a_connection_that_is_cut_elsewhere_is_made_anew() {
    for text in ["BEGIN ISOLATION", "mailsudo.take_lock(", "mailsudo.end_delivery("] {
        for how in [Cut::Before, Cut::After] {
            let (first, reply, runs) = cut(how, text, 1);
            assert!(first.deferred.is_none() && first.replies.len() == 1, "{how:?} {text}: {first:?}");
            assert!(reply.starts_with("ok: count") && runs == 1, "{how:?} {text}: {reply}");
        }
    }
}

#[test]
fn what_is_old_is_pruned_also_on_a_new_connection() {
    for how in [Cut::Before, Cut::After] {
        let (mut test_gateway, database) = new(server(), "");
        test_gateway.deliver(&test_gateway.request("count", &[]));
        server().sql(&database, "UPDATE mailsudo.requests SET replied = 1000, signed = 1000");
        test_gateway.clock.forward(60);
        let proxy = Proxy::new(&socket(server()), how, "mailsudo.prune(", 1);
        set(&test_gateway, &format!("url = \"postgresql://{DELIVER}@/{database}?host={}\"", proxy.folder().display()));
        let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
        assert!(proxy.has_cut() && ended.deferred.is_none() && ended.replies.len() == 1, "{how:?}: {ended:?}");
        assert_eq!(
            server().sql(&database, "SELECT count(*), min(signed) > 1000 FROM mailsudo.requests"),
            "1|t",
            "{how:?}"
        );
    }
}

#[test]
fn a_server_that_is_killed_during_the_run_is_waited_for() {
    let server = Server::start("");
    let (mut test_gateway, database) = new(&server, "");
    let request = test_gateway.request("count", &[]);
    let (ended, ()) = during_the_run(&mut test_gateway, &request, || {
        server.stop("immediate");
        server.start_again();
    });
    assert!(ended.reply().contains("ok: count"), "{ended:?}");
    // One that does not come back in time: the run is over, and nobody knows.
    test_gateway.clock.forward(60);
    test_gateway.timeouts.outcome = SHORT;
    let request = test_gateway.request("count", &[]);
    for name in ["runs", "go"] {
        fs::remove_file(test_gateway.path(name)).expect("removed");
    }
    let (ended, ()) = during_the_run(&mut test_gateway, &request, || server.stop("immediate"));
    assert_eq!(ended.deferred, Some("ledger"), "{ended:?}");
    assert!(ended.log.join("\n").contains("no PostgreSQL server takes the ledger"), "never connected: {ended:?}");
    test_gateway.timeouts.transaction = SHORT;
    assert_eq!(test_gateway.deliver(&request).deferred, Some("ledger"));
    server.start_again();
    test_gateway.timeouts.transaction = Duration::from_secs(10);
    // This process lives, and could not release the lock.
    assert_eq!(test_gateway.deliver(&request).deferred, Some("busy"));
    server.sql(&database, "UPDATE mailsudo.locks SET ends = now()");
    assert!(test_gateway.deliver(&request).reply().contains("outcome unknown: count"));
    assert!(test_gateway.deliver(&request).refused("duplicate"));
    assert_eq!(test_gateway.runs().len(), 2);
}

#[test]
fn a_server_that_stands_still_defers_in_time() {
    let server = Server::start("");
    let (mut test_gateway, _) = new(&server, "");
    let patient = test_gateway.timeouts.transaction;
    let request = test_gateway.request("count", &[]);
    // A stopped postmaster accepts connections, and answers none.
    let postmaster = rustix::process::Pid::from_raw(server.pid()).expect("a pid");
    let signal = |signal| rustix::process::kill_process(postmaster, signal).expect("signalled");
    signal(rustix::process::Signal::STOP);
    test_gateway.timeouts.transaction = SHORT;
    let ended = test_gateway.deliver(&request);
    signal(rustix::process::Signal::CONT);
    test_gateway.timeouts.transaction = patient;
    assert_eq!(ended.deferred, Some("ledger"));
    assert!(ended.log.join("\n").contains("no answer in time"), "{ended:?}");
    assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
}

/// pgbouncer(1) in transaction mode, with fewer connections to the server than clients.
struct Pooler {
    folder: tempfile::TempDir,
    child: Child,
}

impl Pooler {
    fn of(server: &Server) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().display();
        fs::write(folder.path().join("users"), format!("\"{DELIVER}\" \"\"\n")).expect("written");
        fs::write(
            folder.path().join("conf"),
            format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr =\nlisten_port = 5432\nunix_socket_dir = {home}\n\
                 auth_type = any\nauth_file = {home}/users\npool_mode = transaction\ndefault_pool_size = 2\n\
                 logfile = {home}/log\npidfile = {home}/pid\n",
                server.folder.display(),
                server.port
            )
            .replace("* = ", &format!("* = user={DELIVER} ")),
        )
        .expect("written");
        let mut command = if rustix::process::geteuid().is_root() {
            let done = Command::new("chown").args(["-R", "postgres"]).arg(folder.path()).status().expect("chown");
            assert!(done.success());
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "/usr/sbin/pgbouncer"]);
            command
        } else {
            Command::new("/usr/sbin/pgbouncer")
        };
        command.arg(folder.path().join("conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("pgbouncer: apt-get install pgbouncer (tests/setup)");
        let socket = folder.path().join(".s.PGSQL.5432");
        // The file is there a moment before anybody listens.
        until("pgbouncer takes connections", || UnixStream::connect(&socket).is_ok());
        Self { folder, child }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn everything_works_through_pgbouncer_in_transaction_mode() {
    let (mut test_gateway, database) = new(server(), "");
    let pooler = Pooler::of(server());
    set(
        &test_gateway,
        &format!("url = \"postgresql://{DELIVER}@/{database}?host={}\"", pooler.folder.path().display()),
    );
    for n in 0..5 {
        test_gateway.clock.forward(60);
        let request = test_gateway.request("count", &[]);
        assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
        assert!(test_gateway.deliver(&request).refused("duplicate"));
        assert_eq!(test_gateway.runs().len(), n + 1);
    }
    let ledger = crate::database::open(&test_gateway).expect("the ledger");
    assert_eq!(ledger.health().expect("its state").requests, 5);
    assert_eq!(ledger.nodes().expect("a list").len(), 1);
    // Two deliveries whose transactions would need each other's connection, were one kept between transactions.
    test_gateway.clock.forward(60);
    let request = test_gateway.request("count", &[]);
    let (ended, held) = during_the_run(&mut test_gateway, &request, || {
        // Of this database alone: the other tests use the same server at the same time.
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE state LIKE 'idle in transaction%' AND datname = current_database()";
        server().sql(&database, sql)
    });
    assert!(
        ended.reply().contains("ok: count") && held == "0",
        "no transaction is open while a command runs: {ended:?}"
    );
}
