//! Who is the same person under two names, and who may approve. In: users' files and secrets. Out: a [`Person`].

use std::collections::BTreeSet;

use crate::config::{Approval, Approver, ConfigError, Gateway, Secrets, User};
use crate::protocol::UserName;

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

    /// Whether both are one person: the same name, an address in common, the same key, or an SSH key in common. Two
    /// names of one person must not count as two.
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name
            || self.secrets.key.is(&other.secrets.key)
            || shares_address(&self.user, &other.user)
            || shares_ssh_key(&self.user, &other.user)
    }
}

fn shares_ssh_key(one: &User, other: &User) -> bool {
    one.ssh.keys.iter().any(|key| other.ssh.keys.contains(key))
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
