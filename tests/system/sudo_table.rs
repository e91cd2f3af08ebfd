//! The sudo rules, asked: what a command's file says and what sudo then permits, compared character by character.

use crate::sudo_probe::{PROBE, Probe, fragment};
use crate::sudo_rules::{SUDO_RS_SUDO, SudoRs};
use crate::{process, system_env};

const SUDO: &str = "/usr/bin/sudo";
/// Every character that has a meaning in sudoers(5), fnmatch(3) or regex(7), and others that could have one.
const SIGNS: &str = r#",:=#"!*?[]\^$%@();&{}|+.~-/_<>`"#;

/// A command file with these arguments after the program (in TOML), and the rest of it.
fn command(arguments: &str, rest: &str) -> String {
    format!("summary = \"Probe\"\nrun_as = \"root\"\nargv = [\"{PROBE}\", {arguments}]\n{rest}\n")
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

fn vectors(values: &[&[&str]]) -> Vec<Vec<String>> {
    values.iter().map(|vector| strings(vector)).collect()
}

/// Values around `sign`, and what a rule that misreads it could permit.
fn around(sign: char) -> (Vec<String>, Vec<String>) {
    let values =
        [format!("a{sign}b"), format!("{sign}"), format!("a{sign}"), format!("{sign}b"), format!("a{sign}{sign}b")];
    let near = ["", "a", "b", "ab", "axb", "aab", "abb", "axxb", "x", "ax", "xb", "a/b", "a-b"];
    let mut refused = strings(&near);
    for value in &values {
        refused.extend([value.replace(sign, &format!("\\{sign}")), value.replace(sign, &format!("[{sign}]"))]);
        refused.extend([format!("\"{value}\""), format!("{value}{sign}{sign}{sign}")]);
    }
    refused.retain(|near| !values.contains(near));
    (values.to_vec(), refused)
}

/// TOML's literal strings take any sign but their own quote.
fn listed(values: &[String]) -> String {
    let quoted: Vec<_> = values.iter().map(|value| format!("'{value}'")).collect();
    format!("[parameters.v]\none_of = [{}]\n", quoted.join(", "))
}

#[test]
fn characters_in_listed_values_match_only_themselves() {
    for sign in SIGNS.chars() {
        let (values, refused) = around(sign);
        let toml = command("\"get\", \"v={v}\"", &format!("{}[allow.p]", listed(&values)));
        let probe = Probe::raise(SUDO, &toml).unwrap_or_else(|said| panic!("`{sign}`: {said}"));
        let vector = |value: &String| vec!["get".to_owned(), format!("v={value}")];
        let of = |values: &[String]| values.iter().map(vector).collect::<Vec<_>>();
        probe.assert_exact(&format!("`{sign}` written out"), &of(&values), &of(&refused));
    }
}

#[test]
fn characters_beside_a_pattern_match_only_themselves() {
    for sign in SIGNS.chars() {
        let (values, refused) = around(sign);
        let literal = format!("'l{}'", sign.to_string().replace('{', "{{").replace('}', "}}"));
        let rest = format!("{}[parameters.w]\npattern = '^[0-9]+$'\nmax_length = 9\n[allow.p]", listed(&values));
        let toml = command(&format!("{literal}, \"v={{v}}\", \"{{w}}\""), &rest);
        let probe = Probe::raise(SUDO, &toml).unwrap_or_else(|said| panic!("`{sign}`: {said}"));
        let vector = |value: &String| vec![format!("l{sign}"), format!("v={value}"), "7".to_owned()];
        let permitted: Vec<_> = values.iter().map(vector).collect();
        let mut refused: Vec<_> = refused.iter().map(vector).collect();
        for literal in ["l", "lx", "ll", "l\\", "l[", r"l\\"] {
            refused.push(strings(&[literal, &format!("v=a{sign}b"), "7"]));
        }
        probe.assert_exact(&format!("`{sign}` in an expression"), &permitted, &refused);
    }
}

#[test]
fn values_that_look_like_rules_match_only_themselves() {
    let values = strings(&[
        "^.*$",
        "^a$",
        "[a-z]",
        "[!a]",
        "[[:alpha:]]",
        "{a,b}",
        "**",
        "?*",
        "\"\"",
        "\"a\"",
        "!ALL",
        "ALL",
        "#1",
        "#include",
        "@includedir",
        "%wheel",
        "+net",
        "NOPASSWD:",
        "sudoedit",
        "a,b:c=d#e",
        r"\\",
        r"\*",
        r"a\,b",
        r"\[a]",
        "(a|b)",
        "a;id",
        "$(id)",
        "`id`",
        "~root",
        "é",
        "日本",
    ]);
    let refused = strings(&["a", "b", "z", "A", "x", "root", "^", "", "*", "\\", "a,b", "[a]", "e"]);
    let toml = command("\"{v}\"", &format!("{}[allow.p]", listed(&values)));
    let probe = Probe::raise(SUDO, &toml).unwrap_or_else(|said| panic!("{said}"));
    let of = |values: &[String]| values.iter().map(|value| vec![value.clone()]).collect::<Vec<_>>();
    probe.assert_exact("values", &of(&values), &of(&refused));
}

#[test]
fn sudo_rs_permits_exactly_what_it_takes() {
    system_env::enter();
    let _fence = SudoRs::raise();
    let mut taken = String::new();
    for sign in SIGNS.chars() {
        let (values, refused) = around(sign);
        let toml = command("\"get\", \"v={v}\"", &format!("{}[allow.p]", listed(&values)));
        let vector = |value: &String| vec!["get".to_owned(), format!("v={value}")];
        let of = |values: &[String]| values.iter().map(vector).collect::<Vec<_>>();
        match Probe::raise(SUDO_RS_SUDO, &toml) {
            Ok(probe) => {
                probe.assert_exact(&format!("`{sign}` with sudo-rs"), &of(&values), &of(&refused));
                taken.push(sign);
            }
            // The program says so, and visudo is not needed.
            Err(said) => assert!(said.contains("sudo-rs cannot match"), "`{sign}`: {said}"),
        }
    }
    // What every gateway needs.
    for sign in ",:=#%@(){};&.-_/".chars() {
        assert!(taken.contains(sign), "sudo-rs is kept from `{sign}`; it takes {taken}");
    }
}

#[test]
fn ranges_are_exact_in_both() {
    for (template, min, max) in [("n={n}", -150, 150), ("{n}", -150, 150), ("<{n}>", -1042, -95), ("{n}", 7, 1313)] {
        let rest = format!("[parameters.n]\ninteger = {{ min = {min}, max = {max} }}\n[allow.p]");
        let probe = Probe::raise(SUDO, &command(&format!("\"set\", \"{template}\""), &rest))
            .unwrap_or_else(|said| panic!("{template}: {said}"));
        let mut numbers: Vec<_> = (min - 12..=max + 12).step_by(7).map(|number: i32| number.to_string()).collect();
        numbers.extend([min - 1, min, min + 1, -1, 0, 1, 9, 10, 99, 100, max - 1, max, max + 1].map(|n| n.to_string()));
        numbers.extend(strings(&["", "-", "-0", "00", "07", "+8", "8.", "1e2", " 8", "8 ", "8\n", "0x8", "--8", "٣"]));
        agree(&probe, template, "n", &numbers);
    }
}

/// sudo matches no expression above about 1 KiB (docs/measurements.md#length-of-an-expression).
#[test]
fn the_longest_expression_matches_and_a_longer_one_is_an_error() {
    let raise = |length: usize| {
        let value = "a".repeat(length);
        let rest = format!("[parameters.v]\npattern = '^{value}[0-9]$'\nmax_length = 2000\n[allow.p]");
        (Probe::raise(SUDO, &command("\"{v}\"", &rest)), value)
    };
    let longest = (700..=1000).rev().find(|length| raise(*length).0.is_ok()).expect("some length");
    let (probe, value) = raise(longest);
    let probe = probe.expect("the longest");
    assert!(probe.permits(&[&format!("{value}7")]), "{longest}");
    assert!(!probe.permits(&[&format!("{value}x")]) && !probe.permits(&[&format!("{value}77")]), "{longest}");
    drop(probe);
    let said = raise(longest + 1).0.err().expect("no fragment");
    assert!(said.contains("a regular expression of 1001 bytes, and sudo matches none above 1000"), "{said}");
}

#[test]
fn an_empty_list_permits_nothing() {
    let parameters = "[parameters.u]\none_of = [\"a\", \"b\"]\n[parameters.v]\npattern = '^[a-z]+$'\nmax_length = 9\n";
    let arguments = "\"{u}\", \"{v}\"";
    let probe = Probe::raise(SUDO, &command(arguments, &format!("{parameters}[allow.q]\nu = []"))).expect("a fragment");
    let refused = vectors(&[&["a", "x"], &["b", "x"], &["", "x"], &["x"], &[], &["()", "x"]]);
    probe.assert_exact("an empty list alone", &[], &refused);

    let toml = command(arguments, &format!("{parameters}[allow.q]\nu = []\n[allow.p]\nu = [\"a\"]"));
    let probe = Probe::raise(SUDO, &toml).expect("a fragment");
    // Never `x` after the last: the pattern takes that.
    assert!(probe.permits(&["a", "x"]) && !probe.permits(&["b", "x"]) && !probe.permits(&["", "x"]), "{}", fragment());
}

#[test]
fn a_parameter_in_two_places_is_the_same_or_an_error() {
    let open = "[parameters.service]\npattern = '^[a-z]+$'\nmax_length = 9\n[allow.p]";
    let said = Probe::raise(SUDO, &command("\"{service}\", \"x={service}\"", open)).err().expect("no fragment");
    assert!(said.contains("`service` stands in 2 places"), "{said}");
    let wide = "[parameters.port]\ninteger = { min = 1, max = 9999 }\n[allow.p]";
    let said = Probe::raise(SUDO, &command("\"{port}:{port}\"", wide)).err().expect("no fragment");
    assert!(said.contains("`port` stands in 2 places"), "{said}");

    let few = "[parameters.v]\none_of = [\"a\", \"b\"]\n[allow.p]";
    let probe = Probe::raise(SUDO, &command("\"{v}\", \"x={v}\"", few)).expect("a fragment");
    probe.assert_exact("twice", &vectors(&[&["a", "x=a"], &["b", "x=b"]]), &vectors(&[&["a", "x=b"], &["b", "x=a"]]));
}

#[test]
fn no_argument_becomes_an_option() {
    let values = "[parameters.v]\none_of = [\"-rf\", \"--\", \"-\", \"x\", \"x-\"]\n";
    let probe = Probe::raise(SUDO, &command("\"{v}\"", &format!("{values}[allow.p]"))).expect("a fragment");
    let (good, bad) = (vectors(&[&["x"], &["x-"]]), vectors(&[&["-rf"], &["--"], &["-"]]));
    probe.assert_exact("dashes written out", &good, &bad);

    let rest = format!("{values}[parameters.w]\npattern = '^[0-9]+$'\nmax_length = 9\n[allow.p]");
    let probe = Probe::raise(SUDO, &command("\"{v}\", \"{w}\"", &rest)).expect("a fragment");
    let good = vectors(&[&["x", "1"], &["x-", "1"]]);
    probe.assert_exact("dashes beside a pattern", &good, &vectors(&[&["-rf", "1"], &["--", "1"], &["-", "1"]]));

    let pattern = "[parameters.v]\npattern = '^[a-z-]+$'\nmax_length = 9\n[allow.p]";
    let said = Probe::raise(SUDO, &command("\"{v}\"", pattern)).err().expect("no fragment");
    assert!(said.contains("`v`") && said.contains("option"), "{said}");
}

#[test]
fn the_account_and_the_group_are_exact() {
    // Run, not asked for: `sudo -l` says yes to root with any group that a rule names, and sudo itself then says no.
    process::write(PROBE, 0o755, "#!/bin/sh\nid -un\nid -gn\n");
    let probe = |run_as: &str| {
        let toml = command("\"x\"", "[allow.p]").replace("\"root\"", &format!("\"{run_as}\""));
        Probe::raise(SUDO, &toml).expect("a fragment")
    };
    let both = probe("worker:adm");
    assert_eq!(both.runs_as(&["-u", "worker", "-g", "adm"], &["x"]).as_deref(), Some("worker\nadm\n"));
    for run_as in
        [&["-u", "root"][..], &["-u", "root", "-g", "adm"], &["-u", "worker", "-g", "root"], &["-u", "nobody"]]
    {
        assert_eq!(both.runs_as(run_as, &["x"]), None, "{run_as:?}\n{}", fragment());
    }
    assert_eq!(both.runs_as(&["-u", "worker", "-g", "adm"], &["y"]), None);
    drop(both);

    let alone = probe("worker");
    assert_eq!(alone.runs_as(&["-u", "worker"], &["x"]).as_deref(), Some("worker\nworker\n"));
    for run_as in [&["-u", "root"][..], &["-u", "worker", "-g", "adm"], &["-u", "root", "-g", "adm"], &["-g", "adm"]] {
        assert_eq!(alone.runs_as(run_as, &["x"]), None, "{run_as:?}\n{}", fragment());
    }
}

/// A pattern, the argument it stands in, its alphabet, and values that match.
struct Shape(&'static str, &'static str, &'static str, &'static [&'static str]);

const SHAPES: [Shape; 10] = [
    Shape(r"^[a-z]+[\^-]x$", "{v}", "az^-x", &["a^x", "zz-x", "x-x"]),
    Shape("^[a-z:]+$", "v={v}", "az:", &["a:b", ":", "a"]),
    Shape("^[a-z,=]+$", "{v}", "az,=", &["a,b", "=", "a=b,c"]),
    Shape("^[#$a]+$", "{v}", "#$a", &["#", "$", "a#$"]),
    Shape(r"^v[0-9]+\.[0-9]+$", "{v}", "v019.", &["v1.0", "v10.99"]),
    Shape("^(a|b){2,3}$", "{v}", "ab", &["ab", "bab"]),
    Shape("^[]a-]x$", "<{v}>", "]a-x", &["]x", "ax", "-x"]),
    Shape(r"^[!-/:-@\[^-`{-~]+$", "v{v}", "!/:@[^`{~]", &["!", "~{", "[", "[^,=#$-"]),
    Shape("^a,b:c=d#e!\"@%&;$", "{v}", "abcde,:=#!\"@%&;", &["a,b:c=d#e!\"@%&;"]),
    Shape(r"^\[\]\(\)\*\+\?\{\}\|\^\$\.$", "{v}", "[]()*+?{}|^$.", &["[]()*+?{}|^$."]),
];

#[test]
fn patterns_mean_the_same_to_both() {
    for Shape(pattern, template, alphabet, samples) in SHAPES {
        let rest = format!("[parameters.v]\npattern = '{pattern}'\nmax_length = 99\n[allow.p]");
        let probe = Probe::raise(SUDO, &command(&format!("\"set\", \"{template}\""), &rest))
            .unwrap_or_else(|said| panic!("{pattern}: {said}"));
        for sample in samples {
            assert!(probe.permits(&["set", &template.replace("{v}", sample)]), "{pattern} {sample}\n{}", fragment());
            for more in ["x", "-x", ""] {
                assert!(!probe.permits(&["set", &template.replace("{v}", sample), more]), "{pattern} {sample} {more}");
                assert!(!probe.permits(&[&template.replace("{v}", sample), more]), "{pattern} {sample} {more}");
            }
        }
        agree(&probe, template, "v", &generated(alphabet, samples, 300));
    }
}

/// Panics unless mailsudo and sudo say the same of every value, and each says yes and no to some.
fn agree(probe: &Probe, template: &str, name: &str, values: &[String]) {
    let place = format!("{{{name}}}");
    let mut permitted = 0;
    for value in values {
        let by_mailsudo = probe.may(&[format!("{name}={value}")]);
        let by_sudo = probe.permits(&["set", &template.replace(&place, value)]);
        assert_eq!(by_mailsudo, by_sudo, "mailsudo and sudo about {value:?} in {template}\n{}", fragment());
        permitted += usize::from(by_sudo);
    }
    assert!(permitted > 0 && permitted < values.len(), "{permitted} of {} permitted", values.len());
}

/// Values near the samples and values of nothing but the alphabet and hostile characters; always the same ones.
fn generated(alphabet: &str, samples: &[&str], count: usize) -> Vec<String> {
    let own: Vec<char> = alphabet.chars().collect();
    let hostile: Vec<char> = " \t\n\\,:=#\"'!*?[]^$-()|;&{}%@.aZ0é".chars().collect();
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut below = move |bound: usize| {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or_default() % bound
    };
    let mut values: Vec<String> = samples.iter().map(|&sample| sample.to_owned()).collect();
    for round in 0..count {
        let mut value: Vec<char> =
            if round % 3 == 0 { Vec::new() } else { samples[below(samples.len())].chars().collect() };
        for _ in 0..=below(4) {
            let from = if below(3) == 0 { &hostile } else { &own };
            let (sign, at) = (from[below(from.len())], below(value.len() + 1));
            match below(3) {
                0 if at < value.len() => drop(value.remove(at)),
                1 if at < value.len() => value[at] = sign,
                _ => value.insert(at, sign),
            }
        }
        values.push(value.into_iter().collect());
    }
    values
}
