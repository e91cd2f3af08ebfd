//! `mailsudo check` with a Postfix of scripts: whether the address is accepted, whether Postfix runs, who is locked
//! out; and programs that never answer. The real programs are in tests/system/check.rs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{CliGateway, said};

/// Answers from the files in HOME/main; checks that it is asked in a known way.
const POSTCONF: &str = r#"#!/bin/sh
[ "$1" != -c ] || shift 2
case $1 in
-M) cat HOME/master ;;
-P) ;;
-x) for file in HOME/main/*; do echo "${file##*/} = $(cat "$file")"; done ;;
*) exit 64 ;;
esac
"#;

/// `postmap -q KEY MAP`, with a map of lines `KEY VALUE`.
const POSTMAP: &str = r#"#!/bin/sh
[ "$1" != -c ] || shift 2
[ "$1" = -q ] || exit 64
awk -v key="$2" '$1 == key { print $2; found = 1 } END { exit !found }' "${3#texthash:}"
"#;

const ADDRESS: &str = "ops@gateway.example";

struct Postfix {
    gateway: CliGateway,
}

#[derive(Debug)]
struct Finding {
    level: String,
    text: String,
}

impl Postfix {
    /// A Postfix that accepts the address and runs.
    fn new() -> Self {
        let gateway = CliGateway::new();
        let home = gateway.folder.path().canonicalize().expect("a path").display().to_string();
        for name in ["bin", "main", "queue", "queue/pid"] {
            fs::create_dir(gateway.path(name)).expect("a folder");
        }
        let postfix = Self { gateway };
        postfix.program("postconf", &POSTCONF.replace("HOME", &home));
        postfix.program("postmap", POSTMAP);
        postfix.program("postqueue", "#!/bin/sh\n");
        let settings = fs::read_to_string(postfix.gateway.path("mailsudo.toml")).expect("settings");
        postfix.gateway.write("mailsudo.toml", &settings.replace("ops@example.com", ADDRESS));
        let line = format!(
            "mailsudo unix - n n - 4 pipe flags=Rq user=mailsudo null_sender= argv=/usr/bin/mailsudo deliver --config {home} \
             --reply-via /usr/sbin/sendmail --sender=${{sender}}\n"
        );
        postfix.gateway.write("master", &line);
        for name in ["main.cf", "master.cf"] {
            postfix.gateway.write(name, "");
        }
        for (parameter, value) in [
            ("config_directory", home.as_str()),
            ("queue_directory", &format!("{home}/queue")),
            ("mailsudo_destination_recipient_limit", "1"),
            ("mailsudo_time_limit", "780s"),
            ("maximal_queue_lifetime", "5d"),
            ("transport_maps", &format!("texthash:{home}/transports")),
            ("mydestination", "localhost, gateway.example"),
            ("local_recipient_maps", &format!("texthash:{home}/recipients")),
            ("virtual_alias_domains", ""),
            ("virtual_mailbox_domains", ""),
            ("relay_domains", ""),
            ("virtual_alias_maps", ""),
        ] {
            postfix.set(parameter, value);
        }
        postfix.gateway.write("transports", &format!("{ADDRESS} mailsudo:\n"));
        postfix.gateway.write("recipients", &format!("{ADDRESS} mailsudo:\n"));
        postfix
    }

    fn set(&self, parameter: &str, value: &str) {
        self.gateway.write(&format!("main/{parameter}"), &format!("{value}\n"));
    }

    fn program(&self, name: &str, script: &str) {
        self.gateway.program(&format!("bin/{name}"), script);
    }

    /// The findings about `about` that are not ok. The gateways of other tests lie beside this one.
    fn found(&self, about: &str) -> Vec<Finding> {
        self.all(about).into_iter().filter(|one| !one.text.contains(" too: ")).collect()
    }

