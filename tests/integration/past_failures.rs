//! What went wrong elsewhere (docs/past-failures.md), tried here where no other test does; and that every test which
//! the documents name is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{TestGateway, mail};
use mailsudo::system::clock::Clock;

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|name| name == ending) {
            found.push(path);
        }
    }
    found
}

/// A test is named as `place::name`, place being its file's or module's last name, so that a reader finds it.
#[test]
fn every_test_that_the_documents_name_is_there() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: Vec<_> =
        [checkout.join("src"), checkout.join("tests")].iter().flat_map(|at| files(at, "rs")).collect();
    let texts: Vec<_> = sources.iter().map(|path| (path, fs::read_to_string(path).expect("a source"))).collect();
    let mut named = BTreeSet::new();
    let mut pages = files(&checkout.join("docs"), "md");
    let others = ["tests/README.md", "tests/cases/README.md", "SECURITY.md", "CONTRIBUTING.md"];
    pages.extend(others.map(|page| checkout.join(page)));
    for page in pages {
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        let quoted = text.split('`').skip(1).step_by(2);
        let is_test = |word: &&str| {
            word.contains("::")
                && !word.ends_with("::")
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c))
        };
        named.extend(quoted.filter(is_test).map(str::to_owned));
    }
    assert!(named.len() > 200, "the documents name their tests: {named:?}");
    let is_there = |name: &String| {
        let (place, function) = name.rsplit_once("::").expect("looked for above");
        let place = place.rsplit("::").find(|part| *part != "tests").unwrap_or_default();
        texts.iter().any(|(path, text)| {
            let path = path.with_extension("");
            let mut parts = path.iter().rev().filter_map(|part| part.to_str()).filter(|part| *part != "mod");
            let last = parts.next();
            // A module may be named as a whole.
            (last == Some(place) && text.contains(&format!("fn {function}(")))
                || (last == Some(function) && parts.next() == Some(place))
        })
    };
    let missing: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "named, and not there: {missing:?}");
}

/// fwknop accepted a captured packet as a new one when a known prefix was added to it.
#[test]
fn a_request_in_another_form_is_the_same_request() {
    let mut test_gateway = TestGateway::new();
    let block = test_gateway.block(test_gateway.clock.now(), "count", &[]);
    let deliver = |test_gateway: &mut TestGateway, text: &str| test_gateway.deliver(&mail("alice@example.com", text));
    assert!(deliver(&mut test_gateway, &block).reply().contains("result: exit-0"));
    let (lines, mac) = block.trim_end().rsplit_once("\nmac: ").expect("a mac line");
    let dressed = [
        format!("Salted__\nU2FsdGVkX1\n{block}"),
        format!("{block}\n-- \nfoot\n"),
        block.replace('\n', "\r\n"),
        block.replace('\n', " \t\n\n"),
        format!("\u{feff}{block}"),
        format!("{lines}\nMAC:\t{}\n", mac.to_uppercase()),
        block.replace("mailsudo: ", "Mailsudo :"),
    ];
    for text in dressed {
        let ended = deliver(&mut test_gateway, &text);
        assert!(ended.refused("duplicate") && ended.replies.is_empty(), "{text}: {ended:?}");
    }
    assert_eq!(test_gateway.runs().len(), 1);
}

/// Libraries for JSON Web Tokens let the token say how it is to be verified, `none` included; Salt let some methods be
/// called by anyone. Here the sender chooses nothing, and there is no request without a mac.
#[test]
fn the_sender_cannot_choose_how_a_request_is_verified() {
    let mut test_gateway = TestGateway::new();
    for command in ["count", "help", "status"] {
        let block = test_gateway.block(test_gateway.clock.now(), command, &[]);
        let (lines, mac) = block.trim_end().rsplit_once("\nmac: ").expect("a mac line");
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (text, reason) in [
            (format!("{lines}\n"), "malformed"),
            (format!("{lines}\nmac: none\n"), "malformed"),
            (format!("{lines}\nmac: \n"), "malformed"),
            (format!("{lines}\nmac: {}\n", &mac[..32]), "malformed"),
            (format!("{lines}\nmac: {}\n", "0".repeat(64)), "bad-mac"),
            (format!("{lines}\nmac: {hash}\n"), "bad-mac"),
            (format!("{lines}\nalg: none\nmac: {mac}\n"), "malformed"),
            (block.replace("gateway: ", "alg: none\ngateway: "), "malformed"),
            (block.replace("mailsudo: 1", "mailsudo: 0"), "unsupported-version"),
            (block.replace("mailsudo: 1", "mailsudo: 2"), "unsupported-version"),
        ] {
            let ended = test_gateway.deliver(&mail("alice@example.com", &text));
            assert!(ended.refused(reason) && ended.replies.is_empty(), "{text}: {ended:?}");
        }
    }
    assert_eq!((test_gateway.runs().len(), test_gateway.recorded()), (0, (0, 0)));
}

