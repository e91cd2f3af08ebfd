//! A command's file: made new, or changed with the sysadmin's comments kept. In: a [`CommandEdit`]. Out: the text.

use anyhow::{Context, Result, bail, ensure};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, value};

use crate::protocol::ParameterName;

/// What is different in a command; `None` and an empty list leave it as it is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CommandEdit {
    /// The one line that describes it.
    pub summary: Option<String>,
    /// The program and its arguments, which white space separates.
    pub argv: Option<String>,
    /// `user` or `user:group`.
    pub run_as: Option<String>,
    /// Its time limit.
    pub timeout: Option<String>,
    /// How old a request may be.
    pub max_age: Option<String>,
    /// How much of its output is kept.
    pub output: Option<String>,
    /// Whether one run at a time is allowed.
    pub exclusive: Option<bool>,
    /// Parameters that are set.
    pub parameters: Vec<NewParameter>,
    /// Parameters whose values are secret.
    pub secrets: Vec<ParameterName>,
    /// Parameters that are removed, with what roles' limits say of them.
    pub without_parameters: Vec<ParameterName>,
    /// What parameters are where a request does not give them.
    pub defaults: Vec<(ParameterName, String)>,
    /// Roles that may run it, with the limits on their values.
    pub allow: Vec<Limit>,
    /// Roles that no longer may.
    pub revoke: Vec<String>,
}

/// A parameter as the command line has it: `NAME=one_of:A,B`, `NAME=integer:MIN..MAX` or
/// `NAME=pattern:REGEX:MAX_LENGTH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewParameter {
    name: ParameterName,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    OneOf(Vec<String>),
    Integer(i64, i64),
    Pattern(String, i64),
}

impl NewParameter {
    /// Reads the form that the command line has.
    ///
    /// # Errors
    ///
    /// It has another form; the error shows the right one.
    pub fn parse(text: &str) -> Result<Self> {
        const FORMS: &str = "write it as NAME=one_of:A,B or NAME=integer:MIN..MAX or NAME=pattern:REGEX:MAX_LENGTH";
        let (name, kind) = text.split_once('=').context(FORMS)?;
        let (word, rest) = kind.split_once(':').context(FORMS)?;
        let kind = match word {
            "one_of" => Kind::OneOf(rest.split(',').map(str::to_owned).collect()),
            "integer" => {
                let (min, max) = rest.split_once("..").context(FORMS)?;
                Kind::Integer(min.parse().context(FORMS)?, max.parse().context(FORMS)?)
            }
            "pattern" => {
                let (pattern, length) = rest.rsplit_once(':').context(FORMS)?;
                Kind::Pattern(pattern.to_owned(), length.parse().context(FORMS)?)
            }
            _ => bail!(FORMS),
        };
        Ok(Self { name: ParameterName::try_from(name)?, kind })
    }
}

/// A role with the values that it may give: `ROLE`, or `ROLE:NAME=A,B`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    role: String,
    values: Option<(ParameterName, Vec<String>)>,
}

impl Limit {
    /// Reads the form that the command line has.
    ///
    /// # Errors
    ///
    /// It has another form; the error shows the right one.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((role, rest)) = text.split_once(':') else {
            return Ok(Self { role: text.to_owned(), values: None });
        };
        let (name, values) = rest.split_once('=').context("write it as ROLE or ROLE:NAME=A,B")?;
        let values = values.split(',').map(str::to_owned).collect();
        Ok(Self { role: role.to_owned(), values: Some((ParameterName::try_from(name)?, values)) })
    }

    /// The role.
    pub fn role(&self) -> &str {
        &self.role
    }
}

