//! sudo, and the command behind it.

use std::fs;
use std::time::Duration;

use crate::gateway::{deliver, hook, kill, limit, lives, new, pid, until, until_ended, via_sudo};

#[test]
fn a_sudo_that_is_slow_to_start_is_ended_before_the_command_begins() {
    for slow in ["echo $$ > HOME/pid; trap '' TERM; exec sleep 600", "echo $$ > HOME/pid; exec sleep 600 <&3"] {
        let mut test_gateway = via_sudo(slow);
        test_gateway.timeouts.sudo_start = Duration::from_millis(500);
        let ended = deliver(&mut test_gateway);
        assert!(ended.reply().contains("refused: count"), "{ended:?}");
        assert!(ended.log.join("\n").contains("cannot start it any more"), "{ended:?}");
        until_ended(&test_gateway, "pid");
        assert_eq!(
            (test_gateway.held(), test_gateway.runs().len()),
            (0, 0),
            "nothing began, so nothing holds the command"
        );
    }
}

#[test]
fn a_sudo_that_hangs_after_the_command_began_leaves_its_outcome_unknown() {
    let mut test_gateway = via_sudo("\"$@\"; echo $$ > HOME/pid; trap '' TERM; exec sleep 600");
    limit(&test_gateway, 1);
    let ended = deliver(&mut test_gateway);
    assert!(ended.reply().contains("outcome unknown: count"), "{ended:?}");
    assert!(ended.log.join("\n").contains("did not end in time"), "{ended:?}");
    until_ended(&test_gateway, "pid");
    assert_eq!(test_gateway.held(), 1, "what may still run holds its command");
}

#[test]
fn a_sudo_that_is_killed_while_the_command_is_about_to_begin_begins_nothing() {
    // What it has started holds the socket, has not said anything yet, and goes on when the delivery is over.
    let late = "setsid sh -c 'until [ -e HOME/go ] || [ ! -d HOME ]; do sleep 0.05; done
        \"$@\" <&3; echo $? > HOME/late' sh \"$@\" & sleep 0.3; kill -KILL $$";
    let mut test_gateway = via_sudo(late);
    let ended = deliver(&mut test_gateway);
    assert!(ended.reply().contains("refused: count"), "{ended:?}");
    test_gateway.write("go", 0o644, "");
    until("what is late", || fs::read_to_string(test_gateway.path("late")).is_ok_and(|text| text == "71\n"));
    assert_eq!((test_gateway.held(), test_gateway.runs().len()), (0, 0), "it was told not to begin");
}

#[test]
fn a_sudo_that_is_killed_before_it_started_anything_has_run_nothing() {
    let mut test_gateway = via_sudo("kill -KILL $$");
    let ended = deliver(&mut test_gateway);
    assert!(ended.reply().contains("refused: count"), "{ended:?}");
    assert_eq!((test_gateway.held(), test_gateway.runs().len()), (0, 0));
}

#[test]
fn a_sudo_that_is_killed_leaves_its_command_running_and_the_reply_says_so() {
    let mut test_gateway =
        via_sudo("\"$@\" <&3 & exec 3<&- </dev/null; until [ -e HOME/pid ]; do sleep 0.05; done; kill -KILL $$");
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
    let mut test_gateway = via_sudo("exec \"$@\"");
    hook(&test_gateway, "kill -KILL $$");
    assert!(deliver(&mut test_gateway).reply().contains("killed (signal 9): count"));
    assert_eq!(test_gateway.held(), 0);
}

/// Only whether the command began counts, and not what was printed or which status sudo ended with.
#[test]
fn a_sudo_that_starts_nothing_has_refused_whatever_it_says() {
    for says in [
        "exit 1",
        "exit 0",
        "exit 3",
        "echo done; exit 0",
        "exec >&- 2>&-; sleep 0.3; exit 3",
        "sleep 600 & echo $! > HOME/daemon; exit 1",
    ] {
        let mut test_gateway = via_sudo(&format!("exec 3<&-\n{says}"));
        let ended = deliver(&mut test_gateway);
        assert!(ended.reply().contains("refused: count"), "{says}: {ended:?}");
        assert!(ended.log.join("\n").contains("sudo did not start the command"), "{says}: {ended:?}");
        let sql = "SELECT reason FROM requests";
        let reason: String = test_gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("a reason");
        assert_eq!(reason, "sudo-rules", "{says}");
        assert_eq!((test_gateway.held(), test_gateway.runs().len()), (0, 0), "{says}");
        if test_gateway.path("daemon").exists() {
            kill(pid(&test_gateway, "daemon"));
        }
    }
}

