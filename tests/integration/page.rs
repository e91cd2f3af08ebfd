//! The users' page as the program writes it, and the fingerprint of a key. What the page does in a browser is tested in
//! `page/test/`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::cli::{CliGateway, mode};
use mailsudo::protocol::{Key, is_unsafe};

const PLACE: &str = r#"<script type="application/json" id="data">"#;

/// The data in a page.
fn data(html: &str) -> Value {
    let (_, rest) = html.split_once(PLACE).expect("the place of the data");
    let (json, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(json).expect("JSON")
}

fn names(data: &Value) -> Vec<&str> {
    data["commands"].as_array().expect("commands").iter().filter_map(|command| command["name"].as_str()).collect()
}

/// A gateway whose files hold what could break out of an element.
fn hostile_gateway() -> CliGateway {
    let test_gateway = CliGateway::new();
    test_gateway.write(
        "commands.d/restart.toml",
        "summary = \"</script><script>alert(1)</script><!-- & </title>\"\nrun_as = \"nobody\"\n\
         argv = [\"/bin/echo\", \"{service}\", \"{level}\", \"{text}\"]\n\
         [parameters.service]\none_of = [\"nginx\", \"</script>\", \"my\u{202e}sql\"]\n\
         [parameters.level]\ninteger = { min = -9223372036854775808, max = 9223372036854775807 }\ndefault = 3\n\
         [parameters.text]\npattern = \"^[<>/a-z]+$\"\nmax_length = 9\n\
         [allow.web]\nservice = [\"nginx\", \"</script>\"]\n[allow.oncall]\n",
    );
    test_gateway.write(
        "commands.d/load.toml",
        "summary = \"Load\"\nrun_as = \"nobody\"\nargv = [\"/bin/cat\"]\n[payload]\nmax = \"1KiB\"\nrequired = true\n[allow.web]\n",
    );
    let secret = "summary = \"Not for alice\"\nrun_as = \"nobody\"\nargv = [\"/bin/true\"]\n[allow.oncall]\n";
    test_gateway.write("commands.d/secret.toml", secret);
    test_gateway
}

#[test]
fn a_page_offers_what_the_users_roles_permit_and_holds_no_secret() {
    let test_gateway = hostile_gateway();
    let html = test_gateway.run(&["page", "--user", "alice"]).out;
    let data = data(&html);
    assert_eq!(data["gateway"], "berlin");
    assert_eq!(data["address"], "ops@example.com");
    assert_eq!((&data["user"], &data["from"]), (&"alice".into(), &"alice@example.com".into()));
    assert_eq!(names(&data), ["load", "restart", "say", "help", "status", "pending", "cancel"]);
    assert_eq!(data["commands"][0]["payload"], serde_json::json!({ "max": 1024, "required": true }));
    let restart = &data["commands"][1];
    let parameters = restart["parameters"].as_array().expect("parameters");
    assert_eq!(parameters[0]["max"], "9223372036854775807", "exact, as text");
    assert_eq!(parameters[1]["values"], serde_json::json!(["nginx", "</script>"]), "not what only others may give");
    assert_eq!(restart["permits"], serde_json::json!([{ "service": ["nginx", "</script>"] }]));
    for file in ["alice.key", "secrets.d/alice.toml", "phone"] {
        let text = fs::read_to_string(test_gateway.path(file)).expect("a secret");
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= 32) {
            assert!(!html.contains(word), "{file}");
        }
    }
}

#[test]
fn no_value_of_the_configuration_becomes_html() {
    let test_gateway = hostile_gateway();
    let html = test_gateway.run(&["page", "--user", "alice"]).out;
    let (before, rest) = html.split_once(PLACE).expect("the place of the data");
    let (json, after) = rest.split_once("</script>").expect("its end");
    assert!(!json.contains(['<', '>', '&']) && !json.chars().any(is_unsafe), "{json}");
    let empty = include_str!("../../page/built.html");
    assert_eq!(format!("{before}{PLACE}</script>{after}"), empty, "all else is the page as it was built");
}

