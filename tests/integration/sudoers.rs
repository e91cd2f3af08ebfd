//! The sudo rules of a command, to the letter; where a dialect's limits lie; and how a fragment is installed and
//! compared, with scripts in the place of sudo and visudo. `tests/system/sudo_table.rs` asks the real ones.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mailsudo::config::{Command, Execution, Gateway, Trusted};
use mailsudo::limits::{ARGUMENT_VECTORS, SUDO_EXPRESSION, SUDO_RS_WORD};
use mailsudo::protocol::CommandName;
use mailsudo::sudoers::{Dialect, Tools, drift, drift_in_force, fragment, install, owner, place, samples, vectors};

use crate::cli::mode;
use crate::common::TestGateway;

const WITHIN: Duration = Duration::from_mins(1);
const TIMEOUT: &str = "/usr/bin/timeout --kill-after\\=5s 30s ";

/// The command `probe` of a gateway. Its arguments and the rest of its file are given as TOML.
fn probe(arguments: &str, rest: &str) -> (TestGateway, Gateway, Command) {
    let test_gateway = TestGateway::new();
    let toml = format!(
        "summary = \"Probe\"\nrun_as = \"root\"\nargv = [\"/bin/p\", {arguments}]\ntimeout = \"30s\"\n{rest}\n"
    );
    test_gateway.write("commands.d/probe.toml", 0o644, &toml);
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let name = CommandName::try_from("probe").expect("a name");
    let command = gateway.command(&name).unwrap_or_else(|error| panic!("{error}")).expect("the command");
    (test_gateway, gateway, command)
}

/// What follows `timeout 30s` in each rule, or why there is none.
fn rules(arguments: &str, rest: &str, dialect: Dialect) -> Result<Vec<String>, String> {
    let (_test_gateway, gateway, command) = probe(arguments, rest);
    let text = fragment(&[command], gateway.settings(), dialect).map_err(|error| error.to_string())?;
    let rule = |line: &str| {
        let (_, rule) = line.split_once(" ALL = (root) NOPASSWD: EXEC: NOSETENV: ")?;
        let expression = "/usr/bin/timeout ^--kill-after\\=5s 30s ";
        let rest = rule.strip_prefix(TIMEOUT).or_else(|| rule.strip_prefix(expression));
        Some(rest.unwrap_or_else(|| panic!("{rule}")).to_owned())
    };
    Ok(text.lines().filter_map(rule).collect())
}

fn range(last: usize) -> String {
    format!("[parameters.n]\ninteger = {{ min = 1, max = {last} }}\n[allow.p]")
}

const PATTERN: &str = "[parameters.w]\npattern = \"^[a-z]+$\"\nmax_length = 9\n";

#[test]
fn values_are_written_out_up_to_a_limit() {
    for (last, is_listed) in [(ARGUMENT_VECTORS, true), (ARGUMENT_VECTORS + 1, false)] {
        let (_test_gateway, _, command) = probe("\"{n}\"", &range(last));
        assert_eq!(vectors(&command).map(|all| all.len()), is_listed.then_some(last));
        assert_eq!(samples(&command).len(), if is_listed { last } else { 1 });
        let refused = rules("\"{n}\"", &range(last), Dialect::SudoRs).err();
        assert_eq!(refused.is_some(), !is_listed, "{refused:?}");
        assert!(refused.is_none_or(|why| why.contains("the values of `n` are too many")));
    }
    // What several roles may give counts together.
    let half = |role: &str, first: usize| {
        let values: Vec<_> = (first..first + ARGUMENT_VECTORS).map(|n| format!("\"{n}\"")).collect();
        format!("[allow.{role}]\nn = [{}]\n", values.join(", "))
    };
    let rest =
        |other| format!("[parameters.n]\ninteger = {{ min = 1, max = 999 }}\n{}{}", half("p", 1), half("q", other));
    assert!(vectors(&probe("\"{n}\"", &rest(1)).2).is_some());
    assert!(vectors(&probe("\"{n}\"", &rest(2)).2).is_none());
}

#[test]
fn samples_are_values_that_the_command_takes() {
    let rest = format!("{PATTERN}[parameters.o]\none_of = [\"x\", \"y\"]\n[allow.p]\n[allow.q]\no = [\"y\"]\n");
    let found: Vec<Vec<_>> =
        samples(&probe("\"{w}\", \"{o}\"", &rest).2).into_iter().map(|values| values.into_values().collect()).collect();
    assert_eq!(found.iter().filter(|values| values[0] == "y").count(), 1, "of the role q: {found:?}");
    assert!(found.iter().all(|values| !values[1].is_empty()), "{found:?}");
}

