//! Daily work without an editor: commands, settings, users and the ledger changed by the program, comments kept,
//! nothing written that the gateway itself would refuse.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::cli::{CliGateway, mode};

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn text(gateway: &CliGateway, name: &str) -> String {
    fs::read_to_string(gateway.path(name)).unwrap_or_default()
}

#[test]
fn a_command_is_added_changed_and_removed() {
    let gateway = CliGateway::new();
    let add = ["command", "add", "list", "--argv", "/bin/ls -l {folder}", "--run-as", "nobody", "--allow", "web"];
    let spec = ["--parameter", "folder=one_of:/tmp,/etc", "--default", "folder=/tmp"];
    let missing = gateway.run(&[&add[..], &["--yes"]].concat());
    assert!(missing.status == 64 && missing.err.contains("commands.d/list.toml"), "{}", missing.err);
    assert!(missing.err.contains("{folder} is not declared") && !missing.err.contains("/mailsudo-"), "{}", missing.err);
    assert!(!gateway.path("commands.d/list.toml").exists(), "nothing is written that cannot be used");

    let dry = gateway.run(&[&add[..], &spec, &["--dry-run"]].concat());
    assert!(dry.status == 0 && dry.out.contains("+argv = [\"/bin/ls\", \"-l\", \"{folder}\"]"), "{}", dry.out);
    assert!(!gateway.path("commands.d/list.toml").exists());
    assert_eq!(gateway.run(&[&add[..], &spec].concat()).status, 64, "unasked and without --yes");
    assert_eq!(gateway.run(&[&add[..], &spec, &["--yes"]].concat()).status, 0);
    assert_eq!(mode(&gateway.path("commands.d/list.toml")), 0o644);
    assert!(gateway.run(&words("may alice list")).out.starts_with("permit"));
    let again = gateway.run(&[&add[..], &spec, &["--yes"]].concat());
    assert!(again.err.contains("mailsudo command edit list"), "{}", again.err);

    gateway.write("commands.d/list.toml", &format!("# Ours.\n{}", text(&gateway, "commands.d/list.toml")));
    assert_eq!(gateway.run(&words("command edit list --timeout 5s --allow oncall:folder=/etc --yes")).status, 0);
    let now = text(&gateway, "commands.d/list.toml");
    assert!(
        now.starts_with("# Ours.\n") && now.contains("timeout = \"5s\"") && now.contains("[allow.oncall]"),
        "{now}"
    );
    assert_eq!(gateway.run(&words("command edit list --timeout 5s --yes")).out, "nothing to change\n");
    for (line, status, said) in [
        ("command edit list --yes", 64, "--timeout"),
        ("command edit list --timeout 1d --yes", 64, "above execution.longest"),
        ("command edit list --revoke nobody --yes", 1, "may not run it"),
        ("command edit list --parameter x=y --yes", 64, "one_of:A,B"),
        ("command edit none --timeout 1s --yes", 1, "mailsudo command list"),
        ("command add help --argv /bin/true --run-as nobody --yes", 64, "built-in"),
        ("command add x --run-as nobody --yes", 64, "--argv"),
        ("command remove none --yes", 1, "mailsudo command list"),
    ] {
        let got = gateway.run(&words(line));
        assert_eq!(got.status, status, "{line}: {}", got.err);
        assert!(got.err.contains(said), "{line}: {}", got.err);
    }
    assert_eq!(text(&gateway, "commands.d/list.toml"), now);
    assert!(gateway.run(&words("command remove list --dry-run")).out.contains("-run_as"));
    assert_eq!(gateway.run(&words("command remove list --yes -q")).status, 0);
    assert!(!gateway.path("commands.d/list.toml").exists());
}

