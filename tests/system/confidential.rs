//! What nobody but its reader reads, on a whole machine: the value of a secret argument in every log, file and output
//! of its run, sudo's own log and recordings, and encrypted replies that come through the real Postfix.

use std::fs;
use std::path::Path;

use crate::process::{self, run, run_with_input};
use crate::system_env::{self, CONFIG, PROGRAM, SERVICE};
use crate::user::User;
use crate::{poll, postfix, sudo_rules, syslog};

const WITH_PAYLOAD: &str = r#"
summary = "Set a password that comes as a payload"
run_as  = "root"
argv    = ["/usr/local/libexec/set-password-read", "web"]
[payload]
required = true
type     = "text"
[allow.operator]
"#;

/// It says which account, and what it was called with: the worst that a program can do. It cannot serve everybody.
const PROGRAMS: [(&str, &str); 2] = [
    ("set-password", "echo set for $1: $2; [ $1 != nobody ] || exit 3"),
    ("set-password-read", "read -r password; echo set for $1"),
];

/// sudo's settings of a test.
const DEFAULTS: &str = "/etc/sudoers.d/secrets-test";

/// Where a machine's logs, state and mail are.
const PLACES: [&str; 6] = ["/var/log", "/var/lib/mailsudo", "/var/spool", "/var/mail", "/etc", "/run"];

/// The commands `password` and `password-read`, and sudo's settings. They are gone when this is dropped.
pub(crate) struct Secrets(());

impl Secrets {
    pub(crate) fn raise(defaults: &str) -> Self {
        system_env::enter();
        let secrets = Self(());
        for (name, script) in PROGRAMS {
            process::write(format!("/usr/local/libexec/{name}"), 0o755, &format!("#!/bin/sh\n{script}\n"));
        }
        for (name, toml) in [("password", &*command("{password}", "")), ("password-read", WITH_PAYLOAD)] {
            process::write(format!("{CONFIG}/commands.d/{name}.toml"), 0o644, toml);
        }
        run(PROGRAM, &["sudoers", "--install", "--yes"]);
        process::write(DEFAULTS, 0o440, defaults);
        run("visudo", &["-c"]);
        secrets
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        process::remove(DEFAULTS);
        for name in ["password", "password-read"] {
            process::remove(&format!("{CONFIG}/commands.d/{name}.toml"));
        }
        sudo_rules::raise_sudo();
    }
}

/// The file of a command that sets a password. `password` is how its argument is made of the value; `approval` is a
/// table of that file, or nothing.
pub(crate) fn command(password: &str, approval: &str) -> String {
    format!(
        r#"
summary = "Set a password"
run_as  = "root"
argv    = ["/usr/local/libexec/set-password", "{{account}}", "{password}"]
[parameters.account]
pattern    = "^[a-z]+$"
max_length = 20
[parameters.password]
pattern    = "^[A-Za-z0-9]+$"
max_length = 40
secret     = true
{approval}
[allow.operator]
"#
    )
}

/// The files in [`PLACES`] that have `value`, with the lines that do.
pub(crate) fn found(value: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for place in PLACES {
        search(Path::new(place), value, &mut found);
    }
    found
}

fn search(folder: &Path, value: &str, found: &mut Vec<(String, Vec<String>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        // The sandbox's own layers show each file a second time.
        if kind.is_dir() && !path.ends_with("sandbox-layers") {
            search(&path, value, found);
        } else if kind.is_file()
            && let Ok(bytes) = fs::read(&path)
            && bytes.windows(value.len()).any(|part| part == value.as_bytes())
        {
            let text = String::from_utf8_lossy(&bytes);
            let lines = text.lines().filter(|line| line.contains(value)).map(str::to_owned).collect();
            found.push((path.display().to_string(), lines));
        }
    }
}

/// Sends it, and returns when the mail and the reply have gone through.
fn set(user: &User, value: &str) -> String {
    let id = user.send(&user.request(&["password", "account=web", &format!("password={value}")]));
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    syslog::wait_for(&id, "replied");
    postfix::wait_until_gone(&id);
    reply
}

