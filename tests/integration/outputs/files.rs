//! What others bring in files and attachments: comments of SSH keys, user ids of certificates, names and types of
//! payloads, names of nodes.

use proptest::prelude::*;

use super::{coded, hostile, unsafe_characters};
use crate::cli::CliGateway;
use crate::encryption::tool;

/// Runs the commands; none shows an unsafe character.
fn all_are_safe(test_gateway: &CliGateway, commands: &[&[&str]], input: &str) -> Result<(), TestCaseError> {
    for words in commands {
        let mut said = test_gateway.run_with(words, input);
        // ssh-keygen writes to the user's terminal itself, and ends its lines so.
        said.err = said.err.replace("\r\n", "\n");
        prop_assert_eq!(unsafe_characters(&said.out), Vec::<char>::new(), "{:?}: {}", words, said.out);
        prop_assert_eq!(unsafe_characters(&said.err), Vec::<char>::new(), "{:?}: {}", words, said.err);
    }
    Ok(())
}

#[test]
fn no_command_shows_a_control_character_of_a_keys_comment() {
    let test_gateway = CliGateway::new();
    let folder = test_gateway.folder.path();
    tool(folder, &["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "key"], "");
    let key = std::fs::read_to_string(folder.join("key.pub")).expect("a key").trim().to_owned();
    let alice = std::fs::read_to_string(folder.join("users.d/alice.toml")).expect("a user");
    let signed = test_gateway.eml(&["say", "--ssh-key", "key.pub"]);
    proptest!(ProptestConfig::with_cases(12), |(text in hostile(), long in any::<bool>())| {
        let text = if long { text.repeat(2000) } else { text };
        let commented = serde_json::to_string(&format!("{key} {text}")).expect("text").replace('\u{7f}', "\u{80}");
        test_gateway.write("users.d/alice.toml", &format!("{alice}ssh_keys = [{commented}]\n"));
        test_gateway.write("other.pub", &format!("{key} {}\n", text.replace(['\r', '\n'], " ")));
        all_are_safe(&test_gateway, &[
            &["user", "show", "alice"],
            &["user", "show", "alice", "--json"],
            &["user", "list"],
            &["check"],
            &["explain"],
            &["deliver"],
            &["log"],
            &["page", "--user", "alice"],
            &["user", "rotate", "alice", "--ssh-key", "other.pub"],
            &["user", "show", "alice"],
            &["sign", "say", "--key", "alice.key", "--code", "123456", "--ssh-key", "other.pub"],
        ], &signed)?;
    });
}

#[test]
fn no_command_shows_a_control_character_of_a_certificate() {
    let test_gateway = CliGateway::new();
    let folder = test_gateway.folder.path();
    let alice = std::fs::read_to_string(folder.join("users.d/alice.toml")).expect("a user");
    let request = test_gateway.eml(&["say"]);
    let name = "a\u{1b}[31m\u{9b}2J\u{202e}b\u{7}";
    let subject = format!("/CN={name}");
    let x509 =
        ["openssl", "req", "-x509", "-utf8", "-nodes", "-keyout", "x.key", "-newkey", "rsa:2048", "-subj", &subject];
    let key = tool(folder, &["sqop", "generate-key", name], "");
    let certificates = [
        ("smime", "pem", tool(folder, &x509, "")),
        ("openpgp", "asc", tool(folder, &["sqop", "extract-cert"], &key)),
        // Tools say in their own words what is wrong with it, and may repeat it.
        ("openpgp", "asc", format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n{name}\n\n{name}\n")),
        ("smime", "pem", format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n")),
    ];
    std::fs::create_dir_all(folder.join("certs.d")).expect("a folder");
    for (kind, ending, certificate) in certificates {
        test_gateway.write(&format!("certs.d/alice.{ending}"), &certificate);
        test_gateway.write("users.d/alice.toml", &format!("{alice}encrypt = \"{kind}\"\n"));
        test_gateway.write("new", &certificate);
        all_are_safe(
            &test_gateway,
            &[
                &["user", "show", "alice"],
                &["user", "show", "alice", "--json"],
                &["user", "list"],
                &["check"],
                &["check", "--json"],
                &["explain"],
                &["deliver"],
                &["user", "rotate", "alice", "--certificate", "new"],
                &["user", "add", "bob", "--address", "b@example.com", "--role", "web", "--certificate", "new"],
                &["log", "--verify"],
            ],
            &request,
        )
        .expect("safe output");
        test_gateway.run_with(&["user", "remove", "bob", "--yes"], "");
    }
}

#[test]
fn no_command_shows_a_control_character_of_a_payload() {
    let test_gateway = CliGateway::new();
    test_gateway.write(
        "commands.d/take.toml",
        "summary = \"Take it\"\nrun_as = \"nobody\"\nargv = [\"/bin/cat\"]\n[payload]\nmax = \"1KiB\"\n[allow.web]\n",
    );
    proptest!(ProptestConfig::with_cases(12), |(text in hostile())| {
        std::fs::write(test_gateway.path("p.txt"), &text).expect("a file");
        let mail = test_gateway.eml(&["take", "--payload", "p.txt"]);
        let coded = coded(&text, '%');
        let field = text.replace(['\r', '\n', '\0'], " ");
        for (from, to) in [
            ("filename=\"p.txt\"", format!("filename=\"{field}\"")),
            ("filename=\"p.txt\"", format!("filename*=utf-8''{coded}")),
            ("application/octet-stream", format!("application/{field}")),
            ("application/octet-stream", format!("application/x; name=\"{field}\"; x{field}=1")),
            ("base64", field.clone()),
        ] {
            prop_assert!(mail.contains(from), "{}", mail);
            all_are_safe(&test_gateway, &[&["explain"]], &mail.replacen(from, &to, 1))?;
        }
        // Its output is in the reply, and the reply in the ledger.
        all_are_safe(&test_gateway, &[&["deliver"], &["explain"], &["log", "--limit", "1"], &["log", "--json"]], &mail)?;
    });
}
