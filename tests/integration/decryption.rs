//! Requests that are encrypted to the gateway: what is inside counts, and its size is bounded.

use std::fs;
use std::time::Duration;

use mailsudo::system::clock::Clock;

use crate::common::{TestGateway, explain};
use crate::encryption::tool;

/// A gateway with an OpenPGP key and an S/MIME key of its own.
fn gateway() -> TestGateway {
    let gateway = TestGateway::new();
    let folder = gateway.folder.path();
    let key = tool(folder, &["sqop", "generate-key", "ops <ops@example.com>"], "");
    gateway.write("ops.asc", 0o644, &tool(folder, &["sqop", "extract-cert"], &key));
    gateway.write("ops.key", 0o600, &key);
    let request =
        ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=ops", "-keyout", "smime.key"];
    let pem = tool(folder, &request, "");
    gateway.write("smime.pem", 0o600, &pem);
    tool(folder, &["chmod", "600", "smime.key"], "");
    set(&gateway, "ops.key");
    gateway
}

fn set(gateway: &TestGateway, key: &str) {
    let home = gateway.folder.path().display();
    gateway.set(&format!(
        "[decryption]\nopenpgp_key = \"{home}/{key}\"\nsmime_key = \"{home}/smime.key\"\nsmime_certificate = \"{home}/smime.pem\"\n"
    ));
}

/// A text part, as a mail program encrypts it.
fn part(text: &str) -> String {
    format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{}", text.replace('\n', "\r\n"))
}

fn openpgp(gateway: &TestGateway, part: &str) -> String {
    let armored = tool(gateway.folder.path(), &["sqop", "encrypt", "ops.asc"], part);
    format!(
        "From: alice@example.com\nTo: ops@example.com\nSubject: ...\nMessage-ID: <1@example.com>\nMIME-Version: 1.0\n\
         Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=\"b\"\n\n\
         --b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n\
         --b\nContent-Type: application/octet-stream; name=\"encrypted.asc\"\n\n{armored}\n--b--\n"
    )
}

fn smime(gateway: &TestGateway, part: &str) -> String {
    let words = ["openssl", "cms", "-encrypt", "-binary", "-aes256", "smime.pem"];
    let body = tool(gateway.folder.path(), &words, part);
    format!("From: alice@example.com\nTo: ops@example.com\nSubject: ...\nMessage-ID: <1@example.com>\n{body}")
}

#[test]
fn what_is_inside_is_the_request() {
    for encrypt in [openpgp, smime] {
        let mut gateway = gateway();
        let block = gateway.block(gateway.clock.now(), "restart", &[("service", "nginx")]);
        let mail = encrypt(&gateway, &part(&block));
        assert!(!mail.contains("nginx"));
        let (would_run, lines) = explain(&gateway, &mail);
        assert!(would_run, "{lines:?}");
        let ended = gateway.deliver(&mail);
        assert_eq!(gateway.runs().len(), 1, "{ended:?}");
        assert!(ended.reply().contains("In-Reply-To: <1@example.com>"));
        let signed =
            format!("Content-Type: multipart/mixed; boundary=s\r\n\r\n--s\r\n{}\r\n--s--\r\n", part("no request"));
        let ended = gateway.deliver(&encrypt(&gateway, &signed));
        assert!(ended.refused("not-a-request"), "{ended:?}");
    }
}

