//! Users' certificates: `user add --certificate`, `user show`, `user remove`, and what `check` says of them.

use std::fs;
use std::path::Path;

use mailsudo::system::clock::{Clock, SystemClock};
use serde_json::Value;

use crate::cli::CliGateway;
use crate::encryption::tool;

/// A certificate that GnuPG makes, with this key, for this time.
fn gnupg(folder: &Path, name: &str, algorithm: &str, expires: &str) -> String {
    let home = folder.join("gnupg");
    if !home.exists() {
        fs::create_dir(&home).expect("a folder");
        tool(folder, &["chmod", "700", "gnupg"], "");
    }
    let parameters = format!(
        "%no-protection\nKey-Type: {algorithm}\nSubkey-Type: {algorithm}\nSubkey-Usage: encrypt\nName-Email: {name}@example.com\n\
         Expire-Date: {expires}\n%commit\n"
    );
    tool(folder, &["gpg", "--batch", "--quiet", "--gen-key"], &parameters);
    tool(folder, &["gpg", "--batch", "--armor", "--export", &format!("{name}@example.com")], "")
}

/// An X.509 certificate.
fn x509(folder: &Path, more: &[&str]) -> String {
    let words = ["openssl", "req", "-x509", "-nodes", "-keyout", "x509.key", "-subj", "/CN=x"];
    tool(folder, &[&words[..], more].concat(), "")
}

fn user(gateway: &CliGateway, name: &str, kind: &str, certificate: &str) {
    fs::create_dir_all(gateway.path("certs.d")).expect("a folder");
    let ending = if kind == "openpgp" { "asc" } else { "pem" };
    gateway.write(&format!("certs.d/{name}.{ending}"), certificate);
    let text = format!("address = \"{name}@example.com\"\nroles = [\"web\"]\nencrypt = \"{kind}\"\n");
    gateway.write(&format!("users.d/{name}.toml"), &text);
}

/// The findings of `check` about encryption.
fn findings(gateway: &CliGateway) -> Vec<(String, String)> {
    let said = gateway.run(&["check", "--json"]);
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out));
    let all = report.as_array().or_else(|| report["findings"].as_array()).expect("findings").clone();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let about = |finding: &&Value| finding.to_string().contains("\"encryption\"");
    all.iter().filter(about).map(|finding| (text(finding, "level"), finding.to_string())).collect()
}

#[test]
fn a_user_is_added_shown_and_removed_with_a_certificate() {
    let gateway = CliGateway::new();
    let folder = gateway.folder.path();
    let key = tool(folder, &["sqop", "generate-key", "carol"], "");
    gateway.write("carol.asc", &tool(folder, &["sqop", "extract-cert"], &key));
    let add = |file: &str| {
        let words =
            ["user", "add", "carol", "--address", "carol@example.com", "--role", "web", "--key-file", "carol.key"];
        gateway.run(&[&words[..], &["--certificate", file]].concat())
    };
    gateway.write("private.asc", &key);
    gateway.write("none.asc", "hello\n");
    gateway.write("signs.pem", &x509(folder, &["-newkey", "rsa:2048", "-addext", "keyUsage=digitalSignature"]));
    for (file, why) in [
        ("private.asc", "it holds a private key, which only the user may have"),
        ("none.asc", "it is neither an armored OpenPGP certificate nor"),
        ("signs.pem", "the certificate is not for encryption"),
        ("missing.asc", "cannot read missing.asc"),
    ] {
        let refused = add(file);
        assert!(refused.status == 1 && refused.err.contains(why), "{file}: {}", refused.err);
        for left in ["carol.key", "users.d/carol.toml", "secrets.d/carol.toml", "certs.d"] {
            assert!(!gateway.path(left).exists(), "{file}: {left}");
        }
    }
    let added = add("carol.asc");
    assert_eq!(added.status, 0, "{}", added.err);
    assert!(added.out.contains("Mail to carol is encrypted with openpgp"), "{}", added.out);
    let file = fs::read_to_string(gateway.path("users.d/carol.toml")).expect("a user");
    assert!(file.contains("encrypt = \"openpgp\"\n"), "{file}");
    assert_eq!(fs::read(gateway.path("certs.d/carol.asc")).ok(), fs::read(gateway.path("carol.asc")).ok());
    let shown = gateway.run(&["user", "show", "carol"]).out;
    assert!(
        shown.contains("mail     encrypted with openpgp: ECDH, ") || shown.contains("openpgp: X25519, "),
        "{shown}"
    );
    let json: Value = serde_json::from_str(&gateway.run(&["user", "show", "carol", "--json"]).out).expect("JSON");
    assert_eq!((&json["encrypt"], &json["certificate"]["usable"]), (&"openpgp".into(), &true.into()), "{json}");
    fs::write(gateway.path("certs.d/carol.asc"), "x").expect("written");
    let shown = gateway.run(&["user", "show", "carol"]).out;
    assert!(
        shown.contains("mail     encrypted with openpgp: nothing can be encrypted: it is no OpenPGP certificate"),
        "{shown}"
    );
    let removed = gateway.run(&["user", "remove", "carol", "--yes"]);
    assert_eq!(removed.status, 0, "{}", removed.err);
    assert!(!gateway.path("certs.d/carol.asc").exists());
}