#[test]
fn a_secret_parameter_is_added_by_an_option() {
    let gateway = CliGateway::new();
    let add = ["command", "add", "password", "--argv", "/bin/true {account} {password}", "--run-as", "root"];
    let specs = ["--parameter", "account=pattern:^[a-z]+$:20", "--parameter", "password=pattern:^[a-z0-9]+$:40"];
    let rest = ["--secret", "password", "--allow", "web", "--yes"];
    let added = gateway.run(&[&add[..], &specs, &rest].concat());
    assert_eq!(added.status, 0, "{}", added.err);
    let now = text(&gateway, "commands.d/password.toml");
    let section = "[parameters.password]\npattern = \"^[a-z0-9]+$\"\nmax_length = 40\nsecret = true\n";
    assert!(now.contains(section) && now.matches("secret").count() == 1, "{now}");
    let shown = gateway.run(&words("command show password")).out;
    assert!(shown.contains("parameter  password: ") && shown.matches("; secret\n").count() == 1, "{shown}");
    let json: Value = serde_json::from_str(&gateway.run(&words("command show password --json")).out).expect("JSON");
    assert_eq!(json["parameters"]["password"]["secret"], true);
    assert_eq!(json["parameters"]["account"]["secret"], false);
    let wrong = gateway.run(&words("command edit password --secret nothing --yes"));
    assert!(wrong.status == 1 && wrong.err.contains("--secret: there is no parameter nothing"), "{}", wrong.err);
}

/// The sudo rules are never forgotten: they change in the same step, after visudo has accepted them.
#[test]
fn the_sudo_rules_change_with_the_commands() {
    let gateway = CliGateway::new();
    let settings = text(&gateway, "mailsudo.toml").replace("run_via = \"direct\"", "run_via = \"sudo\"");
    gateway.write("mailsudo.toml", &settings);
    fs::remove_file(gateway.path("commands.d/say.toml")).expect("removed");
    let rules = || text(&gateway, "rules");
    let change = |line: &str| gateway.run(&[&words(line)[..], &["--sudoers-file", "rules", "--yes"]].concat());
    let added = change("command add who --argv /usr/bin/id --run-as nobody --allow web");
    assert_eq!(added.status, 0, "{}", added.err);
    assert!(
        added.out.contains("commands.d/who.toml") && added.out.contains("+++ rules"),
        "one difference: {}",
        added.out
    );
    assert!(rules().contains("(nobody) NOPASSWD: EXEC: NOSETENV: "), "{}", rules());
    assert_eq!(mode(&gateway.path("rules")), 0o440);
    let before = rules();
    assert_eq!(change("command edit who --argv /usr/bin/groups").status, 0);
    assert!(rules().contains("/usr/bin/groups") && !rules().contains("begin /usr/bin/id"), "{}", rules());
    assert_eq!(text(&gateway, "rules~"), before, "the former rules are kept");
    let refused = change("command edit who --run-as no:such:account");
    assert_eq!(refused.status, 64, "{}", refused.err);
    let spaced = change("config set execution.sudo /no/sudo");
    assert!(spaced.status == 64 && spaced.err.contains("/no/sudo"), "{}", spaced.err);
    assert_eq!(change("config set service_user nobody").status, 0);
    assert!(rules().contains("nobody ALL = ") && !rules().contains("mailsudo ALL = "), "{}", rules());
    assert_eq!(change("command remove who").status, 0);
    assert!(!rules().contains("/usr/bin/groups"), "{}", rules());
}

