//! Replies and notices that only their reader reads: with sqop and openssl as tools, and sqop, GnuPG and openssl as
//! readers.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mailsudo::intake::readable;
use mailsudo::protocol::{Key, Verdict, verify_reply};
use mailsudo::system::clock::Clock;

use crate::common::{Ended, KEY, OTHER_KEY, TestGateway, block, mail};

/// Runs a program on `input`, and returns what it prints. It must succeed.
pub(crate) fn tool(folder: &Path, words: &[&str], input: &str) -> String {
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .current_dir(folder)
        .env("GNUPGHOME", folder.join("gnupg"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; tests/setup installs it", words[0]));
    child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// alice's mail is encrypted with OpenPGP, to a key made by sqop.
pub(crate) fn openpgp(more: &str) -> TestGateway {
    let gateway = TestGateway::new();
    gateway.set(more);
    let key = tool(gateway.folder.path(), &["sqop", "generate-key", "alice <alice@example.com>"], "");
    gateway.write("alice.key", 0o600, &key);
    certificate(&gateway, "openpgp", "asc", &tool(gateway.folder.path(), &["sqop", "extract-cert"], &key));
    gateway
}

fn certificate(gateway: &TestGateway, kind: &str, ending: &str, text: &str) {
    fs::create_dir_all(gateway.path("certs.d")).expect("a folder");
    gateway.write(&format!("certs.d/alice.{ending}"), 0o644, text);
    let user = format!("address = \"alice@example.com\"\nroles = [\"web\"]\nencrypt = \"{kind}\"\n");
    gateway.write("users.d/alice.toml", 0o644, &user);
}

fn restart(gateway: &mut TestGateway) -> Ended {
    gateway.clock.forward(30);
    let mail = gateway.request("restart", &[("service", "nginx")]);
    gateway.deliver(&mail)
}

/// The armored message in a PGP/MIME mail.
pub(crate) fn armored(mail: &str) -> String {
    let begin = mail.find("-----BEGIN PGP MESSAGE-----").expect("a message");
    let end = mail.find("\n--=-mailsudo-encrypted--\n").expect("the end of the part");
    mail[begin..end].to_owned()
}

/// What must be inside: the true subject, the header's copies, and a genuine reply.
pub(crate) fn genuine(folder: &Path, part: &str) {
    let said = verify(folder, part);
    assert!(said.starts_with("genuine: gateway berlin answered request "), "{said}");
    assert!(part.contains("Subject: [berlin] restart service=nginx: ok\r\n") || part.contains("nginx"), "{part}");
    assert!(part.contains("hp=\"cipher\"") && part.contains("\r\nHP-Outer: Subject: [...]\r\n"), "{part}");
    let text = &readable(part.replace("\r\n", "\n").as_bytes())[0];
    assert!(text.starts_with("ok: restart service=nginx\n") && text.contains("ran with nginx --level=3"), "{text}");
    let verdict = verify_reply(text, &Key::from_hex(KEY).expect("a key"));
    assert!(matches!(verdict, Verdict::Genuine(_)), "{verdict:?}");
}

/// What `mailsudo verify` says of a mail to alice.
fn verify(folder: &Path, mail: &str) -> String {
    let key = format!("gateway = \"berlin\"\naddress = \"ops@example.com\"\nuser = \"alice\"\nhmac_key = \"{KEY}\"\n");
    fs::write(folder.join("berlin.key"), key).expect("a key file");
    tool(folder, &["chmod", "600", "berlin.key"], "");
    let program = env!("CARGO_BIN_EXE_mailsudo");
    tool(folder, &["sh", "-c", "\"$0\" verify --key berlin.key || true", program], mail)
}

/// Neither the mail nor the ledger holds what the reply says.
fn unreadable(gateway: &TestGateway, reply: &str) {
    for words in ["nginx", "restart", "ran with", "exit-0", "mailsudo-reply"] {
        assert!(!reply.contains(words), "{words}: {reply}");
    }
    assert!(reply.contains("\nSubject: [...]\n") && reply.contains("\nAuto-Submitted: auto-replied\n"), "{reply}");
    let sql = "SELECT reply FROM requests";
    let stored: Vec<u8> = gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("a stored reply");
    assert_eq!(String::from_utf8_lossy(&stored), reply, "it is stored as it is sent");
    let said = verify(gateway.folder.path(), reply);
    assert!(said.starts_with("not verified: the message is encrypted. Save it, and verify what is inside: mailsudo verify --decrypt-command \""), "{said}");
}

#[test]
fn sqop_and_gnupg_read_what_is_encrypted_with_openpgp() {
    let mut gateway = openpgp("");
    let ended = restart(&mut gateway);
    let reply = ended.reply().to_owned();
    unreadable(&gateway, &reply);
    assert!(reply.contains("Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";"), "{reply}");
    let folder = gateway.folder.path();
    genuine(folder, &tool(folder, &["sqop", "decrypt", "alice.key"], &armored(&reply)));

    fs::create_dir(gateway.path("gnupg")).expect("a folder");
    tool(folder, &["chmod", "700", "gnupg"], "");
    tool(folder, &["gpg", "--batch", "--quiet", "--import", "alice.key"], "");
    genuine(folder, &tool(folder, &["gpg", "--batch", "--quiet", "--decrypt"], &armored(&reply)));
}

#[test]
fn a_key_of_gnupg_is_encrypted_to() {
    let mut gateway = TestGateway::new();
    gnupg(&gateway, &["--quick-gen-key", "alice <alice@example.com>", "default", "default", "1y"]);
    let reply = restart(&mut gateway).reply().to_owned();
    unreadable(&gateway, &reply);
    genuine(
        gateway.folder.path(),
        &tool(gateway.folder.path(), &["gpg", "--batch", "--quiet", "--decrypt"], &armored(&reply)),
    );
}

/// alice's certificate is one that GnuPG makes.
fn gnupg(gateway: &TestGateway, make: &[&str]) {
    let folder = gateway.folder.path();
    fs::create_dir(gateway.path("gnupg")).expect("a folder");
    tool(folder, &["chmod", "700", "gnupg"], "");
    let words = ["gpg", "--batch", "--quiet", "--passphrase", ""];
    tool(folder, &[&words[..], make].concat(), "");
    let text = tool(folder, &["gpg", "--batch", "--armor", "--export", "alice@example.com"], "");
    certificate(gateway, "openpgp", "asc", &text);
}

/// alice's mail is encrypted with S/MIME, to a certificate with a key of this kind.
fn smime(gateway: &TestGateway, kind: &[&str]) {
    let words = ["openssl", "req", "-x509", "-nodes", "-keyout", "alice.key", "-subj", "/CN=alice", "-days", "400"];
    let text = tool(gateway.folder.path(), &[&words[..], kind].concat(), "");
    certificate(gateway, "smime", "pem", &text);
    gateway.write("alice.pem", 0o644, &text);
}

const RSA: [&str; 2] = ["-newkey", "rsa:2048"];
const EC: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn openssl_reads_what_is_encrypted_with_smime() {
    for (kind, algorithm) in [(&RSA[..], "rsaesOaep"), (&EC, "dhSinglePass-stdDH-sha256kdf-scheme")] {
        let mut gateway = TestGateway::new();
        smime(&gateway, kind);
        let reply = restart(&mut gateway).reply().to_owned();
        unreadable(&gateway, &reply);
        assert!(reply.contains("application/pkcs7-mime; smime-type=authEnveloped-data"), "{reply}");
        let folder = gateway.folder.path();
        let decrypt = ["openssl", "cms", "-decrypt", "-binary", "-inkey", "alice.key", "-recip", "alice.pem"];
        genuine(folder, &tool(folder, &decrypt, &reply));
        let printed = tool(folder, &["openssl", "cms", "-cmsout", "-print", "-noout"], &reply);
        for words in ["id-smime-ct-authEnvelopedData", "aes-256-gcm", algorithm] {
            assert!(printed.contains(words), "{words}: {printed}");
        }
    }
}

/// The reply has the outcome and nothing else, the log says why, and the ledger has no more than the reply.
fn withheld(gateway: &TestGateway, ended: &Ended, why: &str) {
    let reply = ended.reply();
    let text = &readable(reply.as_bytes())[0];
    assert!(text.starts_with("ok: withheld\n") && text.contains("result: exit-0"), "{why}: {text}");
    for words in ["nginx", "restart", "ran with"] {
        assert!(!reply.contains(words) && !text.contains(words), "{why}: {text}");
    }
    let said = verify(gateway.folder.path(), ended.reply());
    assert!(said.starts_with("genuine: gateway berlin answered request "), "{why}: {said}");
    let line = ended.log.iter().find(|line| line.contains("event=withheld")).expect("a line");
    assert!(line.contains(why), "{why}: {line}");
    assert!(!line.contains("ran with"), "{line}");
    let verdict = verify_reply(text, &Key::from_hex(KEY).expect("a key"));
    assert!(matches!(verdict, Verdict::Genuine(_)), "{verdict:?}");
    let sql = "SELECT reply FROM requests";
    let stored: Vec<u8> = gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("a stored reply");
    assert_eq!(String::from_utf8_lossy(&stored), reply);
    assert_eq!(gateway.runs().len(), 1, "{why}: it has run, once");
    assert_eq!(ended.deferred, None, "{why}");
}

#[test]
fn what_a_tool_cannot_encrypt_is_not_sent() {
    for (script, why) in [
        ("cat", "printed no OpenPGP message"),
        ("echo -----BEGIN PGP MESSAGE-----; echo; cat; echo -----END PGP MESSAGE-----", "printed no OpenPGP message"),
        ("exit 0", "printed no OpenPGP message"),
        ("cat >&2; echo broken >&2; exit 1", "status 1; it says: broken"),
        ("exit 17", "cannot encrypt: it is expired, revoked"),
        ("kill -9 $$", "signal: 9"),
        ("sleep 600", "did not end in time"),
        ("trap '' TERM; while :; do :; done", "did not end in time"),
        ("yes", "status"),
    ] {
        let mut gateway = openpgp("");
        let home = gateway.folder.path().display().to_string();
        gateway.set(&format!("[encryption]\nsop = \"{home}/tool\"\n"));
        gateway.write("tool", 0o755, &format!("#!/bin/sh\n{script}\n"));
        // What ends has a gateway's own time: on a busy machine even a shell takes a second.
        if why == "did not end in time" {
            gateway.timeouts.encryption = Duration::from_secs(1);
        }
        let ended = restart(&mut gateway);
        withheld(&gateway, &ended, why);
    }
}

#[test]
fn without_a_tool_or_a_certificate_nothing_but_the_outcome_is_sent() {
    let mut gateway = openpgp("[encryption]\nsop = \"/nonexistent/sop\"\n");
    let ended = restart(&mut gateway);
    withheld(&gateway, &ended, "/nonexistent/sop: No such file");

    let mut gateway = openpgp("");
    fs::remove_file(gateway.path("certs.d/alice.asc")).expect("removed");
    let ended = restart(&mut gateway);
    withheld(&gateway, &ended, "certs.d/alice.asc does not exist");

    let mut gateway = openpgp("");
    gateway.write("certs.d/alice.asc", 0o666, "");
    let ended = restart(&mut gateway);
    withheld(&gateway, &ended, "which gives others access");

    let mut gateway = openpgp("");
    gateway.write("certs.d/alice.asc", 0o644, "no certificate");
    let ended = restart(&mut gateway);
    withheld(&gateway, &ended, "openpgp to alice: it is no OpenPGP certificate");
}

#[test]
fn what_has_expired_is_not_encrypted_to() {
    let mut gateway = TestGateway::new();
    let made = ["--faked-system-time", "20200101T000000", "--quick-gen-key", "alice <alice@example.com>"];
    gnupg(&gateway, &[&made[..], &["default", "default", "1y"]].concat());
    let ended = restart(&mut gateway);
    withheld(&gateway, &ended, "cannot encrypt: it is expired, revoked");

    let mut gateway = TestGateway::new();
    smime(&gateway, &RSA);
    certificate(&gateway, "smime", "pem", &expired(&gateway));
    let ended = restart(&mut gateway);
    withheld(&gateway, &ended, "the certificate has expired");

    let mut gateway = TestGateway::new();
    smime(&gateway, &[&RSA[..], &["-addext", "keyUsage=digitalSignature"]].concat());
    let ended = restart(&mut gateway);
    withheld(&gateway, &ended, "not for encryption");
}

/// A certificate of alice's that has expired.
fn expired(gateway: &TestGateway) -> String {
    let folder = gateway.folder.path();
    let settings = "[ca]\ndefault_ca = a\n[a]\ndatabase = index\nnew_certs_dir = .\nserial = serial\ndefault_md = sha256\n\
                    policy = p\n[p]\ncommonName = supplied\n[req]\ndistinguished_name = n\n[n]\n";
    for (name, text) in [("ca.cnf", settings), ("index", ""), ("serial", "01\n")] {
        gateway.write(name, 0o644, text);
    }
    let request = ["openssl", "req", "-new", "-key", "alice.key", "-subj", "/CN=alice", "-config", "ca.cnf"];
    let request = tool(folder, &request, "");
    gateway.write("request", 0o644, &request);
    let sign = ["openssl", "ca", "-selfsign", "-batch", "-notext", "-config", "ca.cnf", "-keyfile", "alice.key"];
    let dates = ["-in", "request", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z"];
    tool(folder, &[&sign[..], &dates].concat(), "")
}

/// Refusals and the answers of built-in commands too.
#[test]
fn every_reply_is_encrypted() {
    let mut gateway = openpgp("");
    for (command, arguments) in [("restart", &[("service", "mysql")][..]), ("help", &[]), ("status", &[]), ("x", &[])] {
        gateway.clock.forward(30);
        let mail = gateway.request(command, arguments);
        let reply = gateway.deliver(&mail).reply().to_owned();
        assert!(reply.contains("\nSubject: [...]\n") && !reply.contains("mailsudo-reply"), "{command}: {reply}");
        let inside = tool(gateway.folder.path(), &["sqop", "decrypt", "alice.key"], &armored(&reply));
        assert!(inside.contains("mailsudo-reply: 1"), "{inside}");
        assert!(!inside.contains("ran with"), "status repeats no encrypted reply: {inside}");
    }
}

/// A reply that could not be sent is sent again as it was stored, without the tool.
#[test]
fn a_stored_reply_is_sent_again_as_it_is() {
    let mut gateway = openpgp("");
    gateway.break_sendmail(true);
    gateway.clock.forward(30);
    let mail = gateway.request("restart", &[("service", "nginx")]);
    assert_eq!(gateway.deliver(&mail).deferred, Some("sendmail"));
    gateway.break_sendmail(false);
    fs::remove_file(gateway.path("certs.d/alice.asc")).expect("removed");
    let reply = gateway.deliver(&mail).reply().to_owned();
    unreadable(&gateway, &reply);
    genuine(gateway.folder.path(), &tool(gateway.folder.path(), &["sqop", "decrypt", "alice.key"], &armored(&reply)));
}

/// alice approves what bob asks for.
#[test]
fn a_notice_is_encrypted_or_says_nothing() {
    for broken in [false, true] {
        let mut gateway = openpgp("");
        let home = gateway.folder.path().display().to_string();
        let command = format!(
            "summary = \"Risky\"\nrun_as = \"root\"\nargv = [\"{home}/command\", \"{{what}}\"]\n\
             [parameters.what]\npattern = \"^[a-z]+$\"\nmax_length = 20\n[approval]\nby = [\"alice\"]\n[allow.oncall]\n"
        );
        gateway.write("commands.d/risky.toml", 0o644, &command);
        if broken {
            fs::remove_file(gateway.path("certs.d/alice.asc")).expect("removed");
        }
        let block = block("bob", OTHER_KEY, gateway.clock.now(), "risky", &[("what", "wipeall")], None);
        let ended = gateway.deliver(&mail("bob@example.com", &block));
        let notice =
            ended.replies.iter().find(|reply| reply.contains("\nTo: <alice@example.com>\n")).expect("a notice");
        assert!(!notice.contains("wipeall") && !notice.contains("risky"), "{notice}");
        if broken {
            assert!(readable(notice.as_bytes())[0].starts_with("to approve: withheld\n"), "{notice}");
            assert!(ended.log.iter().any(|line| line.contains("event=withheld")), "{ended:?}");
        } else {
            let inside = tool(gateway.folder.path(), &["sqop", "decrypt", "alice.key"], &armored(notice));
            assert!(inside.contains("mailsudo-notice: 1") && inside.contains("wipeall"), "{inside}");
        }
    }
}
