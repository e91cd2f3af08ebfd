//! A request that is allowed: run once, as another user, through the generated sudo rules, and answered.

use std::os::unix::fs::MetadataExt;

use crate::commands::NOTES;
use crate::user::{User, in_block};
use crate::{postfix, process, smtp, syslog, system_env};

#[test]
fn runs_as_another_user_and_answers() {
    system_env::enter();
    let user = User::enrol("runner");
    let id = user.send(&user.request(&["whoami"]));

    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "exit-0");
    assert!(reply.contains("(worker)"), "id(1) ran as another user than worker:\n{reply}");
    assert!(reply.contains("Return-Path: <>"), "the envelope sender is not null:\n{reply}");
    assert!(reply.contains("Auto-Submitted: auto-replied"), "{reply}");

    for event in ["received", "admitted", "started", "finished", "replied"] {
        syslog::wait_for(&id, event);
    }
    postfix::wait_until_gone(&id);
    assert_eq!(user.mailbox().messages().len(), 1);
    assert!(postfix::statuses(&id)[0].contains("relay=mailsudo"), "{:?}", postfix::statuses(&id));
}

#[test]
fn sudo_logs_exactly_the_expected_command() {
    system_env::enter();
    let user = User::enrol("notary");
    let id = user.send(&user.request(&["note", "text=exactlyonce"]));

    user.assert_genuine(&user.mailbox().single());
    syslog::wait_for(&id, "replied");
    let runs = syslog::sudo_ran("exactlyonce");
    let [run] = runs.as_slice() else {
        panic!("not exactly one run in sudo's log: {runs:#?}");
    };
    assert!(run.contains(&format!("{} : ", system_env::SERVICE)), "{run}");
    assert!(run.contains("USER=root ; "), "{run}");
    assert!(
        run.ends_with("COMMAND=/usr/bin/timeout --kill-after=5s 60s /usr/local/bin/mailsudo begin /usr/local/libexec/append /srv/notes exactlyonce"),
        "{run}"
    );
    let notes = process::text(NOTES);
    assert_eq!(notes.matches("exactlyonce").count(), 1, "{notes}");
    let owner = std::fs::metadata(NOTES).expect("the notes were written").uid();
    assert_eq!(owner, 0, "written by another user than root");
}

#[test]
fn only_the_gateways_address_is_accepted() {
    system_env::enter();
    assert_eq!(smtp::accepts(system_env::GATEWAY), Ok(()));
    let refusal = smtp::accepts("nobody-else@example.com").expect_err("there is no such account");
    assert!(refusal.contains("User unknown"), "{refusal}");
}
