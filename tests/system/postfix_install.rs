//! `mailsudo postfix install` and `remove` on a copy of a configuration: shows what it will do, does it once, removes
//! it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::process::{self, run};
use crate::system_env::PROGRAM;
use crate::{postfix, system_env};

/// A Postfix configuration with a sysadmin's own settings.
struct Configuration {
    folder: String,
}

impl Configuration {
    fn new(name: &str, main: &str) -> Self {
        system_env::enter();
        let folder = format!("/srv/{name}");
        // Its own queue distinguishes it from the Postfix that runs.
        postfix::write_main(&folder, &format!("queue_directory = {folder}/queue\n{main}"));
        let stock = process::text(postfix::STOCK_SERVICES);
        process::write(format!("{folder}/master.cf"), 0o644, &stock);
        Self { folder }
    }

    fn call(&self, words: &[&str]) -> Output {
        let words = [&["postfix"], words, &["--postfix-config", &self.folder]].concat();
        Command::new(PROGRAM).args(words).stdin(Stdio::null()).output().expect("the program")
    }

    /// Like [`Self::call`], for what must succeed; returns what it printed.
    fn done(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn text(&self, file: &str) -> String {
        process::text(Path::new(&self.folder).join(file))
    }

    fn value(&self, parameter: &str) -> String {
        run("postconf", &["-c", &self.folder, "-h", parameter]).trim().to_owned()
    }

    fn files(&self) -> [String; 3] {
        ["main.cf", "master.cf", "mailsudo_transport"].map(|file| self.text(file))
    }
}

const PLAIN: &str = "\
# Kept as it is, with a comment.
compatibility_level = 3.6
mydestination = example.com, localhost
alias_maps =
transport_maps = texthash:/srv/elsewhere, hash:/srv/nowhere
";

/// How a map in one of these folders begins.
const MAP: &str = "texthash:/srv/";

#[test]
fn installs_once_and_removes_it() {
    let postfix = Configuration::new("taken-back", PLAIN);
    let before = postfix.files();

    let shown = postfix.done(&["install", "--dry-run"]);
    assert!(shown.contains("+mailsudo_time_limit = 780s"), "{shown}");
    assert_eq!(postfix.files(), before, "a dry run changes nothing");
    assert!(!postfix.call(&["install"]).status.success(), "unasked and without --yes");
    assert_eq!(postfix.files(), before);

    let done = postfix.done(&["install", "--yes"]);
    let shown = shown.strip_suffix("Nothing was changed (--dry-run).\n").expect("it says so");
    assert!(done.starts_with(shown) && done.contains("not running"), "showed {shown}\ndid {done}");
    assert_eq!(
        postfix.value("transport_maps"),
        format!("{MAP}taken-back/mailsudo_transport, texthash:/srv/elsewhere, hash:/srv/nowhere")
    );
    assert_eq!(
        postfix.value("local_recipient_maps"),
        format!("proxy:unix:passwd.byname $alias_maps, {MAP}taken-back/mailsudo_transport")
    );
    assert_eq!(postfix.value("mailsudo_destination_recipient_limit"), "1");
    assert!(postfix.text("mailsudo_transport").ends_with("\nops@example.com    mailsudo:\n"));

    let after = postfix.files();
    assert!(postfix.done(&["show"]).contains("installed as it should be"));
    assert_eq!(postfix.done(&["install", "--yes"]), "nothing to change\n");
    assert_eq!(postfix.files(), after);

    postfix.done(&["remove", "--yes"]);
    assert_eq!(postfix.files(), before);
    assert_eq!(postfix.done(&["remove", "--yes"]), "nothing to change\n");
}

/// A flood to one address must not delay mail to another: each further one in `[intake] recipients` has a transport of
/// its own, as long as it is there.
#[test]
fn a_further_address_has_a_transport_of_its_own() {
    let postfix = Configuration::new("further", PLAIN);
    let before = postfix.files();
    let gateway = "/srv/further-gateway";
    run("cp", &["-a", "/etc/mailsudo", gateway]);
    let settings = process::text(format!("{gateway}/mailsudo.toml"));
    let further = "[intake]\nrecipients = [\"ops@example.com\", \"Public@example.com\"]\n";
    process::write(format!("{gateway}/mailsudo.toml"), 0o644, &format!("{settings}\n{further}"));

    postfix.done(&["install", "--yes", "--config", gateway]);
    let map = postfix.text("mailsudo_transport");
    assert!(map.ends_with("\nops@example.com    mailsudo:\npublic@example.com    mailsudo-2:\n"), "{map}");
    let line = run("postconf", &["-c", &postfix.folder, "-M", "mailsudo-2/unix"]);
    assert!(
        line.split_whitespace().eq(format!("mailsudo-2 unix - n n - 1 pipe {}", rest(&postfix)).split(' ')),
        "{line}"
    );
    assert_eq!(postfix.value("mailsudo-2_destination_recipient_limit"), "1");
    assert_eq!(postfix.value("mailsudo-2_time_limit"), postfix.value("mailsudo_time_limit"));
    assert_eq!(postfix.done(&["install", "--yes", "--config", gateway]), "nothing to change\n");

    process::write(format!("{gateway}/mailsudo.toml"), 0o644, &settings);
    postfix.done(&["install", "--yes", "--config", gateway]);
    assert!(!postfix.text("master.cf").contains("mailsudo-2"), "the address is gone");
    assert!(!postfix.text("main.cf").contains("mailsudo-2"), "and its limits");

    process::write(format!("{gateway}/mailsudo.toml"), 0o644, &format!("{settings}\n{further}"));
    postfix.done(&["install", "--yes", "--config", gateway]);
    postfix.done(&["remove", "--yes"]);
    assert_eq!(postfix.files(), before);
}

/// The words of the gateway's own transport, after its process limit.
fn rest(postfix: &Configuration) -> String {
    let line = run("postconf", &["-c", &postfix.folder, "-M", "mailsudo/unix"]);
    line.split_whitespace().skip(8).collect::<Vec<_>>().join(" ")
}

/// Each step may fail: then all is as it was.
#[test]
fn a_change_that_fails_leaves_the_files_as_they_were() {
    let postfix = Configuration::new("half-done", PLAIN);
    let before = postfix.files();
    // postconf(1) writes main.cf through a file of this name, and master.cf is changed before it.
    let blocking = format!("{}/main.cf.tmp", postfix.folder);
    fs::create_dir(&blocking).expect("a folder");
    let output = postfix.call(&["install", "--yes"]);
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("nothing was changed"),
        "{output:?}"
    );
    assert_eq!(postfix.files(), before);
    fs::remove_dir(&blocking).expect("removed");
    postfix.done(&["install", "--yes"]);
}

