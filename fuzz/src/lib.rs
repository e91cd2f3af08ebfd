//! What the fuzz targets share: a gateway on disk, alice's key, and a request that is signed with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mailsudo::config::{Gateway, Trusted};
use mailsudo::encryption::Encryption;
use mailsudo::error::Stop;
use mailsudo::intake::{Envelope, Message, receive};
use mailsudo::limits::Timeouts;
use mailsudo::protocol::{
    Arguments, Code, CommandName, GatewayName, Key, ParameterName, Timestamp, UnsignedRequest, UserName,
};

/// Alice's key, which is that of `tests/vectors.json`.
pub const KEY: &str = "8f1d2c3b4a5968778695a4b3c2d1e0f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

const SETTINGS: &str = "gateway = \"berlin\"\naddress = \"ops@example.com\"\n[execution]\nrun_via = \"direct\"\n";

/// Parameters of every kind, in every place of an argument.
const COMMAND: &str = r#"
summary = "Every kind of parameter"
run_as = "root"
argv = ["/bin/true", "{one}", "--level={level}", "x{free}y{one}", "{free}", "--", "{{{level}}}"]
[parameters.one]
one_of = ["nginx", "php8.2-fpm", "two words", "-dash"]
[parameters.level]
integer = { min = -5, max = 65535 }
[parameters.free]
pattern = "^.*$"
max_length = 1000
[allow.web]
"#;

/// The folder of this process's gateway; `make fuzz` removes it with all of its TMPDIR.
pub static HOME: LazyLock<PathBuf> = LazyLock::new(|| {
    let home = std::env::temp_dir().join(format!("mailsudo-fuzz-{}", std::process::id()));
    for name in ["users.d", "secrets.d", "commands.d"] {
        fs::create_dir_all(home.join(name)).expect("a folder");
    }
    write(&home.join("mailsudo.toml"), SETTINGS);
    write(&home.join("commands.d/all.toml"), COMMAND);
    write(&home.join("users.d/alice.toml"), "address = \"alice@example.com\"\nroles = [\"web\"]\n");
    let totp = "otpauth://totp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
    write(&home.join("secrets.d/alice.toml"), format!("hmac_key = \"{KEY}\"\ntotp = \"{totp}\"\n"));
    home
});

/// Writes a file that a gateway would trust.
pub fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// The gateway.
pub static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| Gateway::open(&HOME, Trusted::caller()).expect("a gateway"));

/// Reads a message as the gateway does; it has no key that decrypts.
///
/// # Errors
///
/// The refusal or deferral that ends it.
pub fn received(bytes: &[u8]) -> Result<Message, Stop> {
    let encryption = Encryption::new(&GATEWAY, &Timeouts::DEFAULT);
    receive(&mut &*bytes, &Envelope::default(), &GATEWAY, &encryption)
}

/// Alice's key.
pub fn key() -> Key {
    Key::from_hex(KEY).expect("a key")
}

/// What alice signs.
pub fn unsigned(arguments: Arguments) -> UnsignedRequest {
    UnsignedRequest {
        gateway: GatewayName::try_from("berlin").expect("a name"),
        user: UserName::try_from("alice").expect("a name"),
        time: Timestamp::parse("2026-11-23T10:15:00Z").expect("a time"),
        code: Code::parse("556712").expect("a code"),
        command: CommandName::try_from("all").expect("a name"),
        arguments,
        payload: None,
    }
}

/// The name of a parameter.
pub fn name(text: &str) -> ParameterName {
    ParameterName::try_from(text).expect("a name")
}