/// A command that calls sudo itself prints sudo's words, and it has run.
#[test]
fn a_command_that_prints_the_words_of_sudo_has_run() {
    for words in ["sudo: a password is required", "Sorry, user mailsudo is not allowed to execute x as root on vm."] {
        let mut test_gateway = via_sudo("exec \"$@\"");
        hook(&test_gateway, &format!("echo '{words}'; exit 1"));
        let ended = deliver(&mut test_gateway);
        assert!(ended.reply().contains("failed (exit 1): count"), "{ended:?}");
        assert_eq!(test_gateway.runs().len(), 1);
    }
}

#[test]
fn a_program_that_is_missing_has_not_run() {
    let mut test_gateway = via_sudo("exec \"$@\"");
    fs::remove_file(test_gateway.path("command")).expect("removed");
    let ended = deliver(&mut test_gateway);
    assert!(ended.reply().contains("refused: count"), "{ended:?}");
    assert!(ended.log.join("\n").contains("could not be executed: No such file"), "{ended:?}");
    assert_eq!(test_gateway.held(), 0);
}

/// `Defaults log_input` puts a pipe of sudo's own in the place of the gateway's socket.
#[test]
fn a_command_that_could_not_report_its_start_is_not_started() {
    let mut test_gateway = via_sudo("exec \"$@\" </dev/null 3<&-");
    let ended = deliver(&mut test_gateway);
    assert!(ended.reply().contains("refused: count"), "{ended:?}");
    assert!(ended.log.join("\n").contains("!log_input"), "the remedy: {ended:?}");
    assert_eq!(test_gateway.runs().len(), 0);
}

#[test]
fn the_command_gets_an_empty_input() {
    let mut test_gateway = via_sudo("exec \"$@\" 3<&-");
    hook(&test_gateway, "ls -l /proc/self/fd; cat");
    let ended = deliver(&mut test_gateway);
    let text = mailsudo::intake::readable(ended.reply().as_bytes()).concat();
    assert!(text.contains("0 -> /dev/null") && !text.contains("socket:"), "{text}");
}

#[test]
fn a_command_that_closes_its_output_is_waited_for() {
    let closing = "exec >&- 2>&-; sleep 0.3; exit 3";
    let mut test_gateway = via_sudo(&format!("\"$@\"; {closing}"));
    assert!(deliver(&mut test_gateway).reply().contains("failed (exit 3): count"));
    let mut test_gateway = via_sudo("exec \"$@\"");
    hook(&test_gateway, closing);
    assert!(deliver(&mut test_gateway).reply().contains("failed (exit 3): count"));
    assert!(!test_gateway.path("wrong").exists(), "{:?}", fs::read_to_string(test_gateway.path("wrong")));
}

#[test]
fn an_endless_flood_is_ended_and_cut() {
    for run in ["exec \"$@\"", "yes | head -c 200000000; exec \"$@\""] {
        let mut test_gateway = via_sudo(run);
        limit(&test_gateway, 1);
        hook(&test_gateway, "exec yes");
        let ended = deliver(&mut test_gateway);
        let text = mailsudo::intake::readable(ended.reply().as_bytes()).concat();
        assert!(text.starts_with("timed out: count") && text.contains("bytes left out"), "{run}: {ended:?}");
        assert!(text.len() < 70_000, "{run}: {}", text.len());
    }
}

#[test]
fn a_daemon_of_sudo_or_sendmail_delays_nothing() {
    let mut test_gateway = via_sudo("sleep 600 3<&- & echo $! > HOME/daemon; exec \"$@\"");
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
fn a_missing_command_is_a_failure_that_the_reply_explains() {
    let mut test_gateway = new();
    fs::remove_file(test_gateway.path("command")).expect("removed");
    let ended = deliver(&mut test_gateway);
    assert!(ended.reply().contains("failed (exit 127): count"), "{ended:?}");
    assert!(ended.reply().contains("No such file or directory"), "{ended:?}");
}