    /// The same with what other gateways of this host have too.
    fn all(&self, about: &str) -> Vec<Finding> {
        let mut command = self.gateway.command(&["check", "--json", "--config", "."]);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.gateway.path("bin").display()));
        let said = said(command.output().expect("the program"));
        let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out));
        let all = report["findings"].as_array().expect("a list").iter();
        all.filter(|one| one["about"] == about && one["level"] != "ok")
            .map(|one| Finding {
                level: one["level"].as_str().expect("a word").to_owned(),
                text: format!("{} -> {}", one["what"].as_str().expect("text"), one["remedy"].as_str().expect("text")),
            })
            .collect()
    }

    /// The one finding about Postfix; Postfix itself does not run here.
    fn one(&self) -> Finding {
        let mut found = self.found("postfix");
        found.retain(|finding| !finding.text.contains("is not running"));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

#[test]
fn an_address_that_postfix_refuses_is_found_with_its_class() {
    let postfix = Postfix::new();
    let stopped = postfix.found("postfix");
    assert_eq!(stopped.len(), 1, "{stopped:?}");
    assert_eq!(stopped[0].level, "error");
    assert!(stopped[0].text.contains("Postfix is not running") && stopped[0].text.ends_with("postfix start"));

    postfix.gateway.write("recipients", "root x\n");
    let unknown = postfix.one();
    assert_eq!(unknown.level, "error");
    for words in ["not in local_recipient_maps", "User unknown", " postfix install --config "] {
        assert!(unknown.text.contains(words), "{unknown:?}");
    }
    postfix.set("local_recipient_maps", "");
    assert_eq!(postfix.found("postfix").len(), 1, "an empty list accepts each address");

    postfix.set("mydestination", "localhost, !gateway.example");
    let foreign = postfix.one();
    assert_eq!(foreign.level, "warning");
    for words in ["gateway.example is in none of mydestination, virtual_alias_domains", "Relay access denied"] {
        assert!(foreign.text.contains(words), "{foreign:?}");
    }
    postfix.set("virtual_alias_domains", "gateway.example");
    let aliases = postfix.one();
    assert!(aliases.level == "error" && aliases.text.contains("transport_maps does not count"), "{aliases:?}");
    postfix.set("virtual_alias_domains", "");
    postfix.set("relay_domains", "example");
    postfix.set("relay_recipient_maps", &format!("texthash:{}", postfix.gateway.path("recipients").display()));
    let relayed = postfix.one();
    assert!(relayed.text.contains("not in relay_recipient_maps"), "{relayed:?}");

    postfix.set("mydestination", "gateway.example");
    postfix.gateway.write("aliases", &format!("{ADDRESS} root@other.example\n"));
    postfix.set("virtual_alias_maps", &format!("texthash:{}", postfix.gateway.path("aliases").display()));
    let rewritten = postfix.one();
    assert!(rewritten.text.contains(&format!("turns {ADDRESS} into root@other.example")), "{rewritten:?}");
}

#[test]
fn a_number_that_postfix_left_behind_is_no_postfix() {
    let postfix = Postfix::new();
    postfix.gateway.write("queue/pid/master.pid", &format!("{:>10}\n", std::process::id()));
    assert!(postfix.found("postfix")[0].text.contains("is not running"), "this process is a test");
}

#[test]
fn the_examples_address_is_a_placeholder() {
    let postfix = Postfix::new();
    assert!(postfix.found("address").is_empty());
    let settings = fs::read_to_string(postfix.gateway.path("mailsudo.toml")).expect("settings");
    for address in ["ops@example.com", "ops@mail.EXAMPLE.org"] {
        postfix.gateway.write("mailsudo.toml", &settings.replace(ADDRESS, address));
        let found = postfix.found("address");
        assert!(found.len() == 1 && found[0].level == "warning", "{found:?}");
        assert!(found[0].text.contains("placeholder") && found[0].text.contains("mailsudo.toml"), "{found:?}");
    }
    let example =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/mailsudo.toml")).expect("the example");
    assert!(example.contains("address = \"ops@example.com\""), "this one is meant");
}

#[test]
fn a_totp_secret_of_two_users_is_found() {
    let postfix = Postfix::new();
    let secrets = fs::read_to_string(postfix.gateway.path("secrets.d/alice.toml")).expect("secrets");
    let user = fs::read_to_string(postfix.gateway.path("users.d/alice.toml")).expect("a user");
    assert_eq!(postfix.found("totp").len(), 0);
    postfix.gateway.write("users.d/bob.toml", &user.replace("alice@", "bob@"));
    let key = "hmac_key = \"";
    let at = secrets.find(key).expect("a key") + key.len();
    let own = format!("{}{}{}", &secrets[..at], "7".repeat(64), &secrets[at + 64..]);
    postfix.gateway.write("secrets.d/bob.toml", &own);
    fs::set_permissions(postfix.gateway.path("secrets.d/bob.toml"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let found = postfix.found("totp");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].text.contains("alice and bob have the same TOTP secret"), "{found:?}");
    assert!(found[0].text.contains("user rotate bob --totp"), "{found:?}");
}

#[test]
fn a_totp_secret_that_a_user_of_another_gateway_has_is_found() {
    let postfix = Postfix::new();
    for name in ["paris", "paris/users.d", "paris/commands.d", "paris/secrets.d"] {
        fs::create_dir(postfix.gateway.path(name)).expect("a folder");
    }
    let copied = |from: &str| fs::read_to_string(postfix.gateway.path(from)).expect("a file");
    postfix.gateway.write("paris/mailsudo.toml", &copied("mailsudo.toml").replace("berlin", "paris"));
    postfix.gateway.write("paris/users.d/carol.toml", &copied("users.d/alice.toml"));
    postfix.gateway.write("paris/secrets.d/carol.toml", &copied("secrets.d/alice.toml"));
    let secret = postfix.gateway.path("paris/secrets.d/carol.toml");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).expect("a mode");
    let found = postfix.all("totp");
    let of_carol: Vec<_> = found.iter().filter(|one| one.text.contains("/paris too: ")).collect();
    assert_eq!(of_carol.len(), 1, "{found:?}");
    assert!(of_carol[0].text.starts_with("alice has the TOTP secret of carol in "), "{found:?}");
    assert!(of_carol[0].text.contains("user rotate alice --totp"), "{found:?}");
}

