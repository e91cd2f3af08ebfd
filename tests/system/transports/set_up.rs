//! `mailsudo setup --server imap`: the files of examples/imap for this account, one fetch as the login, and the proof
//! by mail.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::provider::Provider;
use crate::mailbox::Mailbox;
use crate::setup::{ANSWERS, Bare, LEDGER, said, setup, state};
use crate::{poll, process};

const PASSWORD: &str = "/root/provider-password";

/// What setup writes beside the gateway's folder.
const FILES: [&str; 5] = [
    "/etc/mailsudo/imap-password",
    "/etc/mailsudo/getmailrc",
    "/etc/mailsudo/fetchmailrc",
    "/etc/systemd/system/mailsudo-fetch.service.d/fetchmail.conf",
    "/var/lib/mailsudo/.msmtprc",
];

fn there() -> Vec<&'static str> {
    FILES.into_iter().filter(|path| Path::new(path).exists()).collect()
}

/// The options, with this fetcher and password.
fn words<'w>(fetcher: &'w str, address: &'w str, password: &str) -> Vec<&'w str> {
    process::write(PASSWORD, 0o600, &format!("{password}\n"));
    let mut words = ANSWERS.to_vec();
    words[3] = address;
    words.extend(["--server", "imap", "--imap", "imap.example.com", "--smtp", "smtp.example.com"]);
    words.extend(["--login", "ops@example.com", "--password-file", PASSWORD, "--fetch-with", fetcher, "--yes"]);
    words
}

/// From one command to the genuine reply, and back.
fn walk(fetcher: &str) {
    // The gateway's address, whose mail goes to the users' mailbox; the test moves it to the provider.
    let address = format!("setup-{fetcher}@users.example");
    let _bare = Bare::make();
    let _provider = Provider::start();
    FILES.into_iter().for_each(process::remove);
    let before = state();

    let refused = setup(&words(fetcher, &address, "wrong"));
    let text = said(&refused);
    assert!(refused.status.code() == Some(1) && text.contains("the login to the mailbox"), "{text}");
    assert!(text.contains("nothing was changed") && !text.contains("wrong"), "{text}");
    assert_eq!((state(), there().len(), Path::new(LEDGER).exists()), (before.clone(), 0, false));

    let words = words(fetcher, &address, Provider::password());
    let mailbox = Mailbox::of(&address);
    let is_done = AtomicBool::new(false);
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            poll::until_true("a signed request", || is_done.load(Ordering::Relaxed) || !mailbox.messages().is_empty());
            mailbox.messages().iter().for_each(|mail| Provider::deliver(&address, mail));
        });
        let done = setup(&words);
        is_done.store(true, Ordering::Relaxed);
        done
    });
    let text = said(&done);
    assert!(done.status.success() && text.contains("The reply, genuine"), "{text}");
    assert!(!text.contains(Provider::password()), "{text}");
    assert_eq!(Provider::mails(), 0, "what was handled is deleted");
    assert!(said(&setup(&words)).ends_with("nothing to change\n"));

    let undone = setup(&["--undo", "--yes"]);
    assert!(undone.status.success(), "{}", said(&undone));
    assert!(!said(&undone).contains(Provider::password()), "{}", said(&undone));
    assert_eq!((state(), there().len(), Path::new(LEDGER).exists()), (before, 0, false));
}

#[test]
fn setup_fetches_a_mailbox_with_getmail() {
    walk("getmail");
}

#[test]
fn setup_fetches_a_mailbox_with_fetchmail() {
    walk("fetchmail");
}