#[test]
fn a_page_for_roles_or_for_nobody_names_no_user() {
    let test_gateway = hostile_gateway();
    let all = data(&test_gateway.run(&["page", "--role", "web", "--role", "oncall"]).out);
    assert_eq!(names(&all), ["load", "restart", "say", "secret", "help", "status", "pending", "cancel"]);
    assert!(all["user"].is_null() && all["from"].is_null());
    let none = data(&test_gateway.run(&["page"]).out);
    assert_eq!(names(&none), ["help", "status", "pending", "cancel"]);
    let unknown = test_gateway.run(&["page", "--role", "wbe"]);
    assert!(unknown.status == 1 && unknown.err.contains("mailsudo command list"), "{}", unknown.err);
    let unknown = test_gateway.run(&["page", "--user", "bob"]);
    assert!(unknown.status == 1 && unknown.err.contains("mailsudo user list"), "{}", unknown.err);
}

#[test]
fn a_command_with_approval_is_offered_with_its_reason_and_who_must_approve() {
    let test_gateway = hostile_gateway();
    let approval =
        "[approval]\nby = [\"carol\", \"role:oncall\"]\nneeded = 2\nreason = true\nexcept = [\"breakglass\"]\n";
    let file = |approval: &str| {
        let text = format!(
            "summary = \"Risky\"\nrun_as = \"nobody\"\nargv = [\"/bin/true\"]\n{approval}[allow.web]\n[allow.breakglass]\n"
        );
        test_gateway.write("commands.d/risky.toml", &text);
    };
    let offered = |role: &str| {
        let data = data(&test_gateway.run(&["page", "--role", role]).out);
        let all = data["commands"].as_array().expect("commands").clone();
        all.into_iter().find(|command| command["name"] == "risky").expect("risky")["approval"].clone()
    };
    file(approval);
    assert_eq!(offered("web"), serde_json::json!({ "by": "2 of carol, role:oncall", "reason": true }));
    assert_eq!(offered("breakglass"), serde_json::json!({ "reason": true }), "nobody is asked");
    file(&approval.replace("reason = true\n", ""));
    assert_eq!(offered("web"), serde_json::json!({ "by": "2 of carol, role:oncall", "reason": false }));
    file("");
    assert_eq!(offered("web"), Value::Null);
}

#[test]
fn a_secret_parameter_is_marked_in_the_page() {
    let test_gateway = hostile_gateway();
    let parameter =
        |secret: &str| format!("[parameters.word]\npattern = \"^[a-z]+$\"\nmax_length = 9\n{secret}[allow.web]\n");
    let file = "summary = \"Login\"\nrun_as = \"nobody\"\nargv = [\"/bin/echo\", \"{word}\"]\n";
    for (secret, expected) in [("secret = true\n", Value::Bool(true)), ("", Value::Null)] {
        test_gateway.write("commands.d/login.toml", &format!("{file}{}", parameter(secret)));
        let data = data(&test_gateway.run(&["page", "--user", "alice"]).out);
        let all = data["commands"].as_array().expect("commands");
        let login = all.iter().find(|command| command["name"] == "login").expect("login");
        assert_eq!(login["parameters"][0]["secret"], expected);
    }
}

#[test]
fn what_needs_an_ssh_signature_is_not_offered() {
    let test_gateway = hostile_gateway();
    let text = fs::read_to_string(test_gateway.path("commands.d/say.toml")).expect("a command");
    test_gateway.write("commands.d/say.toml", &format!("require_signature = true\n{text}"));
    let said = test_gateway.run(&["page", "--user", "alice"]);
    assert_eq!(
        (names(&data(&said.out)), said.err.as_str()),
        (vec!["load", "restart", "help", "status", "pending", "cancel"], "")
    );
    let ssh = |said: &str| data(said)["ssh"].clone();
    assert_eq!(ssh(&said.out), serde_json::json!({ "always": false, "commands": ["say"], "approvals": [] }));
    assert_eq!(ssh(&test_gateway.run(&["page"]).out), Value::Null, "without a role nothing is named");
    let text = fs::read_to_string(test_gateway.path("commands.d/say.toml")).expect("a command");
    test_gateway
        .write("commands.d/say.toml", &text.replace("[allow.web]", "[approval]\nby = [\"alice\"]\n[allow.oncall]"));
    let said = test_gateway.run(&["page", "--user", "alice"]);
    assert_eq!(ssh(&said.out), serde_json::json!({ "always": false, "commands": [], "approvals": ["say"] }));
    let text = fs::read_to_string(test_gateway.path("users.d/alice.toml")).expect("a user");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBKv+nwN53YYSBIwZuyeYYwdaJCA28HOCYkC0zOIEsWN";
    test_gateway.write("users.d/alice.toml", &format!("{text}ssh_keys = [\"{key}\"]\nrequire_signature = true\n"));
    let said = test_gateway.run(&["page", "--user", "alice"]);
    assert_eq!((said.status, names(&data(&said.out)).len()), (0, 0), "{}", said.err);
    assert_eq!(ssh(&said.out)["always"], true);
    assert!(said.err.contains("`mailsudo sign` signs"), "{}", said.err);
}