#[test]
fn a_user_who_is_locked_out_is_found() {
    let postfix = Postfix::new();
    assert!(postfix.found("lockout").is_empty());
    for n in 0..5 {
        let code = format!("{n}{n}{n}{n}{n}{n}99");
        let words = ["sign", "say", "--key", "alice.key", "--code", &code, "--eml", "--from", "alice@example.com"];
        postfix.gateway.run_with(&["deliver"], &postfix.gateway.run(&words).out);
    }
    let found = postfix.found("lockout");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].text.starts_with("alice is locked out until 20"), "{found:?}");
    let (_, remedy) = found[0].text.split_once(" -> ").expect("a remedy");
    // It works as it is printed.
    let run = said(postfix.gateway.command(&[]).arg("--version").output().expect("the program"));
    assert_eq!(run.status, 0);
    let ended = std::process::Command::new("sh").args(["-ec", remedy]).output().expect("a shell");
    assert!(ended.status.success(), "{remedy}: {ended:?}");
    assert!(postfix.found("lockout").is_empty());
}

/// With few questions the check is fast, however many transports and commands there are.
#[test]
fn no_program_is_asked_twice_for_the_same_thing() {
    let postfix = Postfix::new();
    let asked = postfix.gateway.path("asked");
    for name in ["postconf", "postmap", "postqueue"] {
        let script = fs::read_to_string(postfix.gateway.path(&format!("bin/{name}"))).expect("a script");
        let noted = format!("#!/bin/sh\necho \"{name} $*\" >>{}\n", asked.display());
        postfix.program(name, &script.replacen("#!/bin/sh\n", &noted, 1));
    }
    let line = fs::read_to_string(postfix.gateway.path("master")).expect("services");
    postfix.gateway.write("master", &format!("{line}{}", line.replacen("mailsudo ", "mailsudo-2 ", 1)));
    assert!(
        postfix.found("postfix").iter().any(|finding| finding.text.contains("mailsudo-2_destination_recipient_limit"))
    );
    let asked = fs::read_to_string(asked).expect("what was asked");
    let mut once: Vec<_> = asked.lines().collect();
    once.sort_unstable();
    let all = once.len();
    once.dedup();
    assert_eq!(all, once.len(), "{asked}");
    assert!(asked.contains("postconf -x") && asked.contains("postqueue -j"), "{asked}");
}

/// docs/threat-model.md: it ends within 20 s, whatever hangs.
#[test]
fn programs_that_never_answer_do_not_hold_it_up() {
    let postfix = Postfix::new();
    let hangs = "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n";
    for name in ["postconf", "postmap", "postqueue", "getent", "timedatectl", "setpriv", "visudo", "sudo"] {
        postfix.program(name, hangs);
    }
    let settings = fs::read_to_string(postfix.gateway.path("mailsudo.toml")).expect("settings");
    let sudo = postfix.gateway.path("bin/sudo").display().to_string();
    let via_sudo = settings.replace("run_via = \"direct\"", &format!("run_via = \"sudo\"\nsudo = \"{sudo}\""));
    postfix.gateway.write("mailsudo.toml", &via_sudo);
    let begun = Instant::now();
    let sudo = postfix.found("sudo");
    let took = begun.elapsed();
    assert!(sudo.iter().any(|finding| finding.text.contains("--version did not end in time")), "{sudo:?}");
    // As much again for a busy machine.
    assert!(took < 2 * Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_key_of_the_whole_file_below_a_section_is_named_with_its_place() {
    let gateway = CliGateway::new();
    let settings = fs::read_to_string(gateway.path("mailsudo.toml")).expect("settings");
    gateway.write("mailsudo.toml", &format!("{settings}[limits]\nretention = \"90d\"\n"));
    let said = gateway.run(&["check"]);
    let words = "retention is a key of the whole file: write it above the first section, not below [limits]";
    assert!(said.status == 2 && said.out.contains(words), "{}{}", said.out, said.err);
}

#[test]
fn a_role_that_no_command_allows_is_refused_with_the_known_ones() {
    let gateway = CliGateway::new();
    let add = ["user", "add", "bob", "--address", "bob@example.com", "--role", "wbe", "--key-file", "bob.key"];
    let said = gateway.run(&add);
    let words = "no command allows the role wbe; known roles: web; --allow-unknown-role accepts it";
    assert!(said.status == 1 && said.err.contains(words), "{}", said.err);
    assert!(!gateway.path("users.d/bob.toml").exists() && !gateway.path("bob.key").exists());
    let remedy = gateway.run(&[&add[..], &["--allow-unknown-role"]].concat());
    assert_eq!(remedy.status, 0, "{}", remedy.err);
}

/// A new ledger has forgotten nothing: it was made then, and says so.
#[test]
fn a_ledger_that_is_new_says_that_it_was_made_then() {
    let gateway = CliGateway::new();
    let mail = gateway.eml(&["say"]);
    assert_eq!(gateway.run(&["ledger", "init"]).status, 0);
    let said = gateway.run_with(&["explain"], &mail);
    assert!(said.out.contains("the ledger was made then, or has pruned older requests"), "{}", said.out);
    assert!(!said.out.contains("would run:"), "{}", said.out);
}