#[test]
fn settings_are_shown_with_their_origin_and_set() {
    let gateway = CliGateway::new();
    let shown = gateway.run(&words("config show")).out;
    assert!(shown.starts_with("KEY ") && shown.contains("mailsudo.toml:1"), "{shown}");
    let all: Value = serde_json::from_str(&gateway.run(&words("config show --json")).out).expect("JSON");
    let row = |key: &str| all.as_array().expect("a list").iter().find(|row| row["key"] == key).expect("a row").clone();
    assert_eq!((&row("max_age")["value"], &row("max_age")["line"]), (&"\"30m\"".into(), &Value::Null));
    assert_eq!(row("execution.run_via")["line"], 4);
    gateway.write("mailsudo.toml", &format!("# Ours.\n{}", text(&gateway, "mailsudo.toml")));
    assert_eq!(gateway.run(&words("config set max_age 15m --yes")).status, 0);
    assert!(text(&gateway, "mailsudo.toml").starts_with("# Ours.\n"), "comments stay");
    assert_eq!(gateway.run(&words("config set lockout.wrong_codes 3 --yes")).status, 0);
    let shown = gateway.run(&words("config show")).out;
    assert!(shown.lines().any(|line| line.starts_with("max_age ") && line.ends_with("\"15m\"")), "{shown}");
    let before = text(&gateway, "mailsudo.toml");
    for (line, status, said) in [
        ("config set max_age 8d --yes", 64, "max_age is at most 7d"),
        ("config set nonsense 1 --yes", 64, "there is no setting nonsense; `mailsudo config show`"),
        ("config set execution.nonsense 1 --yes", 64, "config show"),
        ("config set Max 1 --yes", 64, "config show"),
        ("config unset retention --yes", 1, "does not set retention"),
        ("config unset nonsense --yes", 64, "config show"),
    ] {
        let got = gateway.run(&words(line));
        assert!(got.status == status && got.err.contains(said), "{line}: {} {}", got.status, got.err);
    }
    assert_eq!(text(&gateway, "mailsudo.toml"), before);
    // What was wrong before is not the command line's fault.
    gateway.write("commands.d/broken.toml", "argv = 1\n");
    let broken = gateway.run(&words("config set max_age 10m --yes"));
    assert!(broken.status == 1 && broken.err.contains("commands.d/broken.toml"), "{} {}", broken.status, broken.err);
    fs::remove_file(gateway.path("commands.d/broken.toml")).expect("removed");
    assert_eq!(gateway.run(&words("config unset max_age --yes")).status, 0);
    assert!(!text(&gateway, "mailsudo.toml").contains("max_age"));
}

#[test]
fn users_go_to_another_host() {
    let here = CliGateway::new();
    let exported = here.run(&words("user export --output users.toml"));
    assert_eq!(exported.status, 0, "{}", exported.err);
    assert_eq!(mode(&here.path("users.toml")), 0o600);
    assert_eq!(here.run(&words("user export --output users.toml")).status, 1, "nothing is overwritten");

    let there = CliGateway::new();
    there.run(&words("user remove alice --yes"));
    there.write("mailsudo.toml", &text(&there, "mailsudo.toml").replace("berlin", "paris"));
    let file = here.path("users.toml").display().to_string();
    let import = |more: &[&str]| there.run(&[&["user", "import", &file], more].concat());
    let dry = import(&["--dry-run"]);
    assert!(dry.out.contains("alice@example.com") && !dry.out.contains("otpauth"), "no secret is shown: {}", dry.out);
    let done = import(&["--yes"]);
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(done.out.contains("paris.alice.toml"), "a key file for the other gateway: {}", done.out);
    assert_eq!(text(&there, "secrets.d/alice.toml"), text(&here, "secrets.d/alice.toml"));
    assert_eq!(mode(&there.path("secrets.d/alice.toml")), 0o600);
    assert!(import(&["--yes"]).err.contains("--replace"));
    assert_eq!(import(&["--yes", "--replace"]).out, "nothing to change\n");

    // The user signs for the other gateway with the key file that was made there.
    let phone = here.path("phone").display().to_string();
    let request = there.run(&[
        "sign",
        "say",
        "--key",
        "paris.alice.toml",
        "--totp-secret-file",
        &phone,
        "--eml",
        "--from",
        "alice@example.com",
    ]);
    assert!(there.run_with(&["deliver"], &request.out).out.contains("heard: nothing"), "{}", request.err);

    for broken in ["", "x = 1", "gateway = \"g\"\n[users]\nbob = \"roles = 1\"\n[secrets]\nbob = \"hmac_key = 1\"\n"] {
        let said = there.run_with(&["user", "import", "-", "--yes"], broken);
        assert_eq!(said.status, 1, "{broken}: {}", said.err);
        assert!(!said.err.contains("hmac_key = 1"), "{}", said.err);
    }
    assert!(!there.path("users.d/bob.toml").exists());
}