#[test]
fn sudo_rs_takes_only_what_it_reads_literally() {
    let words = |word: &str| format!("'{word}'");
    for bad in ["a*b", "a?b", "a[b", "a]b", "a\\b", "a\"b", "a!b", "a^b", "é"] {
        assert!(rules(&words(bad), "[allow.p]", Dialect::SudoRs).is_err_and(|why| why.contains("literally")), "{bad}");
        assert_eq!(rules(&words(bad), "[allow.p]", Dialect::Sudo).map(|rules| rules.len()), Ok(1), "{bad}");
    }
    for (length, fits) in [(SUDO_RS_WORD, true), (SUDO_RS_WORD + 1, false)] {
        let word = words(&"x".repeat(length));
        let found = rules(&word, "[allow.p]", Dialect::SudoRs);
        assert_eq!(found.is_ok(), fits, "{found:?}");
        assert!(found.is_ok() || found.is_err_and(|why| why.contains("takes no argument of more than")));
        assert!(rules(&word, "[allow.p]", Dialect::Sudo).is_ok());
    }
}

#[test]
fn an_expression_may_be_as_long_as_sudo_takes() {
    let of = |length: usize| {
        rules(&format!("'{}', \"{{w}}\"", "x".repeat(length)), &format!("{PATTERN}[allow.p]"), Dialect::Sudo)
    };
    let longest =
        (SUDO_EXPRESSION - 100..SUDO_EXPRESSION).take_while(|length| of(*length).is_ok()).last().expect("some");
    let rule = of(longest).expect("a rule").concat();
    let whole = "^--kill-after=5s 30s ".len() + rule.replace("\\\\", "\\").len();
    // One byte is counted for the space after each argument, the last included.
    assert_eq!(whole + 1, SUDO_EXPRESSION, "{rule}");
    assert!(of(longest + 1).is_err_and(|why| why.contains("sudo matches none above")));
}

#[test]
fn an_expression_permits_what_the_roles_may_give_and_no_option() {
    let one_of = "[parameters.o]\none_of = [\"-a\", \"b.c\"]\n";
    let rest = format!("{PATTERN}{one_of}[allow.p]");
    let found = |arguments: &str, rest: &str| rules(arguments, rest, Dialect::Sudo);
    assert_eq!(found("\"{w}\", \"{o}\"", &rest).expect("rules"), ["/bin/p (([a-z])+) (b[.]c)$"]);
    assert_eq!(found("\"{w}\", \"--o={o}\"", &rest).expect("rules"), ["/bin/p (([a-z])+) --o\\=(-a|b[.]c)$"]);
    // Twice the same value cannot be required, unless there is only one.
    assert!(found("\"{w}\", \"{o}\", \"x{o}\"", &rest).is_err_and(|why| why.contains("stands in 2 places")));
    let one = format!("{PATTERN}{one_of}[allow.p]\no = [\"b.c\"]\n");
    assert_eq!(found("\"{w}\", \"{o}\", \"x{o}\"", &one).expect("rules"), ["/bin/p (([a-z])+) (b[.]c) x(b[.]c)$"]);
    let dashed = "[parameters.w]\npattern = \"^[a-z-]+$\"\nmax_length = 9\n[allow.p]";
    assert!(found("\"{w}\"", dashed).is_err_and(|why| why.contains("lets a value begin with -")));
    assert!(found("\"x{w}\"", dashed).is_ok());
    // In a bracket sudo would keep the backslash.
    let colons = "[parameters.w]\npattern = \"^[a:=,]+:[b]=$\"\nmax_length = 9\n[allow.p]";
    assert_eq!(found("\"x:{w}\"", colons).expect("rules"), [r"/bin/p x\:(([a,:=])+[:]b[=])$"]);
}

/// sudo and visudo as scripts: one says its version or lists rules, the other accepts or refuses.
fn scripts(test_gateway: &TestGateway, sudo: &str, visudo: &str) -> Execution {
    test_gateway.write("sudo", 0o755, &format!("#!/bin/sh\n{sudo}\n"));
    test_gateway.write("visudo", 0o755, &format!("#!/bin/sh\n{visudo}\n"));
    Execution { sudo: test_gateway.path("sudo"), ..Execution::default() }
}