/// Exim and OpenSMTPD let addresses of the envelope reach a shell, PHPMailer let one become options of sendmail's, and
/// bash ran what stood in variables that mail servers filled from headers.
#[test]
fn nothing_in_a_mail_is_run_as_a_program() {
    let test_gateway = crate::cli::CliGateway::new();
    let mark = test_gateway.path("mark");
    let touch = format!("touch {}", mark.display());
    let request = test_gateway.eml(&["say", "what=hello"]);
    let hostile = [
        format!("${{run{{/bin/sh -c \"{touch}\"}}}}@example.com"),
        format!(";{touch};@example.com"),
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("() {{ :;}}; {touch}"),
        format!("-X{} -oQ/tmp", mark.display()),
        format!("\"x\\\" -X{} \"@example.com", mark.display()),
        format!("x@example.com\n|{touch}"),
    ];
    for value in &hostile {
        let options =
            ["sender", "recipient", "client-address", "sasl-username"].map(|name| format!("--{name}={value}"));
        let words: Vec<_> = std::iter::once("deliver").chain(options.iter().map(String::as_str)).collect();
        let headers = format!("Subject: {}\nX-Note: {}\n", value.replace('\n', " "), value.replace('\n', " "));
        let said = test_gateway.run_with(&words, &format!("{headers}{}", request.replace("Subject:", "X-Subject:")));
        assert_eq!(said.status, 0, "{value}: {}", said.err);
        assert_eq!(said.err.lines().count(), said.err.matches("mailsudo: event=").count(), "{}", said.err);
        assert!(!mark.exists(), "{value}");
    }
    // The first of them ran the command, so every stage was reached.
    assert!(test_gateway.run_with(&["deliver"], &request).err.contains("reason=duplicate"));
}

/// fail2ban gave text of others to mail(1), which runs a line that begins with `~!` as a command.
#[test]
fn what_a_command_prints_is_not_run() {
    let mut test_gateway = TestGateway::new();
    let home = test_gateway.folder.path().display().to_string();
    let output = format!("~! touch {home}/mark\n.\n~|sh\nFrom: x\n$(touch {home}/mark)\n\nSubject: x\n");
    test_gateway.write("printed", 0o644, &output);
    test_gateway.write("hook", 0o644, &format!("cat {home}/printed"));
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    let texts = mailsudo::intake::readable(ended.reply().as_bytes());
    assert!(texts[0].contains(output.trim_end()), "{}", texts[0]);
    assert!(!test_gateway.path("mark").exists());
}

/// google-authenticator overwrote the secret in place, and left nothing on a full disk.
#[test]
fn a_full_disk_loses_no_secret() {
    let test_gateway = crate::cli::CliGateway::new();
    let (secrets, about) = (test_gateway.path("secrets.d/alice.toml"), test_gateway.path("users.d/alice.toml"));
    let before = (fs::read(&secrets).expect("secrets"), fs::read(&about).expect("a user"));
    for words in ["user rotate alice --totp", "user rotate alice --hmac --key-file new.key", "user disable alice"] {
        // No file may grow by a byte, as on a full disk.
        let script = format!("trap '' XFSZ; ulimit -f 0; exec {} {words} --config .", env!("CARGO_BIN_EXE_mailsudo"));
        let output =
            std::process::Command::new("sh").args(["-c", &script]).current_dir(test_gateway.folder.path()).output();
        let said = crate::cli::said(output.expect("there is a shell"));
        assert_eq!(said.status, 1, "{words}: {}", said.err);
        assert!(said.err.contains("cannot write"), "{words}: {}", said.err);
        assert_eq!((fs::read(&secrets).unwrap(), fs::read(&about).unwrap()), before, "{words}");
        for folder in ["secrets.d", "users.d"] {
            assert_eq!(
                fs::read_dir(test_gateway.path(folder)).expect("a folder").count(),
                1,
                "{words} leaves a temporary file behind"
            );
        }
        assert!(!test_gateway.path("new.key").exists(), "{words}");
    }
    assert!(
        test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"])).out.contains("heard: nothing"),
        "alice is unchanged"
    );
    // If something else has emptied the file, no request is accepted and no mail is lost.
    fs::write(&secrets, "").expect("emptied");
    let said = test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    assert_eq!((said.status, said.out.as_str()), (75, ""), "{}", said.err);
}

/// remctl used memory after it had been freed; here the compiler prevents that.
#[test]
fn the_code_has_no_unsafe() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(checkout.join("Cargo.toml")).expect("Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for path in files(&checkout.join("src"), "rs") {
        let text = fs::read_to_string(&path).expect("a source");
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        assert!(!code.into_iter().any(|code| code.contains("unsafe ")), "{}", path.display());
    }
}
