//! The user's side of encrypted replies: `verify` and `sign --wait-reply` decrypt by the user's own command, or say
//! what to do.

use std::fs;

use crate::cli::CliGateway;
use crate::encryption::tool;

/// A gateway that encrypts to alice; its sendmail delivers to it, and puts the reply into alice's Maildir.
fn gateway(kind: &str) -> CliGateway {
    let gateway = CliGateway::new();
    let folder = gateway.folder.path();
    let (ending, certificate) = if kind == "openpgp" {
        gateway.write("private", &tool(folder, &["sqop", "generate-key", "alice"], ""));
        ("asc", tool(folder, &["sh", "-c", "sqop extract-cert < private"], ""))
    } else {
        let request =
            ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-keyout", "private", "-subj", "/CN=a"];
        ("pem", tool(folder, &request, ""))
    };
    fs::create_dir(gateway.path("certs.d")).expect("a folder");
    gateway.write(&format!("certs.d/alice.{ending}"), &certificate);
    let user = fs::read_to_string(gateway.path("users.d/alice.toml")).expect("a user");
    gateway.write("users.d/alice.toml", &format!("encrypt = \"{kind}\"\n{user}"));
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(gateway.path(&format!("Maildir/{part}"))).expect("a folder");
    }
    let program = env!("CARGO_BIN_EXE_mailsudo");
    let script =
        format!("#!/bin/sh\n{program} deliver --config . 2>/dev/null >reply || exit 1\ncp reply Maildir/new/$$\n");
    gateway.program("sendmail", &script);
    gateway
}

/// The commands that decrypt: each way, and the programs that can.
const COMMANDS: [(&str, &str); 2] =
    [("openpgp", "sqop decrypt private"), ("smime", "openssl cms -decrypt -inkey private -recip certs.d/alice.pem")];

fn sign<'w>(more: &[&'w str]) -> Vec<&'w str> {
    let words =
        ["sign", "say", "--key", "alice.key", "--totp-secret-file", "phone", "--send", "--sendmail", "./sendmail"];
    let wait = ["--from", "alice@example.com", "--wait-reply", "--mailbox", "Maildir", "--reply-within", "1s"];
    [&words[..], &wait, more].concat()
}

#[test]
fn an_encrypted_reply_is_decrypted_by_the_users_command_and_verified() {
    for (kind, command) in COMMANDS {
        let gateway = gateway(kind);
        let said = gateway.run(&sign(&["--decrypt-command", command]));
        assert_eq!(said.status, 0, "{kind}: {}{}", said.out, said.err);
        assert!(said.out.starts_with("genuine: ") && said.out.contains("| heard: nothing"), "{kind}: {}", said.out);
        let reply = fs::read_to_string(gateway.path("reply")).expect("a reply");
        assert!(!reply.contains("heard"), "{reply}");
        let verify = ["verify", "--key", "alice.key"];
        let said = gateway.run_with(&[&verify[..], &["--decrypt-command", command]].concat(), &reply);
        assert!(said.status == 0 && said.out.contains("| heard: nothing"), "{kind}: {}{}", said.out, said.err);
        // Named once, in the client's settings.
        fs::create_dir_all(gateway.path(".config/mailsudo")).expect("a folder");
        gateway.write(".config/mailsudo/client.conf", &format!("decrypt_command = \"{command}\"\n"));
        let said = gateway.run_with(&verify, &reply);
        assert!(said.status == 0 && said.out.contains("| heard: nothing"), "{kind}: {}{}", said.out, said.err);
    }
}

#[test]
fn without_a_command_it_is_said_what_to_do() {
    for (kind, _) in COMMANDS {
        let gateway = gateway(kind);
        let said = gateway.run(&sign(&[]));
        assert_eq!(said.status, 1, "{kind}: {}{}", said.out, said.err);
        assert!(said.out.starts_with("not verified: the message is encrypted. Save it, and verify"), "{}", said.out);
        assert!(said.out.contains("--decrypt-command \""), "{}", said.out);
        // One that is about another request, or says so, is not waited for.
        fs::remove_dir_all(gateway.path("Maildir/new")).expect("removed");
        fs::create_dir(gateway.path("Maildir/new")).expect("a folder");
        let other =
            fs::read_to_string(gateway.path("reply")).expect("a reply").replace("Message-ID: <", "Message-ID: <0");
        gateway.program("sendmail", "#!/bin/sh\ncat > /dev/null\ncp other Maildir/new/other\n");
        gateway.write("other", &other);
        let said = gateway.run(&sign(&[]));
        assert!(said.status == 1 && said.err.contains("no reply came"), "{kind}: {}{}", said.out, said.err);
    }
}

/// What the command does wrong is said, and proves nothing.
#[test]
fn a_command_that_does_not_decrypt_proves_nothing() {
    let gateway = gateway("openpgp");
    gateway.run(&sign(&[]));
    let reply = fs::read_to_string(gateway.path("reply")).expect("a reply");
    for (command, status, out, err) in [
        ("false", 1, "", "the command that decrypts failed: exit status: 1"),
        ("/nonexistent/program", 1, "", "the command that decrypts failed: exit status: 127"),
        ("cat", 1, "not verified: the message is encrypted", ""),
        ("echo ok: say", 1, "not genuine: no reply or notice that this key has signed", ""),
        ("true", 1, "not genuine: no reply or notice that this key has signed", ""),
    ] {
        let said = gateway.run_with(&["verify", "--key", "alice.key", "--decrypt-command", command], &reply);
        assert_eq!(said.status, status, "{command}: {}{}", said.out, said.err);
        assert!(said.out.starts_with(out) && said.err.contains(err), "{command}: {}{}", said.out, said.err);
    }
    // A message in clear needs none, and none is run.
    let said = gateway.run_with(&["verify", "--key", "alice.key", "--decrypt-command", "touch ran"], "text");
    assert!(said.out.starts_with("not genuine") && !gateway.path("ran").exists(), "{}", said.out);
}
