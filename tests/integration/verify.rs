//! What `verify` says of replies: `tests/replies/NAME.eml` is one reply of a gateway as it may arrive, or as an
//! attacker may have changed it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{CliGateway, Said, said};

fn replies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replies")
}

/// A copy of the key that nobody else may read.
fn key() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("berlin.key");
    std::fs::write(&key, std::fs::read(replies().join("berlin.key")).expect("the key")).expect("written");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    (folder, key)
}

fn verify(mail: &Path, key: &Path) -> Said {
    let input = std::fs::File::open(mail).unwrap_or_else(|error| panic!("{}: {error}", mail.display()));
    let output = Command::new(env!("CARGO_BIN_EXE_mailsudo")).args(["verify", "--key"]).arg(key).stdin(input).output();
    said(output.expect("the program"))
}

/// The reply, the exit status, and words of what `verify` says.
#[rustfmt::skip]
const REPLIES: &[(&str, i32, &str)] = &[
    ("genuine", 0, "genuine: gateway berlin answered request 9253bd6699fe of alice"),
    ("wrapped", 0, "genuine: "),
    ("quoted-printable", 0, "genuine: "),
    ("base64", 0, "genuine: "),
    ("flowed", 0, "genuine: "),
    ("html-of-the-same", 0, "genuine: "),
    ("html-beside", 1, "another text, in HTML: failed (exit 1): echo"),
    ("text-below", 1, "text below the block: PS from the gateway"),
    ("hidden-copy", 1, "another plain text: failed (exit 1): echo"),
    ("subject-altered", 1, "its Subject is not the gateway's: [berlin] echo t=abc: failed (exit 1)"),
    ("subject-of-another-request", 1, "its Subject is not the gateway's"),
    ("footer-part", 1, "another plain text: _______"),
    ("attachment", 1, "an attachment"),
    ("image-only-html", 1, "HTML without text, which may show images"),
    ("message-inside", 1, "a message inside the message"),
    ("content-type-twice", 1, "not genuine: no reply or notice that this key has signed"),
    ("text-altered", 1, "its text was altered"),
];

#[test]
fn a_reply_is_genuine_only_where_all_that_is_shown_is_the_gateways() {
    let (_folder, key) = key();
    let mut on_disk: Vec<_> = std::fs::read_dir(replies())
        .expect("tests/replies")
        .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.strip_suffix(".eml").map(str::to_owned))
        .collect();
    on_disk.sort_unstable();
    let mut in_table: Vec<_> = REPLIES.iter().map(|(name, _, _)| (*name).to_owned()).collect();
    in_table.sort_unstable();
    assert_eq!(on_disk, in_table);
    for (name, status, words) in REPLIES {
        let said = verify(&replies().join(format!("{name}.eml")), &key);
        assert_eq!((said.status, said.out.contains(words)), (*status, true), "{name}: {}{}", said.out, said.err);
        let shows_text = said.out.contains("\n| hi abc\n");
        assert_eq!(shows_text, said.out.contains("The authenticated text:"), "{name}: {}", said.out);
        assert!(shows_text || *status == 1, "{name}: a genuine text is printed");
    }
}

#[test]
fn a_reply_from_before_a_change_of_the_key_is_named_as_such() {
    let (_folder, key) = key();
    let text = std::fs::read_to_string(&key).expect("the key");
    let (before, _) = text.split_once("hmac_key").expect("a key");
    std::fs::write(&key, format!("{before}hmac_key = \"{}\"\n", "ab".repeat(32))).expect("another key");
    let said = verify(&replies().join("genuine.eml"), &key);
    assert_eq!(said.status, 1);
    assert!(said.out.contains("before your key file was written") && said.out.contains("--key FILE"), "{}", said.out);
}

/// A mailbox in mbox format puts `>` before a line that begins with `From `, so the gateway lets no line begin so.
#[test]
fn a_line_that_begins_with_from_survives_a_mailbox() {
    let test_gateway = CliGateway::new();
    let toml = "summary = \"Say it\"\nrun_as = \"nobody\"\nargv = [\"/usr/bin/printf\", \
                \"%s\\\\n\", \"From here on all is well\", \">From there\", \".\"]\n[allow.web]\n";
    test_gateway.write("commands.d/say.toml", toml);
    let reply = test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"])).out;
    for line in reply.lines() {
        assert!(!line.trim_start_matches('>').starts_with("From "), "{line}");
    }
    let mailbox: String =
        reply
            .lines()
            .map(|line| {
                if line.trim_start_matches('>').starts_with("From ") {
                    format!(">{line}\n")
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
    let said = test_gateway.run_with(&["verify", "--key", "alice.key"], &mailbox);
    assert_eq!(said.status, 0, "{}", said.out);
    assert!(said.out.contains("\n| From here on all is well\n| >From there\n"), "{}", said.out);
}
