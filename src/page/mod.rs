//! The page that users sign, approve and check with: one HTML file, made from `page/` by `page/build.mjs`. In: a
//! gateway, and whose page it is. Out: the file's text, with the gateway's name, its address and the permitted commands
//! in it as JSON.
//!
//! MUST: no secret is in it. No value can end the element that it is in: what HTML reads is escaped as JSON escapes it.

mod served;

use serde::Serialize;

pub use served::{ServedFile, served};

use crate::authorize::is_visible;
use crate::config::{Approval, Command, ConfigError, Gateway, Kind, MailAddress, Parameter, Settings, User};
use crate::ordered;
use crate::protocol::{ParameterName, RequestId, UserName, is_unsafe};

/// The page without data. A test compares it with a new build of `page/`.
const HTML: &str = include_str!("../../page/built.html");

/// Where the data goes. It is there once.
const PLACE: &str = r#"<script type="application/json" id="data">"#;

/// Whose page it is.
#[derive(Debug)]
pub struct Owner<'o> {
    /// The user, if it is a page for one user only.
    user: Option<&'o UserName>,
    /// The address that the user sends from.
    from: Option<&'o MailAddress>,
    /// The roles whose commands it offers.
    roles: &'o [String],
    /// The user and the name, to find what they may approve.
    approver: Option<(&'o UserName, &'o User)>,
}

impl<'o> Owner<'o> {
    /// The page is for this user.
    pub fn of(name: &'o UserName, user: &'o User) -> Self {
        Self { user: Some(name), from: user.from.first(), roles: &user.roles, approver: Some((name, user)) }
    }

    /// The page is for every user with one of these roles.
    pub fn with(roles: &'o [String]) -> Self {
        Self { user: None, from: None, roles, approver: None }
    }

    /// Whether each of the user's requests needs an SSH signature, which a browser cannot make.
    fn needs_signature(&self) -> bool {
        self.approver.is_some_and(|(_, user)| user.ssh.require_signature)
    }

    fn may_approve(&self, command: &Command) -> bool {
        let terms = command.approval.as_ref();
        self.approver.zip(terms).is_some_and(|((name, user), terms)| terms.permits(name, user))
    }
}

/// The data of a page; `page/src/commands.js` reads it.
#[derive(Serialize)]
struct Data<'d> {
    version: u32,
    gateway: &'d str,
    address: &'d str,
    user: Option<&'d str>,
    from: Option<&'d str>,
    /// The most bytes of a file that is attached.
    max_file: u64,
    commands: Vec<Offer<'d>>,
    /// What the page cannot sign.
    #[serde(skip_serializing_if = "Signatures::is_empty")]
    ssh: Signatures<'d>,
}

/// What needs an SSH signature: the page says so, and what signs it.
#[derive(Serialize, Default, PartialEq)]
struct Signatures<'d> {
    /// Each request of the user.
    always: bool,
    /// The names of the commands that the owner may run.
    commands: Vec<&'d str>,
    /// The names of the commands that the user may approve.
    approvals: Vec<&'d str>,
}

impl Signatures<'_> {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Serialize)]
struct Offer<'d> {
    name: &'d str,
    summary: &'d str,
    parameters: Vec<Field<'d>>,
    /// For each role, the values that it may give.
    permits: Vec<serde_json::Map<String, serde_json::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Input>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Asks>,
}

/// What a command with `[approval]` needs besides its parameters.
#[derive(Serialize)]
struct Asks {
    /// Who must approve it: `1 of carol, role:oncall`. None for a holder of a role in `except`, who runs it at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Whether a reason must be given.
    reason: bool,
}

/// What the command takes on standard input.
#[derive(Serialize)]
struct Input {
    max: u64,
    required: bool,
}

#[derive(Serialize)]
struct Field<'d> {
    name: &'d str,
    #[serde(flatten)]
    kind: FieldKind<'d>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'d str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
    /// Whether the value is hidden while it is typed, and kept nowhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    secret: bool,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum FieldKind<'d> {
    OneOf {
        values: Vec<&'d str>,
    },
    /// As text, because JavaScript's numbers are exact up to 2^53 only.
    Integer {
        min: String,
        max: String,
    },
    Pattern {
        pattern: &'d str,
        /// The same in JavaScript, where it says the same.
        test: Option<String>,
        max_length: usize,
    },
}

/// What the mail of a request needs besides the attached file, which base64 makes longer by little more than a third.
const REST_OF_MAIL: u64 = 32 * 1024;

/// The page of `gateway` for `owner`.
///
/// # Errors
///
/// A command's file cannot be read.
pub fn html(gateway: &Gateway, owner: &Owner<'_>) -> Result<String, ConfigError> {
    let mut commands = Vec::new();
    for name in gateway.command_names()? {
        commands.extend(gateway.command(&name)?);
    }
    Ok(filled(gateway.settings(), &commands, owner))
}

