//! The gateway's commands: programs that leave a trace, and the files that allow them. They are installed beside the
//! example commands, so that the sudo rules have those too.

use crate::process;

/// Role `operator` may use every command here but `forbidden`.
pub(crate) const ROLE: &str = "operator";
pub(crate) const NOTES: &str = "/srv/notes";
pub(crate) const LEVELS: &str = "/srv/levels";
pub(crate) const OUTLIVE_PID: &str = "/srv/outlive.pid";
pub(crate) const HELD: &str = "/srv/held";
pub(crate) const HOLD_GO: &str = "/srv/hold.go";
pub(crate) const FORBIDDEN: &str = "/srv/forbidden";
/// While it is there, `alone` does not end.
pub(crate) const GATE: &str = "/srv/gate";
/// Which runs of `alone` have begun, a number on each line.
pub(crate) const PASSED: &str = "/srv/passed";
/// Which runs began while another one ran.
pub(crate) const INTRUDERS: &str = "/srv/intruders";

struct Entry {
    name: &'static str,
    toml: &'static str,
    /// Whether every argument can be listed: sudo-rs knows no regular expressions.
    enumerable: bool,
}

const COMMANDS: [Entry; 8] = [
    Entry {
        name: "whoami",
        toml: r#"
summary = "Say as whom commands run"
run_as  = "worker:worker"
argv    = ["/usr/bin/id"]
[allow.operator]
"#,
        enumerable: true,
    },
    Entry {
        name: "note",
        toml: r#"
summary = "Add a line to the notes"
run_as  = "root"
argv    = ["/usr/local/libexec/append", "/srv/notes", "{text}"]
[parameters.text]
pattern    = "^[a-z0-9]+$"
max_length = 40
[allow.operator]
"#,
        enumerable: false,
    },
    Entry {
        name: "level",
        toml: r#"
summary = "Note a level"
run_as  = "worker"
argv    = ["/usr/local/libexec/append", "/srv/levels", "{name}={level}"]
[parameters.name]
one_of = ["heat", "light"]
[parameters.level]
integer = { min = 1, max = 20 }
[allow.operator]
"#,
        enumerable: true,
    },
    Entry {
        name: "outlive",
        toml: r#"
summary = "Go on for an hour and ignore SIGTERM"
run_as  = "root"
argv    = ["/usr/local/libexec/outlive"]
timeout = "1s"
[allow.operator]
"#,
        enumerable: true,
    },
    Entry {
        name: "hold",
        toml: r#"
summary = "Go on until let go"
run_as  = "root"
argv    = ["/usr/local/libexec/hold"]
timeout = "5m"
[allow.operator]
"#,
        enumerable: true,
    },
    Entry {
        name: "alone",
        toml: r#"
summary = "Pass a gate, one at a time"
run_as  = "root"
argv    = ["/usr/local/libexec/alone", "{number}"]
timeout = "5m"
[parameters.number]
integer = { min = 1, max = 99 }
[allow.operator]
"#,
        enumerable: true,
    },
    Entry {
        name: "linger",
        toml: r#"
summary = "Pass a gate, beside others"
run_as  = "root"
argv    = ["/usr/local/libexec/alone", "linger"]
timeout = "5m"
exclusive = false
[allow.operator]
"#,
        enumerable: true,
    },
    Entry {
        name: "forbidden",
        toml: r#"
summary = "For others"
run_as  = "root"
argv    = ["/usr/bin/touch", "/srv/forbidden"]
[allow.director]
"#,
        enumerable: true,
    },
];

const PROGRAMS: [(&str, &str); 4] = [
    ("append", "printf '%s\\n' \"$2\" >>\"$1\"\n"),
    ("outlive", "trap '' TERM\necho $$ >/srv/outlive.pid\nexec sleep 3600\n"),
    ("hold", "echo held >>/srv/held\nuntil [ -e /srv/hold.go ]; do sleep 0.1; done\n"),
    (
        "alone",
        "mkdir /srv/inside || echo $1 >>/srv/intruders\necho $1 >>/srv/passed\n\
         while [ -e /srv/gate ]; do sleep 0.05; done\nsleep 0.1\nrmdir /srv/inside\n",
    ),
];

/// Installs the programs and their traces' files.
pub(crate) fn install_programs() {
    for (name, body) in PROGRAMS {
        let path = format!("/usr/local/libexec/{name}");
        process::write(path, 0o755, &format!("#!/bin/sh\n{body}"));
    }
    // Written to by another user than root.
    process::write(LEVELS, 0o666, "");
}

/// Writes the command files into a folder: all, or those with enumerable arguments.
pub(crate) fn write(folder: &str, only_enumerable: bool) {
    for entry in COMMANDS {
        if entry.enumerable || !only_enumerable {
            process::write(format!("{folder}/{}.toml", entry.name), 0o644, entry.toml);
        }
    }
}
