//! sudo, or the command behind it, is killed: by the kernel when memory runs out, or by a sysadmin.

use std::fs;

use crate::commands::{GATE, PASSED};
use crate::user::{User, in_block};
use crate::{poll, postfix, process, system_env};

/// Has `linger` run until the gate, kills the processes that satisfy `victims`, and gives what the reply says, and
/// whether the command still lives at that time.
fn kill_during_the_run(name: &str, victims: impl Fn(&str) -> bool) -> (String, bool) {
    system_env::enter();
    process::remove(PASSED);
    fs::write(GATE, "").expect("/srv is writable in the sandbox");
    let user = User::enrol(name);
    let id = user.send(&user.request(&["linger"]));
    poll::until_true("the run", || !process::text(PASSED).is_empty());
    let command = "/bin/sh /usr/local/libexec/alone linger";
    let [pid] = process::find(|line| line == command)[..] else {
        panic!("not one `{command}`");
    };
    let victims = process::find(|line| line.ends_with(&command["/bin/sh ".len()..]) && victims(line));
    assert!(!victims.is_empty(), "no process to kill");
    victims.into_iter().for_each(process::kill);
    let reply = user.mailbox().single();
    let lives = process::lives(pid);
    user.assert_genuine(&reply);
    process::remove(GATE);
    postfix::wait_until_gone(&id);
    poll::until_true("the command's end", || !process::lives(pid));
    process::remove("/srv/inside");
    (in_block(&reply, "result").to_owned(), lives)
}

#[test]
fn a_killed_command_is_reported_as_killed() {
    let told = kill_during_the_run("oomed", |line| line.starts_with("/bin/sh "));
    assert_eq!(told, ("signal-9".to_owned(), false));
}

#[test]
fn a_killed_timeout_may_leave_the_command_and_the_reply_says_which() {
    let (told, lives) = kill_during_the_run("untimed", |line| line.starts_with("/usr/bin/timeout "));
    // timeout(1) of coreutils 9.8 and newer has the kernel end the command with it.
    assert_eq!(told, if lives { "unknown" } else { "signal-9" });
}

#[test]
fn a_killed_sudo_is_not_taken_for_a_killed_command() {
    let told = kill_during_the_run("unsudoed", |line| line.contains("sudo -n "));
    assert_eq!(told, ("unknown".to_owned(), true));
}