#[test]
fn a_restored_ledger_runs_nothing_again() {
    let gateway = CliGateway::new();
    let before = gateway.eml(&["say", "what=before"]);
    assert!(gateway.run_with(&["deliver"], &before).out.contains("heard: before"));
    assert_eq!(gateway.run(&words("ledger backup copy.db")).status, 0);
    let after = gateway.eml(&["help"]);
    gateway.run_with(&["deliver"], &after);

    assert!(gateway.run(&words("ledger restore copy.db --dry-run")).out.contains("would be put"));
    let done = gateway.run(&words("ledger restore copy.db --yes"));
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(done.out.contains("has 1 request;") && done.out.contains("before-restore"), "{}", done.out);
    assert_eq!(mode(&gateway.path("ledger/ledger.db")), 0o600);
    let known = gateway.run_with(&["deliver"], &before);
    assert!(known.err.contains("reason=duplicate"), "what the copy has is answered as before: {}", known.err);
    let lost = gateway.run_with(&["deliver"], &after);
    assert!(lost.err.contains("event=refused") && !lost.err.contains("event=started"), "{}", lost.err);
    let fresh = gateway.run_with(&["deliver"], &gateway.eml(&["say", "what=fresh"]));
    assert!(!fresh.err.contains("event=started"), "signed before the watermark: {}", fresh.err);

    // Without a ledger there is nothing to keep, and the watermark is now.
    fs::remove_dir_all(gateway.path("ledger")).expect("removed");
    fs::create_dir(gateway.path("ledger")).expect("a folder");
    fs::set_permissions(gateway.path("ledger"), fs::Permissions::from_mode(0o700)).expect("a mode");
    assert_eq!(gateway.run(&words("ledger restore copy.db --yes")).status, 0);
    assert!(gateway.run(&words("log")).out.contains("say what=before"));
    let status = gateway.run(&words("ledger status"));
    for (name, content) in [("nothing.db", ""), ("text.db", "not a ledger\n")] {
        gateway.write(name, content);
        let said = gateway.run(&["ledger", "restore", name, "--yes"]);
        assert_eq!(said.status, 1, "{name}: {}", said.out);
    }
    assert_eq!(gateway.run(&words("ledger status")).out, status.out, "a refused copy changes nothing");
    let left = fs::read_dir(gateway.path("ledger")).expect("the folder").flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains("restore-")));
}

#[test]
fn a_key_file_is_imported_with_the_right_mode() {
    let gateway = CliGateway::new();
    assert!(gateway.run(&words("key list")).err.contains("mailsudo key import"));
    fs::set_permissions(gateway.path("alice.key"), fs::Permissions::from_mode(0o644)).expect("a mode");
    let done = gateway.run(&words("key import alice.key"));
    assert_eq!(done.status, 0, "{}", done.err);
    let there = gateway.path(".config/mailsudo/berlin.toml");
    assert_eq!((mode(&there), mode(there.parent().expect("a folder"))), (0o600, 0o700));
    assert!(done.out.contains("rm alice.key"), "{}", done.out);
    let list = gateway.run(&words("key list")).out;
    assert!(list.starts_with("FINGERPRINT ") && list.contains("ops@example.com"), "{list}");
    let all: Value = serde_json::from_str(&gateway.run(&words("key list --json")).out).expect("JSON");
    assert_eq!(all[0]["user"], "alice");
    assert_eq!(gateway.run(&words("key import alice.key")).status, 0, "the same once more");
    let other = text(&gateway, "alice.key").replace("alice", "bob");
    gateway.write("bob.key", &other);
    assert!(gateway.run(&words("key import bob.key")).err.contains("--replace"));
    assert!(fs::read_to_string(&there).expect("a file").contains("alice"));
    assert_eq!(gateway.run(&words("key import bob.key --replace")).status, 0);
    assert!(gateway.run(&words("key import mailsudo.toml")).err.contains("must hold exactly"));
    assert!(gateway.run(&words("key import nowhere")).err.starts_with("mailsudo: cannot read nowhere: No such file"));
    // It needs nothing more: sign finds it.
    assert!(gateway.run(&words("sign say --totp-secret-file phone")).out.contains("user: bob"));
}