#[test]
fn a_user_can_be_enrolled_with_a_page_and_a_qr_code() {
    let test_gateway = hostile_gateway();
    let line = ["user", "add", "bob", "--address", "b@example.com", "--role", "web", "--page", "bob.html", "--qr-key"];
    let said = test_gateway.run(&line);
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.out.contains('█'), "a QR code: {}", said.out);
    assert_eq!(mode(&test_gateway.path("bob.html")), 0o644);
    let html = fs::read_to_string(test_gateway.path("bob.html")).expect("a page");
    assert_eq!(data(&html)["user"], "bob");
    assert_eq!(html, test_gateway.run(&["page", "--user", "bob"]).out);
    let again = test_gateway.run(&["user", "add", "eve", "--address", "e@example.com", "--page", "bob.html"]);
    assert!(again.status == 1 && again.err.contains("bob.html exists already"), "{}", again.err);
    assert!(!test_gateway.path("users.d/eve.toml").exists());
}

#[test]
fn the_served_page_is_a_folder_of_four_files() {
    let test_gateway = hostile_gateway();
    let missing = test_gateway.run(&["page", "--served", "www"]);
    assert!(missing.status == 1 && missing.err.contains("install -d www"), "{}", missing.err);
    fs::create_dir(test_gateway.path("www")).expect("a folder");
    for _ in 0..2 {
        let said = test_gateway.run(&["page", "--user", "alice", "--served", "www"]);
        assert_eq!((said.status, said.out.lines().count()), (0, 4), "{}", said.err);
    }
    let read = |name: &str| fs::read_to_string(test_gateway.path("www").join(name)).expect("a file");
    let manifest: Value = serde_json::from_str(&read("manifest.webmanifest")).expect("JSON");
    assert_eq!(manifest["short_name"], "berlin");
    assert!(read("index.html").contains("worker-src 'self'") && !read("sw.js").contains('@'));
    assert_eq!(mode(&test_gateway.path("www/index.html")), 0o644);
}

#[test]
fn one_fingerprint_names_a_key_everywhere() {
    // page/test/core.test.mjs expects the same of the same key.
    let berlin = "cfa6654d7a1a7e08eea8e25d68e79ae6597cb9c3108be9c0913f3b9cb9d80d49";
    assert_eq!(Key::from_hex(berlin).expect("a key").fingerprint(), "e31c9efb5878ce34");
    let test_gateway = CliGateway::new();
    let added = test_gateway.run(&["user", "add", "bob", "--address", "b@example.com", "--key-file", "bob.key"]);
    let (_, rest) = added.out.split_once("fingerprint ").expect("a fingerprint");
    let shown = rest.get(..19).expect("16 digits in groups");
    assert!(test_gateway.run(&["user", "show", "bob"]).out.contains(shown));
    let json: Value = serde_json::from_str(&test_gateway.run(&["user", "show", "bob", "--json"]).out).expect("JSON");
    assert_eq!(json["fingerprint"].as_str(), Some(shown.replace(' ', "").as_str()));
    let key = test_gateway.run(&["key", "--key", "bob.key"]);
    assert!(key.out.lines().any(|line| line.starts_with(shown) && line.ends_with("bob.key")), "{}{}", key.out, key.err);
    let qr = test_gateway.run(&["key", "--key", "bob.key", "--qr"]).out;
    assert!(qr.contains('█') && qr.ends_with(&format!("bob at berlin, fingerprint {shown}\n")), "{qr}");
    let json: Value =
        serde_json::from_str(&test_gateway.run(&["key", "--key", "bob.key", "--json"]).out).expect("JSON");
    assert_eq!(json[0]["user"], "bob");
    let none = test_gateway.run(&["key"]);
    assert!(none.status == 1 && none.err.contains("--key FILE"), "{}", none.err);
    fs::set_permissions(test_gateway.path("bob.key"), fs::Permissions::from_mode(0o644)).expect("a mode");
    assert!(test_gateway.run(&["key", "--key", "bob.key"]).err.contains("chmod 600"));
}
