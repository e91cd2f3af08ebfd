//! Many mails at once through the real Postfix, with its own processes, its own retries and a restart in the middle.

use std::fs;

use crate::commands::{GATE, INTRUDERS, PASSED};
use crate::user::{self, User, in_block};
use crate::{poll, postfix, process, smtp, syslog, system_env};

const COPIES: usize = 50;
const RIVALS: usize = 20;

#[test]
fn every_request_runs_once_and_is_answered_once() {
    system_env::enter();
    for trace in [PASSED, INTRUDERS] {
        process::remove(trace);
    }
    fs::write(GATE, "").expect("/srv is writable in the sandbox");
    let _fast_retries = postfix::FastRetries::begin();

    let users: Vec<_> = (0..=RIVALS).map(|n| User::enrol(&format!("crowd{n}"))).collect();
    let first = &users[0];
    let copy = first.mail(&first.request(&["alone", "number=99"]));
    let mut ids: Vec<_> = (0..COPIES).map(|_| user::send(&first.address, &copy)).collect();
    poll::until_true("the first run", || process::text(PASSED) == "99\n");
    for (n, rival) in users.iter().enumerate().skip(1) {
        ids.push(rival.send(&rival.request(&["alone", &format!("number={n}")])));
    }
    poll::until_true("another request that waits", || ids[COPIES..].iter().any(|id| is_logged(id, "waiting")));

    // The run in the middle of which Postfix stops goes on, and after the start its mail is delivered again beside it.
    let id = ids.iter().find(|id| is_logged(id, "started")).expect("the audit line of the run");
    let runs = process::find(|line| line.ends_with("libexec/alone 99"));
    assert!(!runs.is_empty(), "nothing is running");
    assert_eq!(deliveries(id), 1);
    postfix::restart();
    poll::until_true("the mail of the run again", || deliveries(id) > 1 && is_logged(id, "deferred"));
    assert!(runs.iter().all(|pid| process::lives(*pid)), "something has ended the run");
    process::remove(GATE);

    // A mail that the new queue manager found locked by a delivery from before waits in `incoming` for the next mail, or for the
    // wakeup in master.cf, each five minutes (qmgr(8)).
    let mut asked = 0;
    poll::until_true("an empty queue", || {
        asked += 1;
        if asked % 100 == 0 {
            postfix::retry();
        }
        postfix::queue_is_empty()
    });
    let mut passed: Vec<usize> = process::text(PASSED).lines().map(|line| line.parse().expect("a number")).collect();
    passed.sort_unstable();
    assert_eq!(passed, (1..=RIVALS).chain([99]).collect::<Vec<_>>(), "each once");
    assert_eq!(process::text(INTRUDERS), "", "two at the same time");
    for user in &users {
        let reply = user.mailbox().single();
        user.assert_genuine(&reply);
        assert_eq!(in_block(&reply, "result"), "exit-0");
    }
    let all: usize = ids.iter().map(|id| deliveries(id)).sum();
    assert!(all > ids.len(), "no delivery was deferred: {all} deliveries of {} mails", ids.len());
    let bounced = |id: &String| postfix::statuses(id).iter().any(|status| status.contains("status=bounced"));
    assert!(!ids.iter().any(bounced), "a mail has bounced");
    assert_eq!(smtp::accepts(system_env::GATEWAY), Ok(()), "and Postfix is as it was");
}

fn is_logged(id: &str, event: &str) -> bool {
    syslog::audit(id).iter().any(|line| line.contains(&format!("event={event} ")))
}

/// How many times Postfix has delivered a mail.
fn deliveries(id: &str) -> usize {
    syslog::audit(id).iter().filter(|line| line.contains("event=received")).count()
}
