//! The first command that setup offers. In: the answer. Out: a name and the values of its file.

use std::path::PathBuf;
use std::str::FromStr;

use crate::config::BUILT_IN;
use crate::edit::{CommandEdit, Limit, NewParameter};
use crate::protocol::{CommandName, ParameterName};

/// The first command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstCommand {
    /// None.
    None,
    /// How full the file systems are.
    Disk,
    /// The restart of a service.
    Restart(String),
    /// A program of the sysadmin's own.
    Script(PathBuf),
}

impl FromStr for FirstCommand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORMS: &str = "write disk, restart:SERVICE, script:/ABSOLUTE/PATH or none";
        let is_unit = |name: &str| {
            !name.is_empty()
                && !name.starts_with('-')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "@._-".contains(c))
        };
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "disk" => Ok(Self::Disk),
            Some(("restart", service)) if is_unit(service) => Ok(Self::Restart(service.to_owned())),
            Some(("script", path)) if path.starts_with('/') && !path.contains(char::is_whitespace) => {
                Ok(Self::Script(path.into()))
            }
            _ => Err(FORMS.to_owned()),
        }
    }
}

impl std::fmt::Display for FirstCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Disk => f.write_str("disk"),
            Self::Restart(service) => write!(f, "restart:{service}"),
            Self::Script(path) => write!(f, "script:{}", path.display()),
        }
    }
}

impl FirstCommand {
    /// Its name and the values of its file, for `role`; `None` for no command.
    ///
    /// # Errors
    ///
    /// The role or a name is not one.
    pub(super) fn edit(&self, role: &str) -> anyhow::Result<Option<(CommandName, CommandEdit)>> {
        let allow = vec![Limit::parse(role)?];
        let (name, edit) = match self {
            Self::None => return Ok(None),
            Self::Disk => {
                let edit = CommandEdit {
                    summary: Some("How full the file systems of this host are".to_owned()),
                    argv: Some("/usr/bin/df -h --local".to_owned()),
                    run_as: Some("nobody".to_owned()),
                    timeout: Some("10s".to_owned()),
                    exclusive: Some(false),
                    ..CommandEdit::default()
                };
                ("disk".to_owned(), edit)
            }
            Self::Restart(service) => {
                let edit = CommandEdit {
                    summary: Some("Restart a service".to_owned()),
                    argv: Some("/usr/bin/systemctl restart {service}".to_owned()),
                    run_as: Some("root".to_owned()),
                    timeout: Some("1m".to_owned()),
                    parameters: vec![NewParameter::parse(&format!("service=one_of:{service}"))?],
                    defaults: vec![(ParameterName::try_from("service")?, service.clone())],
                    ..CommandEdit::default()
                };
                ("restart".to_owned(), edit)
            }
            Self::Script(path) => {
                let path = path.display().to_string();
                let edit = CommandEdit {
                    summary: Some(format!("Run {path}")),
                    argv: Some(path.clone()),
                    run_as: Some("root".to_owned()),
                    ..CommandEdit::default()
                };
                (name_of(&path), edit)
            }
        };
        Ok(Some((CommandName::try_from(name)?, CommandEdit { allow, ..edit })))
    }
}

/// A command's name after a program: its file's name without an ending, in lower case.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    let stem = file.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let plain: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let plain = plain.trim_matches(['-', '_']);
    if plain.is_empty() || BUILT_IN.contains(&plain) { "script".to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_become_commands() {
        for (text, name) in
            [("disk", "disk"), ("restart:nginx", "restart"), ("script:/usr/local/bin/Do-It.sh", "do-it")]
        {
            let first: FirstCommand = text.parse().expect("an answer");
            assert_eq!(first.edit("ops").expect("an edit").expect("a command").0.as_str(), name);
        }
        assert_eq!("none".parse(), Ok(FirstCommand::None));
        for text in ["", "restart", "restart:", "restart:-x", "restart:a b", "script:x", "script:/a b", "reboot"] {
            assert!(text.parse::<FirstCommand>().is_err(), "{text}");
        }
        for (path, name) in
            [("/opt/start+now", "start-now"), ("/opt/_x_.py", "x"), ("/opt/--", "script"), ("/opt/.hidden", "script")]
        {
            assert_eq!(name_of(path), name, "{path}");
        }
        for taken in BUILT_IN {
            assert_eq!(name_of(&format!("/usr/bin/{taken}")), "script");
        }
    }
}
