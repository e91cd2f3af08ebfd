//! Sender authentication: what the mail system says about a sender, besides the signature. The SASL login that
//! submitted the message, the address of the client that brought it, and what a trusted filter found about the From
//! domain (Authentication-Results, RFC 8601). In: the envelope, the message and what is required. Out: [`SenderAuth`],
//! or a refusal.
//!
//! MUST: what is not required is not checked. What the mail server did not say is a deferral, because master.cf is
//! wrong. A result is trusted only where exactly one field names the configured authserv-id, and that field is the
//! topmost.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::IpAddr;

use super::authentication_results;
use super::envelope::Envelope;
use super::mime::Entity;
use crate::config::{AddressRange, Domain, Intake, SenderRequirements};
use crate::error::{Deferral, Reason, Refusal, Stop};

/// What was required of the sender, and what was found.
#[derive(Debug, Clone, Default)]
pub struct SenderAuth {
    login: Option<OsString>,
    clients: Vec<AddressRange>,
    verdict: Option<Verdict>,
}

/// A result that confirms a From domain: by which method of which authserv-id, for which domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    authserv_id: String,
    found: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} says {}", self.authserv_id, self.found)
    }
}

impl SenderAuth {
    /// The SASL login, where one was required.
    pub fn login(&self) -> Option<&OsStr> {
        self.login.as_deref()
    }

    /// The ranges that the client's address is in, of those that were required.
    pub fn clients(&self) -> &[AddressRange] {
        &self.clients
    }

    /// The result for the From domain, where one was required.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Checks what needs the envelope only: the client's address, then the login.
    ///
    /// # Errors
    ///
    /// A refusal; a deferral where the mail server does not say what is required.
    pub(super) fn check_envelope(
        &mut self,
        envelope: &Envelope,
        required: &SenderRequirements<'_>,
    ) -> Result<(), Stop> {
        if !required.clients.is_empty() {
            self.clients.push(client(envelope, required.clients)?);
        }
        if required.sasl && self.login.is_none() {
            self.login = Some(login(envelope)?.to_owned());
        }
        let Some((login, own)) = self.login.as_ref().zip(required.logins) else {
            return Ok(());
        };
        // Byte for byte: Kerberos has alice and Alice as two users.
        if own.iter().any(|own| login == own.as_str()) {
            return Ok(());
        }
        refuse(Reason::ForeignLogin, format!("the login {} is not one of the user's", login.to_string_lossy()))
    }

    /// Checks what the header says: the From address, and the Authentication-Results fields.
    ///
    /// # Errors
    ///
    /// A refusal where no trusted result confirms the From domain; a deferral where no authserv-id is configured.
    pub(super) fn check_header(
        &mut self,
        from: &str,
        results: &[String],
        required: &SenderRequirements<'_>,
        intake: &Intake,
    ) -> Result<(), Stop> {
        if required.authentication_results && self.verdict.is_none() {
            self.verdict = Some(verdict(from, results, intake)?);
        }
        Ok(())
    }
}

fn login(envelope: &Envelope) -> Result<&OsStr, Stop> {
    let Some(login) = envelope.sasl_username.as_deref() else {
        return Err(unspecified(
            "require_sasl is set, but the login was not given",
            "--sasl-username=${sasl_username}",
        ));
    };
    if login.is_empty() {
        return refuse(Reason::NoLogin, "require_sasl is set, and the sender has not logged in");
    }
    Ok(login)
}

fn client(envelope: &Envelope, ranges: &[AddressRange]) -> Result<AddressRange, Stop> {
    let Some(address) = envelope.client_address.as_deref() else {
        return Err(unspecified(
            "clients is set, but the client's address was not given",
            "--client-address=${client_address}",
        ));
    };
    let address = address.to_string_lossy();
    // What sendmail(1) submits has no address; a link-local one may name its interface.
    let parsed = address.split('%').next().unwrap_or_default().parse::<IpAddr>().map(|address| address.to_canonical());
    match parsed.ok().and_then(|address| ranges.iter().find(|range| range.holds(address))) {
        Some(range) => Ok(*range),
        None if address.is_empty() => {
            refuse(Reason::ForeignClient, "it was submitted on this host, not by an SMTP client")
        }
        None => refuse(Reason::ForeignClient, format!("the client {address} is in none of the ranges in clients")),
    }
}