#[test]
fn check_says_what_is_wrong_with_a_certificate() {
    let gateway = CliGateway::new();
    let folder = gateway.folder.path();
    assert!(findings(&gateway).is_empty(), "no user's mail is encrypted");
    user(&gateway, "alice", "openpgp", &gnupg(folder, "alice", "RSA", "2y"));
    let good = findings(&gateway);
    assert!(good.len() == 1 && good[0].0 == "ok", "{good:?}");

    let tests = [
        ("openpgp", gnupg(folder, "soon", "RSA", "10d"), "warning", "the certificate of alice expires at 20"),
        ("openpgp", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n".to_owned(), "error", "nothing can be encrypted to alice"),
        ("openpgp", revoked(folder), "error", "was revoked by its owner"),
        ("openpgp", signs_only(folder), "error", "has no key for encryption"),
        (
            "smime",
            x509(folder, &["-newkey", "rsa:2048", "-days", "10"]),
            "warning",
            "the certificate of alice expires at 20",
        ),
        (
            "smime",
            x509(folder, &["-newkey", "rsa:1024", "-days", "400"]),
            "warning",
            "the key of alice is weak: RSA 1024",
        ),
        ("smime", x509(folder, &["-newkey", "ed25519", "-days", "400"]), "error", "must be RSA or EC"),
        ("smime", "x".to_owned(), "error", "nothing can be encrypted to alice"),
    ];
    for (kind, certificate, level, words) in tests {
        user(&gateway, "alice", kind, &certificate);
        let found = findings(&gateway);
        assert!(found.len() == 1 && found[0].0 == level && found[0].1.contains(words), "{words}: {found:?}");
    }
    user(&gateway, "alice", "smime", &x509(folder, &["-newkey", "rsa:2048", "-days", "400"]));
    assert_eq!(findings(&gateway)[0].0, "ok");
    let settings = fs::read_to_string(gateway.path("mailsudo.toml")).expect("settings");
    gateway.write("mailsudo.toml", &format!("{settings}[encryption]\nopenssl = \"/nonexistent/openssl\"\n"));
    let found = findings(&gateway);
    assert!(found[0].0 == "error" && found[0].1.contains("/nonexistent/openssl, does not exist"), "{found:?}");
}

/// A certificate that its owner has revoked.
fn revoked(folder: &Path) -> String {
    gnupg(folder, "gone", "RSA", "2y");
    let listed = tool(folder, &["gpg", "--batch", "--with-colons", "--list-keys", "gone@example.com"], "");
    let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:")).expect("a fingerprint");
    let fingerprint = fingerprint.trim_matches(':').to_owned();
    let file = folder.join(format!("gnupg/openpgp-revocs.d/{fingerprint}.rev"));
    let revocation = fs::read_to_string(file).expect("GnuPG writes one").replace(":-----BEGIN", "-----BEGIN");
    tool(folder, &["gpg", "--batch", "--quiet", "--import"], &revocation);
    tool(folder, &["gpg", "--batch", "--armor", "--export", "gone@example.com"], "")
}

fn signs_only(folder: &Path) -> String {
    tool(
        folder,
        &["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", "only@example.com", "rsa2048", "sign"],
        "",
    );
    tool(folder, &["gpg", "--batch", "--armor", "--export", "only@example.com"], "")
}

/// The end that the certificate gives is the one that its maker set.
/// A message is encrypted to each of the gateway's own keys, and decrypted: each fault that makes that fail is said.
#[test]
fn check_tries_the_gateways_own_keys() {
    let gateway = CliGateway::new();
    let folder = gateway.folder.path();
    let home = folder.display().to_string();
    let settings = fs::read_to_string(gateway.path("mailsudo.toml")).expect("settings");
    gateway.write("ops.key", &tool(folder, &["sqop", "generate-key", "ops"], ""));
    gateway.write("ops.pem", &x509(folder, &["-newkey", "rsa:2048"]));
    tool(folder, &["cp", "x509.key", "smime.key"], "");
    gateway.write("other.pem", &x509(folder, &["-newkey", "rsa:2048"]));
    gateway.write("garbage", "no key\n");
    tool(folder, &["chmod", "600", "ops.key", "smime.key", "ops.pem", "other.pem", "garbage"], "");
    let said = |lines: &str| {
        gateway.write("mailsudo.toml", &format!("{settings}[decryption]\n{}\n", lines.replace("HOME", &home)));
        gateway.run(&["check"]).out
    };
    for (lines, kind) in [
        ("openpgp_key = \"HOME/ops.key\"", "openpgp"),
        ("smime_key = \"HOME/smime.key\"\nsmime_certificate = \"HOME/ops.pem\"", "smime"),
    ] {
        let out = said(lines);
        assert!(out.contains(&format!("requests that are encrypted with {kind} can be read")), "{out}");
    }
    for (lines, why) in [
        ("openpgp_key = \"HOME/garbage\"", "sqop"),
        ("openpgp_key = \"HOME/missing\"", "missing"),
        ("smime_key = \"HOME/smime.key\"\nsmime_certificate = \"HOME/other.pem\"", "cannot be decrypted"),
        ("smime_key = \"HOME/garbage\"\nsmime_certificate = \"HOME/ops.pem\"", "openssl"),
    ] {
        let out = said(lines);
        let line = out.lines().find(|line| line.contains("cannot be read, and stay in the queue or are refused"));
        assert!(line.is_some_and(|line| line.contains(why)), "{lines}: {out}");
    }
}

#[test]
fn the_end_of_an_openpgp_certificate_is_read() {
    let gateway = CliGateway::new();
    let folder = gateway.folder.path();
    user(&gateway, "alice", "openpgp", &gnupg(folder, "alice", "RSA", "1y"));
    let json: Value = serde_json::from_str(&gateway.run(&["user", "show", "alice", "--json"]).out).expect("JSON");
    let expires = json["certificate"]["expires"].as_str().expect("an end");
    let days = (mailsudo::protocol::Timestamp::parse(expires).expect("a time").seconds() - SystemClock.now().seconds())
        / 86_400;
    assert!((363..=366).contains(&days), "{expires}");
    assert!(json["certificate"]["key"].as_str().is_some_and(|key| key.starts_with("RSA ")), "{json}");
}
