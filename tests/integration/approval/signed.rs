//! `require_signature` of a command with `[approval]`: approvals must have an SSH signature too.

use mailsudo::protocol::{Verdict, check_notice};
use mailsudo::system::clock::Clock;

use super::{Asked, CAROL, Site, field, key, key_of, logged, message_to, recipients, text};
use crate::common::ssh::SoftKey;
use crate::common::{Ended, explain, mail};

/// `risky` must be signed; of those who may approve it, carol has a FIDO key, dave a key in a file, bob none.
struct Keys {
    alice: SoftKey,
    carol: SoftKey,
    dave: SoftKey,
}

const MUST_SIGN: &str = "exclusive = false\nrequire_signature = true";

fn site(approval: &str) -> (Site, Keys) {
    let site = Site::new(approval);
    let keys = Keys { alice: SoftKey::new(1), carol: SoftKey::fido(2), dave: SoftKey::new(3) };
    site.command(approval, MUST_SIGN);
    user(&site, "alice", "web", &keys.alice);
    user(&site, "carol", "desk", &keys.carol);
    user(&site, "dave", "oncall", &keys.dave);
    (site, keys)
}

fn user(site: &Site, name: &str, role: &str, key: &SoftKey) {
    let ssh = key.public();
    let text = format!("address = \"{name}@example.com\"\nroles = [\"{role}\"]\nssh_keys = [\"{ssh}\"]\n");
    site.gateway.write(&format!("users.d/{name}.toml"), 0o644, &text);
}

impl Site {
    fn signed(&self, key: &SoftKey, user: &str, command: &str, arguments: &[(&str, &str)]) -> String {
        self.gateway.clock.forward(30);
        let block = key.block_of(user, key_of(user), self.gateway.clock.now(), command, arguments, None);
        mail(&format!("{user}@example.com"), &block)
    }

    fn ask_signed(&mut self, key: &SoftKey) -> (Asked, Ended) {
        let mail = self.signed(key, "alice", "risky", &[("what", "a")]);
        let ended = self.gateway.deliver(&mail);
        let pending = message_to(&ended.replies, "alice");
        (Asked { id: field(&pending, "request: "), digest: super::fact(&pending, "digest"), mail }, ended)
    }

    fn approve_signed(&mut self, key: &SoftKey, user: &str, asked: &Asked) -> Ended {
        let mail = self.signed(key, user, "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
        self.gateway.deliver(&mail)
    }
}

#[test]
fn an_approval_must_be_signed_where_the_request_must_be() {
    let (mut site, keys) = site("needed = 2");
    assert!(site.send("alice", "risky", &[("what", "a")]).refused("no-signature"));
    let (asked, ended) = site.ask_signed(&keys.alice);
    assert_eq!(recipients(&ended.replies), ["carol", "dave", "alice"], "bob has no SSH key, and could not approve it");
    assert!(message_to(&ended.replies, "alice").contains("2 of carol, role:oncall (with an SSH signature)"));

    let before = site.gateway.recorded();
    let ended = site.approve("carol", &asked);
    assert!(ended.refused("no-signature"), "{ended:?}");
    assert!(text(ended.reply()).contains("a signature under one of your SSH keys"), "{ended:?}");
    assert_eq!(site.gateway.recorded(), (before.0 + 1, before.1 + 1), "recorded, and its step used");
    let unsigned = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
    let (would_run, said) = explain(&site.gateway, &unsigned);
    assert!(!would_run && said.iter().any(|line| line.contains("no-signature")), "{said:#?}");
    // Whose signature it is counts, as with any request.
    assert!(site.approve_signed(&keys.dave, "carol", &asked).refused("foreign-signature"));

    let counted = site.approve_signed(&keys.carol, "carol", &asked);
    assert!(text(counted.reply()).contains("Your approval counts: 1 of 2."), "{counted:?}");
    assert!(logged(&counted, &["ssh_key=", &keys.carol.fingerprint()]), "{counted:?}");
    assert!(site.approve("dave", &asked).refused("no-signature"));
    assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "pending"));
    let ended = site.approve_signed(&keys.dave, "dave", &asked);
    assert_eq!(recipients(&ended.replies), ["alice", "dave"]);
    assert_eq!((site.runs(), site.state(&asked).as_str()), (1, "finished"));
}

/// The signature is no way to find out whether a request waits, or for whom.
#[test]
fn who_may_not_judge_it_is_not_told_that_a_signature_is_required() {
    let (mut site, keys) = site("");
    let (asked, _) = site.ask_signed(&keys.alice);
    site.gateway.user("bob", key_of("bob"), "other");
    assert!(site.approve("bob", &asked).refused("unknown-request"));
    let other = Asked { digest: "0f".repeat(32), ..asked.clone() };
    assert!(site.approve("carol", &other).refused("unknown-request"));
}