fn verdict(from: &str, fields: &[String], intake: &Intake) -> Result<Verdict, Stop> {
    let Some(id) = &intake.authserv_id else {
        let what = "require_authentication_results needs intake.authserv_id, the authserv-id whose results are trusted";
        return Err(Deferral::new("configuration", what).into());
    };
    let field = sole_field(fields, |author| id.is(author), id)?;
    let Ok(results) = authentication_results::read(field) else {
        return refuse(Reason::UnconfirmedFrom, format!("the field of {id} cannot be read (RFC 8601)"));
    };
    let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
    let found = evaluate(&results, domain, &intake.sign_for_subdomains);
    let found = found.map_err(|(reason, what)| Refusal::new(reason, format!("{id} says {what}")))?;
    Ok(Verdict { authserv_id: id.to_string(), found })
}

/// The fields that may hold a result, whole, in their order.
pub(super) fn fields(message: &Entity<'_>) -> Vec<String> {
    let named = message.fields().filter(|field| field.resembles("Authentication-Results"));
    named.map(|field| field.whole()).collect()
}

/// The one field whose authserv-id `is_ours` accepts. A mail server that removes forged fields (RFC 8601 section 5)
/// leaves one, and the filter that adds the true one puts it on top.
fn sole_field<'f>(
    fields: &'f [String],
    is_ours: impl Fn(&str) -> bool,
    id: &impl fmt::Display,
) -> Result<&'f str, Stop> {
    let mut ours = None;
    for (at, field) in fields.iter().enumerate() {
        match authentication_results::author(field) {
            Ok(author) if !is_ours(&author) => {}
            Ok(_) if ours.is_none() => ours = Some((at, field)),
            Ok(_) => {
                let what =
                    format!("more than one Authentication-Results field of {id}: all but one are forged, or all");
                return refuse(Reason::AmbiguousResults, what);
            }
            Err(_) => {
                let what = "an Authentication-Results field without an authserv-id";
                return refuse(Reason::AmbiguousResults, what);
            }
        }
    }
    match ours {
        Some((0, field)) => Ok(field),
        Some(_) => {
            refuse(Reason::UnconfirmedFrom, format!("the Authentication-Results field of {id} is not the topmost"))
        }
        None => refuse(Reason::UnconfirmedFrom, format!("no Authentication-Results field of {id}")),
    }
}

/// A DMARC pass for the From domain, or, where DMARC has no result, a DKIM signature of the same domain.
fn evaluate(
    results: &authentication_results::Results,
    domain: &str,
    above: &[Domain],
) -> Result<String, (Reason, String)> {
    let of = |method| results.entries.iter().filter(move |entry| entry.is_of(method));
    let mut dmarc = of("dmarc");
    if let Some(entry) = dmarc.next() {
        if dmarc.next().is_some() {
            return Err((Reason::AmbiguousResults, "more than one result of dmarc".to_owned()));
        }
        let (result, from) = (entry.result(), entry.property("header.from"));
        match result.as_str() {
            "pass" if from.is_some_and(|from| from.eq_ignore_ascii_case(domain)) => {
                return Ok(format!("dmarc=pass for {domain}"));
            }
            "none" | "temperror" | "permerror" => {}
            _ => {
                let about = from.map_or("no domain".to_owned(), |from| format!("header.from={from}"));
                return Err((
                    Reason::UnconfirmedFrom,
                    format!("dmarc={result} for {about}; the From domain is {domain}"),
                ));
            }
        }
    }
    let aligned = |signer: &&str| {
        signer.eq_ignore_ascii_case(domain) || above.iter().any(|own| own.is(signer) && own.is_above(domain))
    };
    let passed = of("dkim").filter(|entry| entry.result() == "pass");
    match passed.filter_map(|entry| entry.property("header.d")).find(aligned) {
        Some(signer) => Ok(format!("dkim=pass header.d={signer} for {domain}")),
        None => Err((Reason::UnconfirmedFrom, format!("neither dmarc=pass nor dkim=pass for {domain}"))),
    }
}

fn unspecified(what: &str, option: &str) -> Stop {
    Deferral::new("configuration", format!("{what}: add {option} in master.cf")).into()
}

fn refuse<T>(reason: Reason, detail: impl Into<String>) -> Result<T, Stop> {
    Err(Refusal::new(reason, detail).into())
}
