//! The commands that no file of commands.d describes, and the argument that they and approvals share.

/// The names of the built-in commands.
pub const BUILT_IN: [&str; 6] = ["help", "status", "approve", "deny", "cancel", "pending"];

/// The parameters of a built-in command; `None` where `name` is none.
pub fn built_in_parameters(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "help" | "pending" => &[],
        "status" | "cancel" => &["id"],
        "approve" => &["id", "digest"],
        "deny" => &["id", "digest", REASON],
        _ => return None,
    })
}

/// The argument by which a requester gives a reason to the approvers. It is no parameter of the command.
pub const REASON: &str = "reason";
