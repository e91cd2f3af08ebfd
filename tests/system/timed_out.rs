//! A command that runs longer than its limit: root's process, which the service user itself could not end.

use crate::commands::OUTLIVE_PID;
use crate::user::{User, in_block};
use crate::{poll, process, syslog, system_env};

#[test]
fn a_command_past_its_limit_is_dead_and_reported() {
    system_env::enter();
    let user = User::enrol("patient");
    let id = user.send(&user.request(&["outlive"]));

    let pid = poll::until("the command's start", || process::text(OUTLIVE_PID).trim().parse().ok());
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "timed-out");
    assert!(!process::lives(pid), "the reply says timed-out and process {pid} still lives");
    syslog::wait_for(&id, "finished");
}
