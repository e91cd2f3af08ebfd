//! The hardening of the program: what a delivery's memory holds and when, who may read it, and what its children
//! inherit.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::memory::{Image, Secret};
use crate::spy_gateway::{LEFT_OPEN, SpyGateway, let_go, secrets, spy};
use crate::system_env::SERVICE;
use crate::user::User;
use crate::{poll, process};

/// What a hostile or careless parent could set.
const HOSTILE: &str = "MAIL_CONFIG=/etc/postfix PATH=/usr/bin:/bin:/srv/evil LD_PRELOAD_=x BASH_ENV=/srv/evil ENV=/srv/evil \
                       PYTHONPATH=/srv/evil HOME=/srv/evil TZ=/srv/evil LC_ALL=/srv/evil LANG=/srv/evil IFS=x TERM=/srv/evil \
                       XAUTHORITY=/srv/evil EDITOR=/srv/evil SECRET=mine";

/// The TOTP secret as it is typed, from its otpauth URL.
fn base32(url: &str) -> String {
    url.split("secret=").nth(1).and_then(|rest| rest.split('&').next()).expect("an otpauth URL").to_owned()
}

fn quoted<'t>(toml: &'t str, key: &str) -> &'t str {
    toml.lines().find_map(|line| line.strip_prefix(key)?.split('"').nth(1)).expect("a quoted value")
}

fn links(pid: u32) -> BTreeSet<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("root may look");
    let target = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    entries.filter_map(target).map(|target| target.display().to_string()).collect()
}

fn link(pid: u32, number: u32) -> String {
    fs::read_link(format!("/proc/{pid}/fd/{number}")).expect("the descriptor is open").display().to_string()
}

fn environment(pid: u32) -> Vec<String> {
    let text = process::text(format!("/proc/{pid}/environ"));
    let mut words: Vec<_> = text.split('\0').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    words.sort_unstable();
    words
}

/// Whether the service user can read more of the process `pid` than every other user.
fn may_be_looked_at(pid: u32) -> bool {
    ["mem", "environ", "fd/0", "maps"].iter().any(|part| {
        let line =
            ["--reuid", SERVICE, "--regid", SERVICE, "--clear-groups", "head", "-c1", &format!("/proc/{pid}/{part}")];
        Command::new("setpriv").args(line).output().expect("setpriv is part of util-linux").status.success()
    })
}

#[test]
fn while_the_command_runs_only_the_key_is_left_and_while_sendmail_runs_nothing() {
    let spy_gateway = SpyGateway::raise();
    let mail = spy_gateway.mail();
    let (key_file, url) = secrets();
    let (hex_key, secret) = (quoted(&key_file, "hmac_key"), base32(&url));
    let raw_key = hex::decode(hex_key).expect("hex digits");
    let raw_secret = totp_rs::Secret::try_from_base32(&secret).expect("base32");
    let code_line = mail.lines().find(|line| line.starts_with("totp: ")).expect("a code").to_owned();
    let key = || Secret::new("the HMAC key", &[&raw_key]);
    let others = || {
        vec![
            Secret::new("the HMAC key in hex", &[hex_key.as_bytes(), hex_key.to_uppercase().as_bytes()]),
            Secret::new("the TOTP secret", &[raw_secret.as_bytes(), secret.as_bytes()]),
            Secret::new("the code", &[code_line.as_bytes()]),
        ]
    };

    let delivery = spy_gateway.deliver(&mail, HOSTILE);
    spy("command");
    let image = Image::of(delivery.pid());
    // Finding what must be there shows that the search works.
    assert!(image.count(b"ann@users.example") > 0, "the image is not a delivery's");
    assert_eq!(image.count(&raw_key), 1, "the reply is signed under the key; it is in one place until then");
    assert_eq!(image.holds(&others()), [], "secrets that have served, while the command runs");

    let_go("command");
    spy("sendmail");
    let image = Image::of(delivery.pid());
    assert!(image.count(b"ann@users.example") > 0, "the image is not a delivery's");
    let all: Vec<_> = others().into_iter().chain([key()]).collect();
    assert_eq!(image.holds(&all), [], "secrets that have served, while sendmail runs");
    let_go("sendmail");
    delivery.end();
}

