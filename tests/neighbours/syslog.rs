//! syslogd: before admission nothing happens without it, after it lost lines are counted.

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};

use crate::common::House;
use crate::house::{during_the_run, new};

fn log_to(house: &House, name: &str) {
    let toml = fs::read_to_string(house.path("mailsudo.toml")).expect("the settings");
    let home = house.folder.path().display();
    house.write("mailsudo.toml", 0o644, &toml.replace(&format!("{home}/log"), &format!("{home}/{name}")));
}

#[test]
fn a_syslogd_that_takes_no_connection_defers() {
    let mut house = new();
    drop(UnixDatagram::bind(house.path("dead")).expect("a socket whose daemon has died"));
    let _stream = UnixListener::bind(house.path("stream")).expect("a socket of another kind");
    house.write("file", 0o644, "");
    fs::create_dir(house.path("folder")).expect("a folder");
    std::os::unix::fs::symlink("loop", house.path("loop")).expect("a link");
    let request = house.request("count", &[]);
    let settings = fs::read_to_string(house.path("mailsudo.toml")).expect("the settings");
    for name in ["dead", "stream", "file", "folder", "loop"] {
        house.write("mailsudo.toml", 0o644, &settings);
        log_to(&house, name);
        assert_eq!(house.deliver(&request).deferred, Some("syslog"), "{name}");
    }
    assert_eq!((house.recorded(), house.runs().len()), ((0, 0), 0));
    house.write("mailsudo.toml", 0o644, &settings);
    assert!(house.deliver(&request).reply().contains("ok: count"));
}

#[test]
fn a_syslogd_that_dies_during_the_run_loses_lines_which_are_counted() {
    let lost = |house: &House| -> u32 {
        house.ledger().query_row("SELECT audit_lost FROM requests", [], |row| row.get(0)).expect("a count")
    };
    let mut house = new();
    log_to(&house, "dying");
    let daemon = UnixDatagram::bind(house.path("dying")).expect("a daemon");
    let request = house.request("count", &[]);
    let (ended, ()) = during_the_run(&mut house, &request, || drop(daemon));
    assert!(ended.deferred.is_none() && ended.reply().contains("ok: count"), "{ended:?}");
    assert_eq!(lost(&house), 2, "`finished` and `replied`");

    let mut house = new();
    log_to(&house, "dying");
    let path = house.path("dying");
    let daemon = UnixDatagram::bind(&path).expect("a daemon");
    let request = house.request("count", &[]);
    let (ended, revived) = during_the_run(&mut house, &request, || {
        drop(daemon);
        fs::remove_file(&path).expect("removed");
        UnixDatagram::bind(&path).expect("a daemon")
    });
    assert!(ended.reply().contains("ok: count"), "{ended:?}");
    let mut line = [0; 4096];
    let read = revived.recv(&mut line).expect("a line");
    assert!(String::from_utf8_lossy(&line[..read]).contains("event=finished"), "the new one is told");
    assert_eq!(lost(&house), 0);
}