/// The reply is found by its request's id, in a Maildir or an mbox file, and checked like `verify` does.
#[test]
fn a_sent_request_waits_for_its_reply() {
    let gateway = CliGateway::new();
    // A mail system in one script: it delivers to the gateway, and the reply to the user's mailbox.
    let program = env!("CARGO_BIN_EXE_mailsudo");
    let sendmail = |deliver: &str| {
        gateway.program(
            "sendmail",
            &format!("#!/bin/sh\n{program} deliver --config . 2>/dev/null >reply || exit 1\n{deliver}\n"),
        );
    };
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(gateway.path(&format!("Maildir/{part}"))).expect("a folder");
    }
    gateway.write("Maildir/new/other", "Subject: another\n\ntext\n");
    let send = |what: &str, more: &[&str]| {
        let key = ["--key", "alice.key", "--totp-secret-file", "phone", "--send", "--sendmail", "./sendmail"];
        let wait = ["--from", "alice@example.com", "--wait-reply", "--reply-within", "1s"];
        gateway.run(&[&["sign", "say", what][..], &key, &wait, more].concat())
    };
    sendmail("cp reply Maildir/new/reply");
    let done = send("what=one", &["--mailbox", "Maildir"]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert!(done.out.starts_with("genuine: ") && done.out.contains("| heard: one"), "{}", done.out);

    // The client's settings name the mailbox once. The code of this moment was used, which the reply says.
    gateway.write("box", "From old@example.com Mon\nSubject: old\n\nold\n\n");
    let path = gateway.path("box").display().to_string();
    fs::create_dir_all(gateway.path(".config/mailsudo")).expect("a folder");
    gateway.write(".config/mailsudo/client.conf", &format!("mailbox = \"{path}\"\n"));
    sendmail("{ echo 'From ops@example.com Mon'; cat reply; echo; } >>box");
    let second = send("what=two", &[]);
    assert!(second.status == 0 && second.out.starts_with("genuine: "), "{}{}", second.out, second.err);

    sendmail("sed -i 's/gateway  berlin/gateway  paris/' reply; cp reply Maildir/new/altered");
    let altered = send("what=three", &["--mailbox", "Maildir"]);
    assert!(altered.status == 1 && altered.out.contains("altered"), "{}{}", altered.out, altered.err);
    sendmail(":");
    let none = send("what=four", &["--mailbox", "Maildir"]);
    assert!(none.status == 1 && none.err.contains("no reply came"), "{}{}", none.out, none.err);
    gateway.write(".config/mailsudo/client.conf", "colour = 1\n");
    assert!(send("what=five", &[]).err.contains("it has the key mailbox or the section [imap]"));
    assert_eq!(gateway.run(&["sign", "say", "--wait-reply"]).status, 64, "it needs --send");
    // Before anything is sent, and before the code is used.
    gateway.write("imap-password", "secret\n");
    fs::set_permissions(gateway.path("imap-password"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let file = gateway.path("imap-password").display().to_string();
    let imap = format!("[imap]\nserver = \"127.0.0.1\"\nport = 9\nlogin = \"alice\"\npassword_file = \"{file}\"\n");
    gateway.write(".config/mailsudo/client.conf", &imap);
    sendmail("touch sent");
    let unreached = send("what=six", &[]);
    assert!(unreached.status == 1 && unreached.err.contains("127.0.0.1 port 9"), "{}", unreached.err);
    assert!(!unreached.err.contains("secret") && !gateway.path("sent").exists(), "{}", unreached.err);
}