/// The text of a new command.
///
/// # Errors
///
/// A key that every command has is missing.
pub fn new_command(edit: &CommandEdit) -> Result<String> {
    ensure!(edit.argv.is_some() && edit.run_as.is_some(), "a new command needs --argv and --run-as");
    let mut edit = edit.clone();
    if edit.summary.is_none() {
        let argv = edit.argv.as_deref().unwrap_or_default();
        edit.summary = Some(argv.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    edit_command("", &edit)
}

/// The text of the command `text` after `edit`.
///
/// # Errors
///
/// It is not TOML, or a role or parameter that is to be removed is not there.
pub fn edit_command(text: &str, edit: &CommandEdit) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("it is not TOML")?;
    let texts = [
        ("summary", &edit.summary),
        ("run_as", &edit.run_as),
        ("timeout", &edit.timeout),
        ("max_age", &edit.max_age),
        ("output", &edit.output),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            put(document.as_table_mut(), key, text.as_str().into());
        }
    }
    if let Some(argv) = &edit.argv {
        put(document.as_table_mut(), "argv", list(argv.split_whitespace()).into());
    }
    if let Some(exclusive) = edit.exclusive {
        put(document.as_table_mut(), "exclusive", exclusive.into());
    }
    let mut parameters = Vec::new();
    for parameter in &edit.parameters {
        set_parameter(section(&mut document, "parameters")?, parameter)?;
        parameters.push(&parameter.name);
    }
    for name in &edit.secrets {
        parameter(&mut document, name, "--secret")?.insert("secret", value(true));
    }
    for (name, default) in &edit.defaults {
        let table = parameter(&mut document, name, "--default")?;
        let default = default.parse::<i64>().map_or_else(|_| value(default.as_str()), value);
        table.insert("default", default);
    }
    for limit in &edit.allow {
        set_limit(section(&mut document, "allow")?, limit)?;
    }
    for role in &edit.revoke {
        let removed = section(&mut document, "allow")?.remove(role);
        removed.with_context(|| format!("--revoke: the role {role} may not run it"))?;
    }
    for name in &edit.without_parameters {
        let removed = section(&mut document, "parameters")?.remove(name.as_str());
        removed.with_context(|| format!("--remove-parameter: there is no parameter {name}"))?;
        for (_, limits) in section(&mut document, "allow")?.iter_mut() {
            if let Some(limits) = limits.as_table_like_mut() {
                limits.remove(name.as_str());
            }
        }
    }
    Ok(document.to_string())
}

/// Sets a key, and leaves the comment and the spaces around its value.
pub(super) fn put(table: &mut Table, key: &str, new: toml_edit::Value) {
    // Inserting it again would lose the comment above its name.
    let Some(item) = table.get_mut(key) else {
        table.insert(key, Item::Value(new));
        return;
    };
    let mut new = new;
    if let Some(former) = item.as_value() {
        *new.decor_mut() = former.decor().clone();
    }
    *item = Item::Value(new);
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> Array {
    words.into_iter().collect()
}

/// The sections below `name`, such as `[allow.ROLE]`.
fn section<'d>(document: &'d mut DocumentMut, name: &str) -> Result<&'d mut Table> {
    let item = document.entry(name).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    item.as_table_mut().with_context(|| format!("{name} is not a section: write it as [{name}.NAME]"))
}

/// The section of an existing parameter, which `option` names.
fn parameter<'d>(document: &'d mut DocumentMut, name: &ParameterName, option: &str) -> Result<&'d mut dyn TableLike> {
    let section = section(document, "parameters")?;
    let table = section.get_mut(name.as_str()).and_then(Item::as_table_like_mut);
    table.with_context(|| format!("{option}: there is no parameter {name}"))
}

fn set_parameter(section: &mut Table, parameter: &NewParameter) -> Result<()> {
    let name = parameter.name.as_str();
    let item = section.entry(name).or_insert_with(|| Item::Table(Table::new()));
    let table = item.as_table_mut().with_context(|| format!("write the parameter as [parameters.{name}]"))?;
    for key in ["one_of", "integer", "pattern", "max_length"] {
        table.remove(key);
    }
    match &parameter.kind {
        Kind::OneOf(values) => put(table, "one_of", list(values.iter().map(String::as_str)).into()),
        Kind::Integer(min, max) => {
            let mut range = InlineTable::new();
            range.insert("min", (*min).into());
            range.insert("max", (*max).into());
            put(table, "integer", range.into());
        }
        Kind::Pattern(pattern, length) => {
            put(table, "pattern", pattern.as_str().into());
            put(table, "max_length", (*length).into());
        }
    }
    Ok(())
}

