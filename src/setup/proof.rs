//! The proof that the gateway answers: a signed `help` of a user through the real mail server. In: the gateway and the
//! user. Out: the reply, checked like the user's own `verify`, or why there is none.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use crate::authenticate::Factor;
use crate::client::verify::{Finding, check};
use crate::client::{self, KeyFile};
use crate::config::{Gateway, Trusted};
use crate::enrolment::Enrolment;
use crate::ledger;
use crate::limits::{NEW_LEDGER, SETUP_ANSWER, SETUP_POLL, SETUP_REPLY, Timeouts};
use crate::protocol::{CommandName, Request, RequestId, UnsignedRequest, UserName};
use crate::system::child::output_within;
use crate::system::clock::Clock;
use crate::system::trace;

/// Sends a signed `help` of `user` by this sendmail; returns its id.
///
/// # Errors
///
/// The user's secrets cannot be read, or sendmail does not take the message.
pub(super) fn send(
    gateway: &Gateway,
    user: &UserName,
    trusted: &Trusted,
    clock: &dyn Clock,
    mut sendmail: Command,
) -> Result<RequestId> {
    let secrets = Enrolment::new(gateway, None).secrets(user)?;
    let about = gateway.user(user)?;
    wait_for_new_ledger(gateway, trusted, clock)?;
    let factor = Factor::from_url(&secrets.totp).map_err(|what| anyhow!("secrets.d/{user}.toml: {what}"))?;
    let time = clock.now();
    let unsigned = UnsignedRequest {
        gateway: gateway.settings().gateway.clone(),
        user: user.clone(),
        time,
        code: factor.code_at(time).context("the clock stands before 1970")?,
        command: CommandName::try_from("help")?,
        arguments: Vec::new(),
        payload: None,
    };
    let block = unsigned.sign(&secrets.key)?;
    let id = Request::read(&[&block])?.id();
    let (to, from) = (&gateway.settings().address, &about.address);
    let message = client::message(&block, to, Some(from), "mailsudo setup", None, time);
    let name = sendmail.get_program().to_string_lossy().into_owned();
    sendmail.args(["-i", "-f", from.as_str(), "--", to.as_str()]).stdin(Stdio::piped());
    trace::program(&sendmail);
    let mut child = sendmail.spawn().with_context(|| format!("cannot run {name}"))?;
    let mut pipe = child.stdin.take().context("sendmail has no standard input")?;
    pipe.write_all(message.as_bytes()).context("sendmail did not take the whole message")?;
    drop(pipe);
    let status = child.wait()?;
    if !status.success() {
        bail!("{name} failed: {status}");
    }
    Ok(id)
}

/// A new ledger refuses what is signed up to the second in which it was made: waits until that second is over.
fn wait_for_new_ledger(gateway: &Gateway, trusted: &Trusted, clock: &dyn Clock) -> Result<()> {
    let ledger = ledger::open(gateway.settings(), trusted.clone(), Timeouts::DEFAULT.transaction)?;
    let watermark = ledger.health()?.watermark;
    let (longest, poll) = NEW_LEDGER;
    let deadline = clock.instant() + longest;
    while watermark.is_some_and(|watermark| clock.now() <= watermark) && clock.instant() < deadline {
        clock.sleep(poll);
    }
    Ok(())
}

/// Waits until the reply to `id` is sent; returns its text. `fetch` fetches what a mailbox at a provider has; its last
/// error is told where there is no reply.
///
/// # Errors
///
/// It is not sent in time, with the reason as far as the log has one; or it is not genuine.
pub(super) fn wait(
    gateway: &Gateway,
    id: &RequestId,
    trusted: &Trusted,
    clock: &dyn Clock,
    fetch: &mut dyn FnMut() -> Result<()>,
) -> Result<String> {
    let deadline = clock.instant() + SETUP_REPLY;
    loop {
        let fetched = fetch();
        let ledger = ledger::open(gateway.settings(), trusted.clone(), Timeouts::DEFAULT.transaction)?;
        let record = ledger.find(id.as_bytes())?;
        if let Some(record) = record.filter(|record| record.replied.is_some()) {
            let reply = record.reply.context("the ledger has no reply to it")?;
            return genuine(gateway, &record.user, &reply.message);
        }
        if clock.instant() >= deadline {
            fetched.context("the mailbox cannot be fetched")?;
            bail!("no reply after {} s: {}", SETUP_REPLY.as_secs(), why());
        }
        clock.sleep(SETUP_POLL);
    }
}

/// The authenticated text of a reply, as the user's `mailsudo verify` finds it.
fn genuine(gateway: &Gateway, user: &str, message: &[u8]) -> Result<String> {
    let user = UserName::try_from(user)?;
    let secrets = Enrolment::new(gateway, None).secrets(&user)?;
    let settings = gateway.settings();
    let key = KeyFile {
        gateway: settings.gateway.clone(),
        address: settings.address.clone(),
        user,
        key: secrets.key,
        path: std::path::PathBuf::new(),
        written: None,
    };
    let checked = check(message, &[key]);
    match (checked.finding, checked.text) {
        (Finding::Genuine(_), Some(text)) => Ok(text),
        (finding, _) => bail!("the reply is not genuine: {finding:?}"),
    }
}

/// The newest deferral in the log, or in Postfix's queue.
fn why() -> String {
    let said = |command: &mut Command| {
        let answer = output_within(command.stdin(Stdio::null()), SETUP_ANSWER).ok().flatten();
        answer.map(|answer| answer.out).unwrap_or_default()
    };
    let journal = said(Command::new("journalctl").args(["-t", "mailsudo", "-n", "50", "-o", "cat", "--no-pager"]));
    let file = std::fs::read_to_string("/var/log/auth.log").unwrap_or_default();
    let refusals = ["event=deferred", "event=refused"];
    let mut lines = journal.lines().chain(file.lines());
    let line = lines.rfind(|line| refusals.iter().any(|event| line.contains(event)));
    if let Some(line) = line {
        return format!("the log says: {}", line.trim());
    }
    let queue = said(Command::new("/usr/sbin/postqueue").arg("-j"));
    let reasons = queue.split("\"delay_reason\": \"").skip(1).filter_map(|rest| rest.split('"').next());
    reasons.last().map_or_else(
        || "the log says nothing about it; `mailsudo check` finds what is wrong".to_owned(),
        |reason| format!("the mail server's queue says: {reason}"),
    )
}