#[test]
fn a_fragment_is_installed_only_if_visudo_accepts_it() {
    let test_gateway = TestGateway::new();
    let path = test_gateway.path("rules");
    let execution = scripts(&test_gateway, "echo Sudo version 1.9.13p3", "grep -q good \"$3\"");
    let tools = Tools::find(&execution, WITHIN).expect("sudo");
    assert_eq!(tools.dialect, Dialect::Sudo);
    install(&path, "good one\n", &tools).expect("accepted");
    assert_eq!((fs::read_to_string(&path).expect("installed").as_str(), mode(&path)), ("good one\n", 0o440));
    assert!(install(&path, "bad\n", &tools).is_err_and(|error| error.to_string().contains("visudo refuses")));
    assert_eq!(fs::read_to_string(&path).expect("as before"), "good one\n");
    install(&path, "good two\n", &tools).expect("accepted");
    assert_eq!(fs::read_to_string(&path).expect("installed"), "good two\n");
    assert_eq!(fs::read_to_string(test_gateway.path("rules~")).expect("the former"), "good one\n");
    // The former one cannot be kept, so it is not replaced.
    assert!(
        install(&test_gateway.path("users.d"), "good\n", &tools).is_err_and(|e| e.to_string().contains("cannot read"))
    );

    let execution = scripts(&test_gateway, "echo sudo-rs 0.2.15", "");
    assert_eq!(Tools::find(&execution, WITHIN).expect("sudo-rs").dialect, Dialect::SudoRs);
    let execution = scripts(&test_gateway, "echo doas", "");
    assert!(Tools::find(&execution, WITHIN).is_err());
}

#[test]
fn a_fragment_on_disk_is_compared_line_by_line() {
    let test_gateway = TestGateway::new();
    let path = test_gateway.path("rules");
    let compared = |path: &Path| drift(path, "a\nb\n").expect("compared");
    assert!(compared(&path).is_some_and(|diff| diff.ends_with("@@ -0,0 +1,2 @@\n+a\n+b\n")));
    test_gateway.write("rules", 0o644, "a\nc\n");
    assert!(compared(&path).is_some_and(|diff| diff.ends_with("@@ -1,2 +1,2 @@\n a\n-c\n+b\n")));
    test_gateway.write("rules", 0o644, "a\nb\n");
    assert_eq!(compared(&path), None);
    assert!(drift(&test_gateway.path("users.d"), "a\n").is_err(), "a folder is no fragment, and not a missing one");
}

#[test]
fn what_sudo_lists_is_compared_with_the_fragment() {
    let (test_gateway, gateway, command) = probe("\"x\"", "[allow.p]");
    let wanted = fragment(&[command], gateway.settings(), Dialect::Sudo).expect("a fragment");
    let rule = format!("(root) NOPASSWD: EXEC: NOSETENV: {TIMEOUT}/bin/p x");
    let listed = |rules: &str, status: u8| {
        let sudo =
            format!("cat <<'END'\nUser mailsudo may run the following commands on here:\n{rules}\nEND\nexit {status}");
        let execution = scripts(&test_gateway, &sudo, "");
        drift_in_force(&execution.sudo, Dialect::Sudo, &wanted, WITHIN)
    };
    assert_eq!(listed(&format!("    {rule}"), 0).expect("listed"), None);
    let other = listed("    (ALL) ALL", 0).expect("listed").expect("another rule");
    assert_eq!(
        other,
        format!(
            "--- sudo -l\n+++ mailsudo sudoers\n-(ALL) ALL\n+{}\n",
            rule.replace("NOPASSWD: EXEC: NOSETENV", "EXEC: NOPASSWD: NOSETENV")
        )
    );
    assert!(listed(&format!("    {rule}"), 1).is_err(), "a sudo that fails has listed nothing");
}

#[test]
fn each_gateway_has_a_fragment_of_its_own() {
    let (_test_gateway, gateway, command) = probe("\"x\"", "[allow.p]");
    assert_eq!(place(&gateway), Path::new("/etc/sudoers.d/mailsudo-berlin"));
    let text = fragment(&[command], gateway.settings(), Dialect::Sudo).expect("a fragment");
    assert_eq!((owner(&text), owner("# What else\n")), (Some("berlin"), None));
}