#[test]
fn keeps_what_others_add_around_it() {
    let postfix = Configuration::new("shared", PLAIN);
    postfix.done(&["install", "--yes"]);
    let ours = format!("{MAP}shared/mailsudo_transport");
    let grown = format!("transport_maps = hash:/srv/first, {ours}, {ours}-of-another");
    run("postconf", &["-c", &postfix.folder, "-e", &grown]);

    assert_eq!(postfix.done(&["install", "--yes"]), "nothing to change\n");
    postfix.done(&["remove", "--yes"]);
    assert_eq!(postfix.value("transport_maps"), format!("hash:/srv/first, {ours}-of-another"));
}

#[test]
fn the_fragments_are_what_it_installs() {
    let postfix = Configuration::new("fragments", "compatibility_level = 3.6\nmydestination = example.com\n");
    postfix.done(&["install", "--yes"]);

    let installed = run("postconf", &["-c", &postfix.folder, "-M", "mailsudo/unix"]);
    let fragment = fs::read_to_string(system_env::in_checkout("postfix/master.cf")).expect("the fragment is there");
    let words = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
    };
    assert_eq!(words(&installed), words(&fragment));
    for line in fragment_settings() {
        let (name, value) = line.split_once(" = ").expect("a line of main.cf");
        let value = value.replace("/etc/postfix/", &format!("{}/", postfix.folder));
        assert_eq!(postfix.value(name).replace(',', ""), value);
    }
}

fn fragment_settings() -> Vec<String> {
    let fragment = process::text(system_env::in_checkout("postfix/main.cf"));
    let lines = fragment.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(str::to_owned).collect()
}

#[test]
fn says_when_the_address_would_not_be_taken() {
    let main = "compatibility_level = 3.6\nmydestination = localhost\n";
    let foreign = Configuration::new("foreign", main);
    let shown = foreign.done(&["install", "--dry-run"]);
    assert!(shown.contains("Relay access denied"), "{shown}");

    let aliased = format!("{main}virtual_alias_domains = example.com\n");
    let output = Configuration::new("aliased", &aliased).call(&["install", "--yes"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("virtual alias domain"), "{output:?}");

    let relayed = format!("{main}relay_domains = example.com\nrelay_recipient_maps = texthash:/srv/recipients\n");
    let relayed = Configuration::new("relayed", &relayed);
    relayed.done(&["install", "--yes"]);
    assert_eq!(
        relayed.value("relay_recipient_maps"),
        format!("texthash:/srv/recipients, {MAP}relayed/mailsudo_transport")
    );
}