/// As Thunderbird documents its mail (draft-autocrypt-lamps-protected-headers): header fields inside, an inner
/// multipart with the sender's key beside the text, signed and encrypted in one step; S/MIME with a detached signature.
#[test]
fn what_thunderbird_makes_is_read() {
    let part = |block: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=\"----out\"; protected-headers=\"v1\"\r\nFrom: Alice <alice@example.com>\r\n\
             To: ops@example.com\r\nMessage-ID: <1@example.com>\r\nSubject: the true one\r\n\r\n------out\r\n\
             Content-Type: multipart/mixed; boundary=\"----in\"\r\n\r\n------in\r\n\
             Content-Type: text/plain; charset=UTF-8; format=flowed\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n------in\r\n\
             Content-Type: application/pgp-keys; name=\"OpenPGP_0x1.asc\"\r\n\
             Content-Disposition: attachment; filename=\"OpenPGP_0x1.asc\"\r\nContent-Description: OpenPGP public key\r\n\r\nkey\r\n\
             ------in--\r\n\r\n------out--\r\n",
            base64(block)
        )
    };
    let mut gateway = gateway();
    let folder = gateway.folder.path().to_owned();
    gateway.write("alice.key", 0o600, &tool(&folder, &["sqop", "generate-key", "alice"], ""));
    let block = gateway.block(gateway.clock.now(), "restart", &[("service", "nginx")]);
    let armored = tool(&folder, &["sqop", "encrypt", "--sign-with=alice.key", "ops.asc"], &part(&block));
    let mail = format!(
        "From: Alice <alice@example.com>\nTo: ops@example.com\nSubject: ...\nMessage-ID: <1@example.com>\nMIME-Version: 1.0\n\
         Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\n boundary=\"----enc\"\n\n\
         This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\n------enc\nContent-Type: application/pgp-encrypted\n\
         Content-Description: PGP/MIME version identification\n\nVersion: 1\n\n------enc\n\
         Content-Type: application/octet-stream; name=\"encrypted.asc\"\nContent-Description: OpenPGP encrypted message\n\
         Content-Disposition: inline; filename=\"encrypted.asc\"\n\n{armored}\n------enc--\n"
    );
    let ended = gateway.deliver(&mail);
    assert_eq!(gateway.runs().len(), 1, "{ended:?}");

    gateway.clock.forward(30);
    let block = gateway.block(gateway.clock.now(), "restart", &[("service", "nginx")]);
    let sign = ["openssl", "cms", "-sign", "-binary", "-signer", "smime.pem", "-inkey", "smime.key"];
    let signed = tool(&folder, &sign, &part(&block));
    assert!(signed.contains("multipart/signed"), "{signed}");
    let ended = gateway.deliver(&smime(&gateway, &signed));
    assert_eq!(gateway.runs().len(), 2, "{ended:?}");
}

fn base64(text: &str) -> String {
    let folder = std::env::temp_dir();
    tool(&folder, &["base64"], text).trim_end().replace('\n', "\r\n")
}

/// As Outlook makes it: the text is inside the signature, and that is encrypted. The signature itself counts nothing.
#[test]
fn what_is_signed_as_opaque_data_inside_is_the_request() {
    let sign = |gateway: &TestGateway, more: &[&str], text: &str| {
        let words = ["openssl", "cms", "-sign", "-nodetach", "-binary", "-signer", "smime.pem", "-inkey", "smime.key"];
        tool(gateway.folder.path(), &[&words[..], more].concat(), &part(text)).replace('\n', "\r\n")
    };
    for encrypt in [openpgp, smime] {
        let mut gateway = gateway();
        let block = gateway.block(gateway.clock.now(), "restart", &[("service", "nginx")]);
        let ended = gateway.deliver(&encrypt(&gateway, &sign(&gateway, &[], &block)));
        assert_eq!(gateway.runs().len(), 1, "{ended:?}");
        gateway.clock.forward(30);
        let ended = gateway.deliver(&encrypt(&gateway, &sign(&gateway, &[], "no request")));
        assert!(ended.refused("not-a-request"), "{ended:?}");
        // Without the signer's certificate openssl does not say what is inside.
        let ended = gateway.deliver(&encrypt(&gateway, &sign(&gateway, &["-nocerts"], &block)));
        assert!(ended.refused("not-decrypted") && ended.replies.is_empty(), "{ended:?}");
        let cut = sign(&gateway, &[], &block);
        let cut = encrypt(&gateway, &cut[..cut.len() / 2]);
        assert!(gateway.deliver(&cut).refused("not-decrypted"));
        // More than the limit, inside.
        let large = sign(&gateway, &[], &"x".repeat(300 << 10));
        let ended = gateway.deliver(&encrypt(&gateway, &large));
        assert!(ended.refused("too-large"), "{ended:?}");
        assert_eq!(gateway.runs().len(), 1);
    }
    // One that is signed and not encrypted is not unpacked: that would have anybody's mail run a program without
    // [decryption].
    let mut gateway = gateway();
    let block = gateway.block(gateway.clock.now(), "restart", &[("service", "nginx")]);
    let ended = gateway.deliver(&format!("From: alice@example.com\n{}", sign(&gateway, &[], &block)));
    assert!(ended.refused("not-a-request"), "{ended:?}");
}

