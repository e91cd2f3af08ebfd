//! The gateway's files: any text is accepted or refused, an error repeats no secret, and a command that is accepted
//! gives a sudoers fragment of known lines. The first byte says which file the rest is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::protocol::{CommandName, UserName};
use mailsudo::sudoers::{Dialect, fragment};
use mailsudo_fuzz::{GATEWAY, HOME, KEY, write};

fuzz_target!(|bytes: &[u8]| {
    let Some((which, text)) = bytes.split_first() else {
        return;
    };
    let gateway = &*GATEWAY;
    let user = UserName::try_from("fuzz").expect("a name");
    match which % 4 {
        0 => {
            let folder = HOME.join("other");
            let _ = std::fs::create_dir(&folder);
            write(&folder.join("mailsudo.toml"), text);
            if let Err(error) = Gateway::open(&folder, Trusted::caller()) {
                assert!(error.to_string().contains("mailsudo.toml"), "{error}");
            }
        }
        1 => {
            write(&HOME.join("users.d/fuzz.toml"), text);
            let _ = gateway.user(&user).map_err(|error| error.to_string());
        }
        2 => {
            write(&HOME.join("secrets.d/fuzz.toml"), text);
            if let Err(error) = gateway.secrets(&user) {
                assert!(!error.to_string().contains(&KEY[..12]), "{error}");
            }
        }
        _ => {
            write(&HOME.join("commands.d/fuzz.toml"), text);
            let name = CommandName::try_from("fuzz").expect("a name");
            let Ok(Some(command)) = gateway.command(&name) else {
                return;
            };
            for dialect in [Dialect::Sudo, Dialect::SudoRs] {
                let known = ["#", "mailsudo ALL = ("];
                if let Ok(text) = fragment(std::slice::from_ref(&command), gateway.settings(), dialect) {
                    for line in text.lines().filter(|line| !line.is_empty()) {
                        assert!(known.iter().any(|start| line.starts_with(start)), "{line}");
                    }
                }
            }
        }
    }
});
