//! The test machine: made once, inside the sandbox, by the steps of the README.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::process::{self, run};
use crate::{commands, poll, postfix, sudo_rules, syslog};

/// Where requests are sent.
pub(crate) const GATEWAY: &str = "ops@example.com";
pub(crate) const CONFIG: &str = "/etc/mailsudo";
pub(crate) const PROGRAM: &str = "/usr/local/bin/mailsudo";
/// The service user, and its group.
pub(crate) const SERVICE: &str = "mailsudo";

static MACHINE: LazyLock<()> = LazyLock::new(make);

/// Makes the test machine unless it is there. Every test's first line.
pub(crate) fn enter() {
    assert!(
        Path::new("/run/mailsudo-sandbox").exists(),
        "the system test changes users, sudoers and mail, and so runs in its sandbox only: \
         tests/system/run"
    );
    LazyLock::force(&MACHINE);
}

/// The checkout.
pub(crate) fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the checkout, as an argument.
pub(crate) fn in_checkout(path: &str) -> String {
    checkout().join(path).display().to_string()
}

fn make() {
    // What this host may have of its own, of which the overlays show a copy.
    for path in [CONFIG, "/var/lib/mailsudo", "/etc/postfix/mailsudo_transport", syslog::LOG] {
        process::remove(path);
    }
    syslog::start();
    postfix::start();
    run("useradd", &["--system", "--user-group", "worker"]);
    commands::install_programs();
    sudo_rules::clear_ground();

    make_install("install");
    example_commands();
    sudo_rules::raise_sudo();
    init_ledger(PROGRAM);
    run(PROGRAM, &["postfix", "install", "--yes"]);
}

/// `make install`, or `make uninstall`.
pub(crate) fn make_install(target: &str) {
    run("make", &["-C", &in_checkout(""), target, "PREFIX=/usr/local"]);
}

/// A new ledger refuses whatever was signed up to the second in which it was made; returns after that.
pub(crate) fn init_ledger(program: &str) {
    init_ledger_of(program, CONFIG);
}

/// The same of the gateway in another folder.
pub(crate) fn init_ledger_of(program: &str, folder: &str) {
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    run(program, &["ledger", "init", "--config", folder]);
    let made = second();
    poll::until_true("the next second", || second() > made);
}

/// The examples get sudo rules like a gateway's own commands, whether or not their programs are here.
fn example_commands() {
    let folder = checkout().join("examples/commands.d");
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("no example commands in {}: {error}", folder.display()));
    for entry in entries.flatten() {
        let to = Path::new(CONFIG).join("commands.d").join(entry.file_name());
        process::write(to, 0o644, &process::text(entry.path()));
    }
}
