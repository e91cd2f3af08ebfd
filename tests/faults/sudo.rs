//! sudo, and the command behind it.

use std::fs;

use crate::gateway::{deliver, hook, kill, limit, lives, new, pid, time_limited, until};

#[test]
fn a_sudo_that_hangs_and_ignores_signals_is_ended_and_its_run_unknown() {
    let mut test_gateway = time_limited("echo $$ > HOME/pid; trap '' TERM; exec sleep 600", "exit 0");
    limit(&test_gateway, 1);
    let ended = deliver(&mut test_gateway);
    assert!(ended.reply().contains("outcome unknown: count"), "{ended:?}");
    assert!(ended.log.join("\n").contains("did not end in time"), "{ended:?}");
    until("its end", || !lives(pid(&test_gateway, "pid")));
    assert_eq!(test_gateway.held(), 1, "what may still run holds its command");
}

#[test]
fn a_sudo_that_is_killed_leaves_its_command_running_and_that_is_not_denied() {
    let mut test_gateway = time_limited("\"$@\" & sleep 0.1; kill -KILL $$", "exit 0");
    hook(&test_gateway, "echo $$ > HOME/pid; echo begun; until [ -e HOME/go ]; do sleep 0.05; done");
    let ended = deliver(&mut test_gateway);
    until("its start", || test_gateway.path("pid").exists());
    let command = pid(&test_gateway, "pid");
    assert!(lives(command), "it goes on");
    assert!(ended.reply().contains("outcome unknown: count"), "{ended:?}");
    assert!(ended.log.join("\n").contains("signal 9 ended sudo"), "{ended:?}");
    assert_eq!(test_gateway.held(), 1, "no other run starts beside it");
    test_gateway.write("go", 0o644, "");
    until("the command's end", || !lives(command));
    // Where nothing is left, the signal is the command's own.
    let mut test_gateway = time_limited("exec \"$@\"", "exit 0");
    hook(&test_gateway, "kill -KILL $$");
    assert!(deliver(&mut test_gateway).reply().contains("killed (signal 9): count"));
    assert_eq!(test_gateway.held(), 0);
}

/// Whether sudo refused is asked only where it may have; an answer that does not come is not taken for a yes.
#[test]
fn a_sudo_that_does_not_answer_when_asked_has_refused_nothing() {
    for asked in
        ["trap '' TERM; exec sleep 600", "exec yes sudo:", "sleep 600 & echo $! > HOME/daemon; exit 0", "kill -9 $$"]
    {
        let mut test_gateway = time_limited("exit 1", &format!("echo $$ > HOME/pid; {asked}"));
        let ended = deliver(&mut test_gateway);
        assert!(ended.reply().contains("failed (exit 1): count"), "{asked}: {ended:?}");
        until("its end", || !lives(pid(&test_gateway, "pid")));
        if test_gateway.path("daemon").exists() {
            kill(pid(&test_gateway, "daemon"));
        }
    }
}

#[test]
fn whoever_closes_its_output_is_waited_for() {
    let closing = "exec >&- 2>&-; sleep 0.3; exit 3";
    let mut test_gateway = time_limited(closing, "exit 0");
    assert!(deliver(&mut test_gateway).reply().contains("failed (exit 3): count"));
    let mut test_gateway = time_limited("exec \"$@\"", "exit 0");
    hook(&test_gateway, closing);
    assert!(deliver(&mut test_gateway).reply().contains("failed (exit 3): count"));
    assert!(!test_gateway.path("wrong").exists(), "{:?}", fs::read_to_string(test_gateway.path("wrong")));
}

#[test]
fn an_endless_flood_is_ended_and_cut() {
    for run in ["exec \"$@\"", "yes | head -c 200000000; exec \"$@\""] {
        let mut test_gateway = time_limited(run, "exit 0");
        limit(&test_gateway, 1);
        hook(&test_gateway, "exec yes");
        let ended = deliver(&mut test_gateway);
        let text = mailsudo::intake::readable(ended.reply().as_bytes()).concat();
        assert!(text.starts_with("timed out: count") && text.contains("bytes left out"), "{run}: {ended:?}");
        assert!(text.len() < 70_000, "{run}: {}", text.len());
    }
}

#[test]
fn a_daemon_of_sudos_or_sendmails_holds_nothing_up() {
    let mut test_gateway = time_limited("sleep 600 & echo $! > HOME/daemon; exec \"$@\"", "exit 0");
    assert!(deliver(&mut test_gateway).reply().contains("ok: count"));
    assert!(lives(pid(&test_gateway, "daemon")), "it still holds the output open");
    kill(pid(&test_gateway, "daemon"));

    let mut test_gateway = new();
    let good = fs::read_to_string(test_gateway.path("sendmail")).expect("sendmail");
    let home = test_gateway.folder.path().display();
    let daemon = format!("{good}sleep 600 & echo $! > {home}/daemon\n");
    test_gateway.write("sendmail", 0o755, &daemon);
    let ended = deliver(&mut test_gateway);
    assert!(ended.deferred.is_none() && ended.reply().contains("ok: count"), "{ended:?}");
    assert!(lives(pid(&test_gateway, "daemon")), "it still holds the input open");
    kill(pid(&test_gateway, "daemon"));
}

#[test]
fn a_missing_command_is_a_failure_with_a_word_about_it() {
    let mut test_gateway = new();
    fs::remove_file(test_gateway.path("command")).expect("removed");
    let ended = deliver(&mut test_gateway);
    assert!(ended.reply().contains("failed (exit 127): count"), "{ended:?}");
    assert!(ended.reply().contains("No such file or directory"), "{ended:?}");
}