#[test]
fn a_secret_value_is_in_sudos_log_and_nowhere_else() {
    let _secrets = Secrets::raise("");
    let user = User::enrol("setter");
    let value = "Tr0ub4dor3x7Q";
    let reply = set(&user, value);
    assert!(reply.contains("set for web: [secret]"), "the command's own output: {reply}");

    let found = found(value);
    assert_eq!(found.len(), 1, "{found:?}");
    let (file, lines) = &found[0];
    assert_eq!(file, syslog::LOG);
    assert!(lines.iter().all(|line| line.contains(" sudo") && line.contains("COMMAND=")), "{lines:?}");
    assert_eq!(lines.len(), 1, "{lines:?}");

    for words in [
        &["log"][..],
        &["log", "--json"],
        &["log", "--verify"],
        &["metrics"],
        &["report"],
        &["command", "show", "password"],
        &["command", "list", "--json"],
        &["sudoers"],
        &["check"],
        &["user", "list"],
    ] {
        let said = run_with_input(PROGRAM, words, "");
        let said = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(!said.contains(value) && !said.is_empty(), "{words:?}: {said}");
    }
    let export = "/root/secrets-export.jsonl";
    run(PROGRAM, &["log", "export", export]);
    let events = process::text(export);
    assert!(events.contains("set-password") && !events.contains(value), "{events}");
    // What root's own commands change is an event too.
    for change in ["postfix install --transport mailsudo", "sudoers --install --file /etc/sudoers.d/mailsudo"] {
        assert!(events.contains(change), "{change}: {events}");
    }
    for path in [export, "/root/secrets-export.jsonl.manifest.json"] {
        process::remove(path);
    }
    let id = run(PROGRAM, &["log", "--user", "setter"]);
    let id =
        id.lines().find(|line| line.contains("password")).expect("a row").split_whitespace().next().expect("an id");
    let one = run(PROGRAM, &["log", "show", id]);
    assert!(one.contains("password=[secret]") && !one.contains(value), "{one}");
    let status = user.send(&user.request(&["status"]));
    syslog::wait_for(&status, "replied");
    poll::until_true("two replies", || user.mailbox().messages().len() == 2);
    assert!(user.mailbox().messages().iter().all(|message| !message.contains(value)));
}

/// docs/encryption.md says what sudo can and cannot be told.
#[test]
fn sudo_can_be_told_not_to_log_it_and_records_what_it_is_told_to() {
    system_env::enter();
    let user = User::enrol("quietsetter");
    let value = "C0rrectHorse9Z";
    {
        let _secrets = Secrets::raise(&format!("Defaults:{SERVICE} !log_allowed\n"));
        set(&user, value);
        assert_eq!(found(value), [], "!log_allowed keeps sudo's line out of the log");
    }
    // log_passwords is about what is typed at a terminal: it changes nothing, either way.
    for (setting, name) in [("log_passwords", "loudsetter"), ("!log_passwords", "otherloudsetter")] {
        let _secrets = Secrets::raise(&format!("Defaults:{SERVICE} {setting}\n"));
        let (user, value) = (User::enrol(name), format!("St4ple{name}"));
        set(&user, &value);
        let found = found(&value);
        assert!(found.len() == 1 && found[0].0 == syslog::LOG, "{setting}: {found:?}");
    }
    // What sudo is told to record has the command's output, as the command prints it, and its command line.
    let recordings = "/var/log/sudo-io";
    let _secrets = Secrets::raise(&format!(
        "Defaults:{SERVICE} log_output, log_input, !log_allowed, !compress_io, iolog_dir={recordings}\n"
    ));
    let (user, value) = (User::enrol("recordedsetter"), "B4ttery8Wk2");
    set(&user, value);
    let found_files: Vec<String> = found(value).into_iter().map(|(file, _)| file).collect();
    assert!(!found_files.is_empty(), "log_output records what the command prints");
    assert!(found_files.iter().all(|file| file.starts_with(recordings)), "{found_files:?}");
    process::remove(recordings);

    // Without log_output nothing is recorded, and a payload is in no log of sudo's: it is no argument.
    let quiet = Secrets::raise(&format!("Defaults:{SERVICE} !log_output, !log_input\n"));
    let (user, value) = (User::enrol("payloadsetter"), "P4yl0adValue77");
    process::write("/root/value", 0o600, &format!("{value}\n"));
    let mail = user.signed_mail(&["password-read", "--payload", "/root/value"]);
    process::remove("/root/value");
    // `check` in another test has tried the rule through sudo, which begins no command (docs/decisions/0037).
    let before = syslog::sudo_ran("set-password-read").len();
    let id = crate::user::send(&user.address, &mail);
    user.assert_genuine(&user.mailbox().single());
    syslog::wait_for(&id, "replied");
    postfix::wait_until_gone(&id);
    assert_eq!(syslog::sudo_ran("set-password-read").len() - before, 1);
    assert_eq!(found(value), [], "a payload is nowhere");
    drop(quiet);
}