#[test]
fn what_cannot_be_decrypted_is_refused_and_a_broken_gateway_defers() {
    let mut gateway = gateway();
    let block = gateway.block(gateway.clock.now(), "restart", &[("service", "nginx")]);
    let mail = openpgp(&gateway, &part(&block));
    let other = tool(gateway.folder.path(), &["sqop", "generate-key", "other"], "");
    gateway.write("other.key", 0o600, &other);
    set(&gateway, "other.key");
    let ended = gateway.deliver(&mail);
    assert!(ended.refused("not-decrypted") && ended.replies.is_empty(), "{ended:?}");
    let garbage = openpgp(&gateway, "x").replace("wV4D", "AAAA").replace("hQ", "AA");
    let ended = gateway.deliver(&garbage);
    assert!(ended.deferred.is_none() && ended.replies.is_empty(), "an outsider's garbage is not kept: {ended:?}");

    set(&gateway, "missing.key");
    assert_eq!(gateway.deliver(&mail).deferred, Some("configuration"));
    gateway.write("ops.key", 0o644, &fs::read_to_string(gateway.path("ops.key")).expect("the key"));
    set(&gateway, "ops.key");
    assert_eq!(gateway.deliver(&mail).deferred, Some("configuration"), "others can read the key");
    gateway.write("ops.key", 0o600, &fs::read_to_string(gateway.path("ops.key")).expect("the key"));
    let home = gateway.folder.path().display().to_string();
    let patient = gateway.timeouts.encryption;
    for script in ["sleep 600", "kill -9 $$", "exit 1"] {
        gateway.set(&format!("[decryption]\nopenpgp_key = \"{home}/ops.key\"\n[encryption]\nsop = \"{home}/tool\"\n"));
        gateway.write("tool", 0o755, &format!("#!/bin/sh\n{script}\n"));
        gateway.timeouts.encryption = if script == "sleep 600" { Duration::from_secs(1) } else { patient };
        assert_eq!(gateway.deliver(&mail).deferred, Some("decryption"), "{script}");
    }
    // Without a log no program gets the key (docs/decisions/0062).
    gateway.write("tool", 0o755, &format!("#!/bin/sh\ntouch {home}/decrypted\nexit 1\n"));
    let settings = fs::read_to_string(gateway.path("mailsudo.toml")).expect("the settings");
    gateway.write("mailsudo.toml", 0o644, &settings.replace(&format!("{home}/log"), &format!("{home}/nowhere")));
    assert_eq!(gateway.deliver(&mail).deferred, Some("syslog"));
    assert!(!gateway.path("decrypted").exists());
    gateway.write("mailsudo.toml", 0o644, &settings);
    assert_eq!(gateway.deliver(&mail).deferred, Some("decryption"));
    assert!(gateway.path("decrypted").exists());
    set(&gateway, "ops.key");
    let ended = gateway.deliver(&mail);
    assert_eq!(gateway.runs().len(), 1, "then it is delivered: {ended:?}");
}

#[test]
fn what_becomes_too_large_is_refused() {
    for encrypt in [openpgp, smime] {
        let mut gateway = gateway();
        let home = gateway.folder.path().display().to_string();
        let block = gateway.block(gateway.clock.now(), "restart", &[("service", "nginx")]);
        let mail = encrypt(&gateway, &part(&format!("{block}\n{}", "x\n".repeat(40_000))));
        let limit = |size: &str| {
            let keys = format!(
                "[decryption]\nopenpgp_key = \"{home}/ops.key\"\nsmime_key = \"{home}/smime.key\"\nsmime_certificate = \"{home}/smime.pem\"\n"
            );
            format!("{keys}[limits]\nmessage = \"{size}\"\n")
        };
        // A tool that decompresses prints more than arrived.
        gateway.set(&format!("{}[encryption]\nsop = \"{home}/bomb\"\nopenssl = \"{home}/bomb\"\n", limit("256KiB")));
        for bomb in ["head -c 300000 /dev/zero", "cat /dev/zero", "yes"] {
            gateway.write("bomb", 0o755, &format!("#!/bin/sh\n{bomb}\n"));
            let ended = gateway.deliver(&mail);
            assert!(ended.refused("too-large"), "{bomb}: {ended:?}");
        }
        gateway.set(&limit("256KiB"));
        gateway.deliver(&mail);
        assert_eq!(gateway.runs().len(), 1, "below the limit it runs");
    }
}

/// Without a key of its own, a gateway reads nothing of it.
#[test]
fn without_a_key_an_encrypted_mail_is_no_request() {
    let mut gateway = gateway();
    let block = gateway.block(gateway.clock.now(), "restart", &[("service", "nginx")]);
    let mail = openpgp(&gateway, &part(&block));
    gateway.set("");
    assert!(gateway.deliver(&mail).refused("not-a-request"));
}
