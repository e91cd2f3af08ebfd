//! Who is the same person under two names, and who may approve. In: users' files and secrets. Out: a [`Person`].

use std::collections::BTreeSet;

use crate::config::{Approval, Approver, ConfigError, Gateway, Secrets, User};
use crate::protocol::{CommandName, Key, SshKey, UserName};

/// A user with the user's secrets.
#[derive(Debug)]
pub struct Person {
    /// The name.
    pub name: UserName,
    /// The user's file.
    pub user: User,
    /// The user's secrets.
    pub secrets: Secrets,
}

impl Person {
    /// The user `name`; `None` if there is no such user, or the user has no secrets.
    ///
    /// # Errors
    ///
    /// A file of the user that cannot be read.
    pub fn find(gateway: &Gateway, name: &UserName) -> Result<Option<Self>, ConfigError> {
        let user = match gateway.user(name) {
            Err(error) if error.is_missing() => return Ok(None),
            other => other?,
        };
        Ok(gateway.secrets(name)?.map(|secrets| Self { name: name.clone(), user, secrets }))
    }

    /// The user of this name, as a record or a notice has it; `None` also where it is no name.
    ///
    /// # Errors
    ///
    /// A file of the user that cannot be read.
    pub fn named(gateway: &Gateway, name: &str) -> Result<Option<Self>, ConfigError> {
        UserName::try_from(name).map_or(Ok(None), |name| Self::find(gateway, &name))
    }

    /// Whether both are one person: the same name, an address in common, a key or an SSH key in common, the one before
    /// a rotation included. Two names of one person must not count as two.
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name
            || keys(self).any(|key| keys(other).any(|other| key.is(other)))
            || shares_address(&self.user, &other.user)
            || ssh_keys(&self.user).any(|key| ssh_keys(&other.user).any(|other| key == other))
    }
}

fn keys(person: &Person) -> impl Iterator<Item = &Key> {
    let previous = person.secrets.previous.as_ref().map(|previous| &previous.key);
    std::iter::once(&person.secrets.key).chain(previous)
}

fn ssh_keys(user: &User) -> impl Iterator<Item = &SshKey> {
    let previous = user.ssh.previous.as_ref().map(|previous| previous.keys.as_slice()).unwrap_or_default();
    user.ssh.keys.iter().chain(previous)
}

/// Which answers to a notice must have an SSH signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MustSign {
    /// None.
    Nothing,
    /// An approval: the command requires it. A denial needs none.
    Approval,
    /// Each: the approver signs every request.
    Everything,
}

impl MustSign {
    /// What `approver` must sign, under the `[approval]` of now.
    pub fn of(approver: &User, terms: Option<&Approval>) -> Self {
        match terms {
            _ if approver.ssh.require_signature => Self::Everything,
            Some(terms) if terms.require_signature => Self::Approval,
            _ => Self::Nothing,
        }
    }
}

/// The `[approval]` that the command `name` has now; `None` where it has none. A broken file of a command is reported
/// by `check`, and must not keep mail about other things back.
pub fn terms_of(gateway: &Gateway, name: &str) -> Option<Approval> {
    let name = CommandName::try_from(name).ok()?;
    gateway.command(&name).ok().flatten()?.approval
}

/// Whether two users have an address in common.
pub fn shares_address(one: &User, other: &User) -> bool {
    let all = |user: &User| std::iter::once(user.address.clone()).chain(user.from.iter().cloned()).collect::<Vec<_>>();
    let others = all(other);
    all(one).iter().any(|address| others.contains(address))
}

/// Everyone who may approve a request of `requester` now: enabled, with secrets, with an SSH key where one is required,
/// and no second name of the requester or of each other. By name.
///
/// # Errors
///
/// The file of a user whom `by` names cannot be read. Of a role's holders, those whose files cannot be read are left
/// out.
pub fn approvers(gateway: &Gateway, terms: &Approval, requester: &Person) -> Result<Vec<UserName>, ConfigError> {
    let mut found: Vec<Person> = Vec::new();
    for name in candidates(gateway, terms)? {
        let is_named = terms.by.contains(&Approver::User(name.clone()));
        let person = match Person::find(gateway, &name) {
            Err(error) if is_named => return Err(error),
            Err(_) | Ok(None) => continue,
            Ok(Some(person)) => person,
        };
        let counts = terms.is_open_to(&name, &person.user) && !person.is(requester);
        if counts && !found.iter().any(|other| other.is(&person)) {
            found.push(person);
        }
    }
    Ok(found.into_iter().map(|person| person.name).collect())
}

/// The users whom `by` may mean. Only where it names a role are all users' names read.
fn candidates(gateway: &Gateway, terms: &Approval) -> Result<BTreeSet<UserName>, ConfigError> {
    let mut names = BTreeSet::new();
    for by in &terms.by {
        match by {
            Approver::User(name) => {
                names.insert(name.clone());
            }
            Approver::Role(_) => names.extend(gateway.user_names()?),
        }
    }
    Ok(names)
}
