//! syslogd: before admission nothing happens without it, after it lost lines are counted.

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};

use crate::common::TestGateway;
use crate::gateway::{during_the_run, new};

fn log_to(test_gateway: &TestGateway, name: &str) {
    let toml = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    let home = test_gateway.folder.path().display();
    test_gateway.write("mailsudo.toml", 0o644, &toml.replace(&format!("{home}/log"), &format!("{home}/{name}")));
}

#[test]
fn a_syslogd_that_takes_no_connection_defers() {
    let mut test_gateway = new();
    drop(UnixDatagram::bind(test_gateway.path("dead")).expect("a socket whose daemon has died"));
    let _stream = UnixListener::bind(test_gateway.path("stream")).expect("a socket of another kind");
    test_gateway.write("file", 0o644, "");
    fs::create_dir(test_gateway.path("folder")).expect("a folder");
    std::os::unix::fs::symlink("loop", test_gateway.path("loop")).expect("a link");
    let request = test_gateway.request("count", &[]);
    let settings = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    for name in ["dead", "stream", "file", "folder", "loop"] {
        test_gateway.write("mailsudo.toml", 0o644, &settings);
        log_to(&test_gateway, name);
        assert_eq!(test_gateway.deliver(&request).deferred, Some("syslog"), "{name}");
        assert_eq!(test_gateway.deliver("Subject: hello\n\nhello\n").deferred, Some("syslog"), "no request, {name}");
    }
    assert_eq!((test_gateway.recorded(), test_gateway.runs().len()), ((0, 0), 0));
    test_gateway.write("mailsudo.toml", 0o644, &settings);
    assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
}

#[test]
fn a_syslogd_that_dies_during_the_run_loses_lines_which_are_counted() {
    let lost = |test_gateway: &TestGateway| -> u32 {
        test_gateway.ledger().query_row("SELECT audit_lost FROM requests", [], |row| row.get(0)).expect("a count")
    };
    let mut test_gateway = new();
    log_to(&test_gateway, "dying");
    let daemon = UnixDatagram::bind(test_gateway.path("dying")).expect("a daemon");
    let request = test_gateway.request("count", &[]);
    let (ended, ()) = during_the_run(&mut test_gateway, &request, || drop(daemon));
    assert!(ended.deferred.is_none() && ended.reply().contains("ok: count"), "{ended:?}");
    assert_eq!(lost(&test_gateway), 2, "`finished` and `replied`");

    let mut test_gateway = new();
    log_to(&test_gateway, "dying");
    let path = test_gateway.path("dying");
    let daemon = UnixDatagram::bind(&path).expect("a daemon");
    let request = test_gateway.request("count", &[]);
    let (ended, revived) = during_the_run(&mut test_gateway, &request, || {
        drop(daemon);
        fs::remove_file(&path).expect("removed");
        UnixDatagram::bind(&path).expect("a daemon")
    });
    assert!(ended.reply().contains("ok: count"), "{ended:?}");
    let mut line = [0; 4096];
    let read = revived.recv(&mut line).expect("a line");
    assert!(String::from_utf8_lossy(&line[..read]).contains("event=finished"), "the new one is told");
    assert_eq!(lost(&test_gateway), 0);
}
