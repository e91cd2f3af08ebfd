//! Commands that make more processes than they should: a fork bomb, processes that leave the command's group, and what
//! keeps each of them in bounds.

use crate::process::{self, run, run_with_input};
use crate::system_env::{self, CONFIG, PROGRAM, SERVICE};
use crate::user::{User, in_block};
use crate::{poll, sudo_rules};

const LIMITS: &str = "/etc/security/limits.d/mailsudo-test.conf";
/// How many processes `worker` may have (limits.conf(5)).
const MOST: usize = 40;
const LEFT: &str = "/srv/left";

/// Commands of this test alone; they and their rules are gone when this is dropped.
struct Commands(());

impl Commands {
    fn install() -> Self {
        system_env::enter();
        let commands = Self(());
        // Every copy forks on, and none ends by itself.
        let bomb = "#!/bin/sh\nexec python3 -c '\nimport os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        \
                    time.sleep(0.05)\n'\n";
        process::write("/usr/local/libexec/bomb", 0o755, bomb);
        // A daemon's way: a session of its own, and a parent that ends.
        let leave = "#!/bin/sh\nsetsid sh -c 'sleep 3601 & echo $! >>/srv/left' &\nexec sleep 3602\n";
        process::write("/usr/local/libexec/leave", 0o755, leave);
        process::write(LEFT, 0o666, "");
        process::write(LIMITS, 0o644, &format!("worker hard nproc {MOST}\n"));
        for (name, account, argv) in [
            ("bomb", "worker", "\"/usr/local/libexec/bomb\""),
            ("leave", "worker", "\"/usr/local/libexec/leave\""),
            (
                "contained",
                "root",
                "\"/usr/bin/unshare\", \"--pid\", \"--fork\", \"--kill-child=KILL\", \"/usr/local/libexec/leave\"",
            ),
        ] {
            // Long enough for two other requests beside the bomb.
            let limit = if name == "bomb" { "20s" } else { "2s" };
            let toml = format!(
                "summary = \"{name}\"\nrun_as = \"{account}\"\nargv = [{argv}]\ntimeout = \"{limit}\"\n[allow.operator]\n"
            );
            process::write(format!("{CONFIG}/commands.d/{name}.toml"), 0o644, &toml);
        }
        run(PROGRAM, &["sudoers", "--install", "--yes"]);
        commands
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        for pid in process::find(|line| line == "sleep 3601") {
            process::kill(pid);
        }
        for name in ["bomb", "leave", "contained"] {
            process::remove(&format!("{CONFIG}/commands.d/{name}.toml"));
        }
        process::remove(LIMITS);
        sudo_rules::raise_sudo();
    }
}

/// How many processes the account `worker` has; a dead one that has not been waited for is none.
fn of_worker() -> usize {
    run("sh", &["-c", "ps -u worker -o stat= | grep -vc Z || true"]).trim().parse().expect("a number")
}

/// Requests a command, and gives what the reply says of its end.
fn result_of(name: &str, command: &[&str]) -> String {
    let user = User::enrol(name);
    user.send(&user.request(command));
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    in_block(&reply, "result").to_owned()
}

#[test]
fn a_fork_bomb_stays_within_the_accounts_limit_and_dies_with_the_time_limit() {
    let _commands = Commands::install();
    let user = User::enrol("bomber");
    user.send(&user.request(&["bomb"]));
    let most = poll::until("the bomb", || Some(of_worker()).filter(|count| *count > MOST / 2));
    assert!(most <= MOST, "{most} processes");
    // Meanwhile no other command can start as that account, and the gateway says so; those of other accounts run.
    assert_eq!(result_of("asworker", &["whoami"]), "refused");
    assert_eq!(result_of("asroot", &["note", "text=besideabomb"]), "exit-0");
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "timed-out");
    assert_eq!(of_worker(), 0, "the reply says timed-out, and a part of the bomb lives");
    assert_eq!(result_of("afterbomb", &["whoami"]), "exit-0");
}

#[test]
fn a_process_that_leaves_the_commands_group_outlives_the_limit_unless_the_command_is_contained() {
    let _commands = Commands::install();
    let outlived = || process::find(|line| line == "sleep 3601").len();
    assert_eq!(result_of("contained", &["contained"]), "timed-out");
    assert_eq!(process::text(LEFT).lines().count(), 1, "it has left the group");
    assert_eq!(outlived(), 0, "the namespace ends with the command");

    assert_eq!(result_of("leaver", &["leave"]), "timed-out");
    assert_eq!(process::text(LEFT).lines().count(), 2);
    assert_eq!(outlived(), 1, "docs/operations.md says that such a process lives on");
    assert!(process::find(|line| line == "sleep 3602").is_empty(), "and the rest does not");
}

#[test]
fn a_delivery_that_may_start_no_process_runs_nothing_and_answers_later() {
    system_env::enter();
    let user = User::enrol("noforks");
    let mail = user.mail(&user.request(&["whoami"]));
    let deliver = |limit: &[&str]| {
        let before = ["--reuid", SERVICE, "--regid", SERVICE, "--clear-groups"];
        let sender = format!("--sender={}", user.address);
        let words = [PROGRAM, "deliver", "--queue-id=4FORKS", &sender, "--reply-via", "/usr/sbin/sendmail"];
        run_with_input("setpriv", &[&before, limit, &words].concat(), &mail).status.code()
    };
    // As at TasksMax= of systemd: neither sudo nor sendmail can be started.
    assert_eq!(deliver(&["prlimit", "--nproc=1"]), Some(75));
    assert!(user.mailbox().messages().is_empty());
    assert_eq!(deliver(&[]), Some(0));
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "refused", "the gateway could not run it");
}
