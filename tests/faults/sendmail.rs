//! sendmail: until it has taken the reply and said so, the reply is stored and the mail deferred.

use std::fs;
use std::time::Duration;

use crate::gateway::{SHORT, deliver, hook, new, until_ended};

/// With this much output the reply does not fit into a pipe.
const MUCH: &str = "yes | head -c 65000";

/// A sendmail that does `bad` defers; once it is good again, the same reply leaves, and nothing runs twice. One that
/// never ends is given so little time.
fn bad_sendmail(bad: &str, time: Option<Duration>) {
    let mut test_gateway = new();
    let patient = test_gateway.timeouts.reply;
    let home = test_gateway.folder.path().display().to_string();
    hook(&test_gateway, MUCH);
    let good = fs::read_to_string(test_gateway.path("sendmail")).expect("sendmail");
    test_gateway.write("sendmail", 0o755, &format!("#!/bin/sh\necho $$ > HOME/pid\n{bad}\n").replace("HOME", &home));
    let request = test_gateway.request("count", &[]);
    for _ in 0..2 {
        test_gateway.timeouts.reply = time.unwrap_or(patient);
        let ended = test_gateway.deliver(&request);
        assert_eq!((ended.deferred, ended.replies.len()), (Some("sendmail"), 0), "{bad}");
        until_ended(&test_gateway, "pid");
    }
    test_gateway.timeouts.reply = patient;
    test_gateway.write("sendmail", 0o755, &good);
    let stored: Vec<u8> =
        test_gateway.ledger().query_row("SELECT reply FROM requests", [], |row| row.get(0)).expect("a stored reply");
    assert!(test_gateway.deliver(&request).reply().as_bytes() == stored, "{bad}");
    assert!(test_gateway.deliver(&request).refused("duplicate"), "{bad}");
    assert_eq!(test_gateway.runs().len(), 1, "{bad}");
}

#[test]
fn a_sendmail_that_hangs_and_ignores_signals_is_ended_and_defers() {
    bad_sendmail("trap '' TERM; exec sleep 600", Some(SHORT));
    bad_sendmail("trap '' TERM; cat >/dev/null; exec sleep 600", Some(SHORT));
}

#[test]
fn a_sendmail_that_dies_while_it_reads_defers() {
    bad_sendmail("head -c 10 >/dev/null; kill -KILL $$", None);
}

#[test]
fn a_sendmail_that_closes_its_input_has_not_taken_the_reply() {
    bad_sendmail("exec <&-; exit 0", None);
    bad_sendmail("exec <&-; exec sleep 600", Some(SHORT));
}

#[test]
fn a_sendmail_that_prints_without_end_is_not_read() {
    let mut test_gateway = new();
    let good = fs::read_to_string(test_gateway.path("sendmail")).expect("sendmail");
    test_gateway.write("sendmail", 0o755, &format!("{good}yes | head -c 200000000 | tee /dev/stderr\n"));
    assert!(deliver(&mut test_gateway).reply().contains("ok: count"));
}