/// Readers of each kind, with the mail as Postfix has delivered it.
#[test]
fn an_encrypted_reply_comes_through_postfix_and_its_reader_reads_it() {
    system_env::enter();
    let home = "/root/reader";
    run("mkdir", &["-m", "700", "-p", home]);
    let shell = |script: &str| run("sh", &["-ec", &format!("cd {home}; export GNUPGHOME={home}/gnupg; {script}")]);
    shell("mkdir -m 700 gnupg");
    shell("gpg --batch --quiet --passphrase '' --quick-gen-key gnupgreader default default 1y");
    shell("gpg --batch --armor --export gnupgreader > gnupg.asc");
    shell("sqop generate-key sqopreader > sqop.key; sqop extract-cert < sqop.key > sqop.asc");
    shell("openssl req -x509 -nodes -newkey rsa:3072 -days 400 -subj /CN=r -keyout rsa.key -out rsa.pem 2>/dev/null");
    shell(
        "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 400 -subj /CN=e -keyout ec.key -out ec.pem 2>/dev/null",
    );
    let armored = "sed -n '/^-----BEGIN PGP MESSAGE/,/^-----END PGP MESSAGE/p'";
    for (name, certificate, decrypt) in [
        ("gnupgreader", "gnupg.asc", "gpg --batch --quiet --decrypt".to_owned()),
        ("sqopreader", "sqop.asc", format!("{armored} | sqop decrypt {home}/sqop.key")),
        ("rsareader", "rsa.pem", format!("openssl cms -decrypt -inkey {home}/rsa.key -recip {home}/rsa.pem")),
        ("ecreader", "ec.pem", format!("openssl cms -decrypt -inkey {home}/ec.key -recip {home}/ec.pem")),
    ] {
        let user = User::enrol(name);
        // Enrolled without a certificate; then it is put in as the docs say.
        let (kind, ending) = if certificate.ends_with("asc") { ("openpgp", "asc") } else { ("smime", "pem") };
        run(
            "install",
            &["-D", "-m", "644", &format!("{home}/{certificate}"), &format!("{CONFIG}/certs.d/{name}.{ending}")],
        );
        let file = format!("{CONFIG}/users.d/{name}.toml");
        process::write(&file, 0o644, &format!("encrypt = \"{kind}\"\n{}", process::text(&file)));
        let word = format!("word{name}");
        let id = user.send(&user.request(&["note", &format!("text={word}")]));
        let reply = user.mailbox().single();
        syslog::wait_for(&id, "replied");
        assert!(!reply.contains(&word) && !reply.contains("mailsudo-reply"), "{reply}");
        assert!(reply.contains("Subject: [...]"), "{reply}");
        let command = format!("GNUPGHOME={home}/gnupg; export GNUPGHOME; {decrypt}");
        let verified = user.verify(&["--decrypt-command", &command], &reply);
        assert!(verified.starts_with("genuine: "), "{name}: {verified}");
        assert!(verified.contains(&format!("| ok: note text={word}")), "{name}: {verified}");
        // Nothing of the reply is left in the ledger, in Postfix's queue or in a log but the log's arguments.
        assert_eq!(found(&format!("ok: note text={word}")), [], "{name}");
        run("rm", &["-f", &format!("{CONFIG}/certs.d/{name}.{ending}")]);
        process::write(&file, 0o644, &process::text(&file).replace(&format!("encrypt = \"{kind}\"\n"), ""));
    }
    process::remove(home);
}