#[test]
fn a_denial_and_a_cancellation_need_no_signature() {
    let (mut site, keys) = site("");
    let (asked, _) = site.ask_signed(&keys.alice);
    assert_eq!(recipients(&site.deny("carol", &asked, "no").replies), ["alice", "carol"]);
    assert_eq!(site.state(&asked), "denied");
    let (asked, _) = site.ask_signed(&keys.alice);
    site.send("alice", "cancel", &[("id", &asked.id)]);
    assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "cancelled"));
}

#[test]
fn what_the_configuration_requires_when_the_approval_comes_counts() {
    let (mut site, keys) = site("");
    let (asked, _) = site.ask_signed(&keys.alice);
    site.command("", "exclusive = false");
    assert_eq!(recipients(&site.approve("carol", &asked).replies), ["alice", "carol"], "not required any more");
    let asked = site.asked();
    site.command("", MUST_SIGN);
    assert!(site.approve("carol", &asked).refused("no-signature"), "required now");
    site.approve_signed(&keys.carol, "carol", &asked);
    assert_eq!((site.runs(), site.state(&asked).as_str()), (2, "finished"));
}

#[test]
fn without_enough_approvers_who_can_sign_it_is_refused_at_once() {
    let (mut site, keys) = site("needed = 3");
    let mail = site.signed(&keys.alice, "alice", "risky", &[("what", "a")]);
    let ended = site.gateway.deliver(&mail);
    assert!(ended.refused("no-approver") && ended.reply().contains("3 must approve it, and 2 could"), "{ended:?}");
}

/// What the notice says where an approval must be signed.
const TO_SIGN: &str =
    "An approval needs a signature under one of your SSH keys too (mailsudo sign ... --ssh-key FILE.pub)";

#[test]
fn notices_and_pending_say_which_answers_must_be_signed() {
    let (mut site, keys) = site("");
    let (asked, ended) = site.ask_signed(&keys.alice);
    let notice = message_to(&ended.replies, "carol");
    assert!(notice.contains(TO_SIGN) && notice.contains("A denial needs none.\n"), "{notice}");
    assert!(matches!(check_notice(&notice, &key(CAROL)).verdict, Verdict::Genuine(_)), "{notice}");
    let listed = text(site.send("carol", "pending", &[]).reply());
    assert!(
        listed.contains("    ssh key  an approval needs a signature under yours: --ssh-key FILE.pub\n"),
        "{listed}"
    );
    let own = text(site.send("alice", "pending", &[]).reply());
    assert!(own.contains(&asked.id) && !own.contains("ssh key"), "it is not hers to sign: {own}");
    // Sent again because it was not marked as sent, it is the same to the byte.
    site.gateway.ledger().execute("UPDATE notices SET sent = NULL", []).expect("changed");
    site.gateway.ledger().execute("UPDATE requests SET handed_over = NULL", []).expect("changed");
    assert_eq!(site.gateway.deliver(&asked.mail).replies, ended.replies);

    // Where only carol herself must sign, only her notice says so.
    site.command("", "exclusive = false");
    let file = std::fs::read_to_string(site.gateway.path("users.d/carol.toml")).expect("a user");
    site.gateway.write("users.d/carol.toml", 0o644, &format!("require_signature = true\n{file}"));
    let (_, ended) = site.ask(&[("what", "a")]);
    let notice = message_to(&ended.replies, "carol");
    assert!(notice.contains("Each answer needs a signature under one of your SSH keys too"), "{notice}");
    for user in ["bob", "dave", "alice"] {
        let other = message_to(&ended.replies, user);
        assert!(!other.contains("SSH"), "{user}: {other}");
    }
}

/// One touch on one key must not count as two people.
#[test]
fn users_with_an_ssh_key_in_common_are_one_person() {
    let (mut site, keys) = site("needed = 2");
    let (asked, _) = site.ask_signed(&keys.alice);
    user(&site, "dave", "oncall", &keys.carol);
    site.approve_signed(&keys.carol, "carol", &asked);
    assert!(site.approve_signed(&keys.carol, "dave", &asked).refused("already-approved"));
    user(&site, "carol", "desk", &keys.alice);
    assert!(site.approve_signed(&keys.alice, "carol", &asked).refused("own-request"));
    let before = format!("[previous]\nssh_keys = [\"{}\"]\nuntil = 2030-01-01T00:00:00Z\n", keys.alice.public());
    user(&site, "carol", "desk", &keys.carol);
    let file = std::fs::read_to_string(site.gateway.path("users.d/carol.toml")).expect("a user");
    site.gateway.write("users.d/carol.toml", 0o644, &format!("{file}{before}"));
    assert!(site.approve_signed(&keys.carol, "carol", &asked).refused("own-request"), "a key before a rotation");
    assert_eq!(site.runs(), 0);
}