fn set_limit(section: &mut Table, limit: &Limit) -> Result<()> {
    let role = &limit.role;
    let is_new = !section.contains_key(role);
    let item = section.entry(role).or_insert_with(|| Item::Table(Table::new()));
    let table = item.as_table_mut().with_context(|| format!("write the role as [allow.{role}]"))?;
    match &limit.values {
        Some((name, values)) => put(table, name.as_str(), list(values.iter().map(String::as_str)).into()),
        // Named without values: every value, as for a new role.
        None if !is_new => table.clear(),
        None => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ParameterName {
        ParameterName::try_from(text).expect("a name")
    }

    #[test]
    fn a_new_command_is_written_whole() {
        let edit = CommandEdit {
            argv: Some("/usr/bin/systemctl restart  {service}".to_owned()),
            run_as: Some("root".to_owned()),
            timeout: Some("30s".to_owned()),
            parameters: vec![NewParameter::parse("service=one_of:nginx,php").expect("a parameter")],
            defaults: vec![(name("service"), "nginx".to_owned())],
            allow: vec![Limit::parse("oncall").expect("a role"), Limit::parse("web:service=nginx").expect("a role")],
            ..CommandEdit::default()
        };
        let text = new_command(&edit).expect("a command");
        assert_eq!(
            text,
            "summary = \"/usr/bin/systemctl restart {service}\"\nrun_as = \"root\"\ntimeout = \"30s\"\n\
             argv = [\"/usr/bin/systemctl\", \"restart\", \"{service}\"]\n\n[parameters.service]\n\
             one_of = [\"nginx\", \"php\"]\ndefault = \"nginx\"\n\n[allow.oncall]\n\n[allow.web]\nservice = [\"nginx\"]\n"
        );
        assert!(new_command(&CommandEdit::default()).is_err());
    }

    #[test]
    fn an_edit_keeps_comments() {
        let text = "# Ours.\nsummary = \"s\" # short\nrun_as = \"root\"\nargv = [\"/bin/ls\", \"{n}\"]\n\n\
                    [parameters.n]\ninteger = { min = 1, max = 2 } # few\n\n[allow.web] # them\nn = [1]\n";
        let edit = CommandEdit {
            summary: Some("t".to_owned()),
            allow: vec![Limit::parse("web:n=2").expect("a role"), Limit::parse("oncall").expect("a role")],
            ..CommandEdit::default()
        };
        let edited = edit_command(text, &edit).expect("edited");
        assert_eq!(edited, text.replace("\"s\" #", "\"t\" #").replace("n = [1]", "n = [\"2\"]") + "\n[allow.oncall]\n");
        let gone = CommandEdit { revoke: vec!["web".to_owned()], ..CommandEdit::default() };
        assert!(!edit_command(text, &gone).expect("edited").contains("allow"));
        let unknown = CommandEdit { revoke: vec!["nobody".to_owned()], ..CommandEdit::default() };
        assert!(edit_command(text, &unknown).is_err());
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["n", "n=x:1", "n=integer:1", "n=integer:a..2", "n=pattern:^a$", "Bad Name=one_of:a"] {
            assert!(NewParameter::parse(text).is_err(), "{text}");
        }
        let pattern = NewParameter::parse("n=pattern:^a:b$:9").expect("a pattern");
        assert_eq!(pattern.kind, Kind::Pattern("^a:b$".to_owned(), 9));
        assert!(Limit::parse("web:n").is_err());
    }
}