fn filled(settings: &Settings, commands: &[Command], owner: &Owner<'_>) -> String {
    // A request that needs an SSH signature is not offered: a browser cannot make one.
    let offered = commands.iter().filter(|command| is_visible(command, owner.roles) && !command.require_signature);
    let offered = offered.map(|command| offer(command, owner.roles)).chain(built_in());
    let signed = |is_own: &dyn Fn(&Command) -> bool| {
        commands
            .iter()
            .filter(|command| command.require_signature && is_own(command))
            .map(|command| command.name.as_str())
            .collect()
    };
    let data = Data {
        version: 1,
        gateway: settings.gateway.as_str(),
        address: settings.address.as_str(),
        user: owner.user.map(UserName::as_str),
        from: owner.from.map(MailAddress::as_str),
        max_file: settings.limits.message.bytes().saturating_sub(REST_OF_MAIL) / 3 * 2,
        commands: if owner.needs_signature() { Vec::new() } else { offered.collect() },
        ssh: Signatures {
            always: owner.needs_signature(),
            commands: signed(&|command| is_visible(command, owner.roles)),
            approvals: signed(&|command| owner.may_approve(command)),
        },
    };
    // Writing to memory does not fail; a page without data says that it is empty.
    let json = escaped(&serde_json::to_string(&data).unwrap_or_default());
    HTML.replacen(PLACE, &format!("{PLACE}{json}"), 1)
}

/// JSON that can stand in a `script` element, and in which no character hides. All of these stand within strings of the
/// JSON.
fn escaped(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if "<>&".contains(c) || is_unsafe(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| safe.push_str(&format!("\\u{unit:04x}")));
        } else {
            safe.push(c);
        }
    }
    safe
}

fn offer<'d>(command: &'d Command, roles: &'d [String]) -> Offer<'d> {
    let limits = roles.iter().filter_map(|role| command.allow.get(role));
    // A value that no role of the owner may give is not in the page.
    let may_give = |name: &ParameterName, value: &String| {
        let mut limits = roles.iter().filter_map(|role| command.allow.get(role));
        limits.any(|limits| limits.get(name).is_none_or(|given| given.contains(value)))
    };
    let parameters = command.parameters.iter().map(|(name, parameter)| Field {
        name: name.as_str(),
        kind: kind(parameter, |value| may_give(name, value)),
        default: parameter.default.as_ref().filter(|value| may_give(name, value)).map(String::as_str),
        optional: false,
        secret: parameter.secret,
    });
    let permit = |given: &std::collections::BTreeMap<ParameterName, Vec<String>>| {
        ordered::collect(given.iter().map(|(name, values)| (name.to_string(), values.as_slice().into())))
    };
    Offer {
        name: command.name.as_str(),
        summary: &command.summary,
        parameters: parameters.collect(),
        permits: limits.map(permit).collect(),
        payload: command.payload.as_ref().map(|rule| Input { max: rule.max.bytes(), required: rule.required }),
        approval: command.approval.as_ref().map(|terms| asks(terms, roles)),
    }
}

fn asks(terms: &Approval, roles: &[String]) -> Asks {
    let by = match terms.exception(roles) {
        Some(_) => None,
        None => Some(format!("{} of {}", terms.needed, terms.approvers())),
    };
    Asks { by, reason: terms.reason }
}

fn kind(parameter: &Parameter, may_give: impl Fn(&String) -> bool) -> FieldKind<'_> {
    match &parameter.kind {
        Kind::OneOf(values) => {
            FieldKind::OneOf { values: values.iter().filter(|value| may_give(value)).map(String::as_str).collect() }
        }
        Kind::Integer { min, max } => FieldKind::Integer { min: min.to_string(), max: max.to_string() },
        Kind::Pattern(pattern, longest) => {
            FieldKind::Pattern { pattern: pattern.source(), test: pattern.to_javascript(), max_length: *longest }
        }
    }
}

/// What every user may ask for. The page has a form of its own to approve or deny a request: it needs the notice.
fn built_in() -> [Offer<'static>; 4] {
    let id = |digits: usize| FieldKind::Pattern {
        pattern: if digits == RequestId::SHORT { "^[0-9a-f]{12}$" } else { "^[0-9a-f]{64}$" },
        test: Some(format!("[0-9a-f]{{{digits}}}")),
        max_length: digits,
    };
    let field = |kind, optional| vec![Field { name: "id", kind, default: None, optional, secret: false }];
    let offer = |name, summary, parameters| Offer {
        name,
        summary,
        parameters,
        permits: vec![serde_json::Map::new()],
        payload: None,
        approval: None,
    };
    [
        offer("help", "List what you may do", Vec::new()),
        offer(
            "status",
            "What became of your latest request, or of the one with this id",
            field(id(RequestId::SHORT), true),
        ),
        offer("pending", "What waits for your approval, and what of yours waits", Vec::new()),
        offer("cancel", "Take back a request of yours, or your approval, that has not run", field(id(64), false)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_has_one_place() {
        assert_eq!(HTML.matches(PLACE).count(), 1);
        assert!(HTML.contains(&format!("{PLACE}</script>")));
        assert!(!HTML.chars().any(|c| c != '\n' && is_unsafe(c)), "it is printed as it stands");
    }

    #[test]
    fn no_value_ends_the_element() {
        let json = serde_json::to_string("</script><!--<script>&\u{202e}\u{2028}\u{1f512}").expect("JSON");
        let safe = escaped(&json);
        assert!(!safe.contains(['<', '>', '&', '\u{202e}', '\u{2028}']), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).ok(), serde_json::from_str(&json).ok());
    }
}