#[test]
fn no_other_process_can_read_a_delivery_and_it_leaves_no_core() {
    let spy_gateway = SpyGateway::raise();
    let delivery = spy_gateway.deliver(&spy_gateway.mail(), "MAIL_CONFIG=/etc/postfix");
    spy("command");
    // proc(5): what is not dumpable, and so leaves no core and cannot be traced by its own user, belongs to root.
    let owner = fs::metadata(format!("/proc/{}/environ", delivery.pid())).expect("it is there").uid();
    assert_eq!(owner, 0, "the delivery is dumpable");
    assert!(!may_be_looked_at(delivery.pid()), "another process of the service user's can look into a delivery");
    let limits = process::text(format!("/proc/{}/limits", delivery.pid()));
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("proc(5) has it");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");

    // The same questions about any other process of that user's, to see that they can be answered with yes.
    let mut other = Command::new("setpriv")
        .args(["--reuid", SERVICE, "--regid", SERVICE, "--clear-groups", "sleep", "600"])
        .spawn()
        .expect("setpriv is part of util-linux");
    poll::until_true("the other's start", || process::text(format!("/proc/{}/comm", other.id())) == "sleep\n");
    assert!(may_be_looked_at(other.id()));
    other.kill().and_then(|()| other.wait()).expect("the other's end");

    for which in ["command", "sendmail"] {
        let_go(which);
    }
    delivery.end();
}

#[test]
fn neither_command_nor_sendmail_gets_descriptors_or_environment_of_the_delivery() {
    let spy_gateway = SpyGateway::raise();
    let delivery = spy_gateway.deliver(&spy_gateway.mail(), HOSTILE);
    let command = spy("command");
    let inherited: BTreeSet<_> = [0, 1, 2, 7, 8].iter().map(|&number| link(delivery.pid(), number)).collect();
    assert!(LEFT_OPEN.iter().all(|path| inherited.contains(*path)), "the delivery itself has them: {inherited:?}");
    let ledger = |link: &String| link.contains("ledger");
    assert!(links(delivery.pid()).iter().any(ledger), "the delivery itself has the ledger open");

    let found = links(command);
    assert!(found.is_disjoint(&inherited) && !found.iter().any(ledger), "{found:?} of {inherited:?}");
    assert_eq!(link(command, 0), "/dev/null");
    let words = environment(command);
    assert!(!words.iter().any(|word| word.contains("evil") || word.contains("mine")), "{words:?}");
    for wanted in ["LC_ALL=C.UTF-8", "LOGNAME=root", "HOME=/root", "SUDO_USER=mailsudo"] {
        assert!(words.iter().any(|word| word == wanted), "{wanted}: {words:?}");
    }
    let status = process::text(format!("/proc/{command}/status"));
    assert!(status.contains("\nUmask:\t0022\n"), "{status}");

    let_go("command");
    let sendmail = spy("sendmail");
    let found = links(sendmail);
    let foreign: BTreeSet<_> = found.intersection(&inherited).cloned().collect();
    assert!(foreign.is_empty() && !found.iter().any(ledger), "{found:?} of {inherited:?}");
    assert_eq!((link(sendmail, 1), link(sendmail, 2)), ("/dev/null".to_owned(), "/dev/null".to_owned()));
    // A shell adds PWD to its own environment, but not to what it was given.
    let wanted = ["LC_ALL=C.UTF-8", "MAIL_CONFIG=/etc/postfix", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
    assert_eq!(environment(sendmail), wanted);
    let_go("sendmail");
    delivery.end();
}

#[test]
fn under_postfix_no_descriptor_of_its_own_reaches_the_command() {
    let spy_gateway = SpyGateway::raise();
    spy_gateway.lend_to_the_main_gateway();
    let user = User::enrol("inheritor");
    user.send(&user.request(&["stay"]));
    let command = spy("command");
    let is_delivery = |line: &str| line.starts_with("/usr/local/bin/mailsudo deliver ");
    let delivery = process::find(is_delivery).into_iter().next().expect("it waits for its command");
    let inherited: BTreeSet<_> = (0..3).map(|number| link(delivery, number)).collect();
    let found = links(command);
    assert!(found.is_disjoint(&inherited), "{found:?} of {inherited:?}");
    let_go("command");
    user.assert_genuine(&user.mailbox().single());
}
