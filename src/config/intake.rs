//! `[intake]` of `mailsudo.toml`: which messages are processed, and what is required of every sender besides the
//! signature.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{AddressRange, AuthservId, ConfigError, Domain, Expression, MailAddress, SenderRequirements, Source};

/// `[intake]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intake {
    /// The envelope recipients that are served; an empty list allows any.
    pub recipients: Vec<MailAddress>,
    /// What the Subject field must match.
    pub subject: Option<Expression>,
    /// Header fields that refuse a message when they match.
    pub reject: BTreeMap<String, Expression>,
    /// Whether every message must be submitted under a SASL login of its user.
    pub require_sasl: bool,
    /// The ranges from which mail may come; an empty list allows any.
    pub clients: Vec<AddressRange>,
    /// Whether a result of `authserv_id` must confirm every From domain.
    pub require_authentication_results: bool,
    /// The authserv-id of the trusted Authentication-Results fields.
    pub authserv_id: Option<AuthservId>,
    /// The domains with a DKIM signature that confirms their subdomains too.
    pub sign_for_subdomains: Vec<Domain>,
}

impl Default for Intake {
    fn default() -> Self {
        let reject = [("X-Spam-Flag", "^YES"), ("X-Spam-Status", "^Yes")];
        Self {
            recipients: Vec::new(),
            subject: None,
            reject: reject.map(|(name, text)| (name.to_owned(), text.into())).into(),
            require_sasl: false,
            clients: Vec::new(),
            require_authentication_results: false,
            authserv_id: None,
            sign_for_subdomains: Vec::new(),
        }
    }
}

impl Intake {
    /// What is required of every sender.
    pub fn requirements(&self) -> SenderRequirements<'_> {
        SenderRequirements {
            sasl: self.require_sasl,
            logins: None,
            authentication_results: self.require_authentication_results,
            clients: &self.clients,
        }
    }

    pub(super) fn check(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        if self.require_authentication_results && self.authserv_id.is_none() {
            let what = "require_authentication_results needs authserv_id, the authserv-id whose results are trusted";
            return Err(source.error_at("require_authentication_results", what));
        }
        Ok(())
    }
}
