//! What `mailsudo setup` asks and says: questions, what it finds on the host, what `check` finds, the lines for the
//! user.

use std::io::stdin;

use anyhow::{Context, Result, bail};

use super::stdout::{self, Colour};
use super::user::say_key_file;
use crate::setup::{Answers, Enrolled, FirstCommand, Found, Plan};
use crate::system::child::output_within;
use crate::system::trace;

/// The answer to a question, without white space around it.
pub(super) fn ask_line(question: &str) -> Result<String> {
    stdout::text(question)?;
    let mut line = String::new();
    if stdin().read_line(&mut line).context("cannot read standard input")? == 0 {
        bail!("there is no answer: nothing was changed");
    }
    Ok(line.trim().to_owned())
}

pub(super) fn show(found: &Found) -> Result<()> {
    let server = match found.server {
        Some((server, true)) => server.name().to_owned(),
        Some((server, false)) => format!("{}, not running", server.name()),
        None => "none".to_owned(),
    };
    noteln!("mail server  {server}")?;
    noteln!("sudo         {}", found.sudo.as_deref().unwrap_or("none"))?;
    noteln!("syslog       {}", if found.has_syslog { "/dev/log takes messages" } else { "none" })?;
    let clock = match found.is_clock_synchronised {
        Some(true) => "synchronised",
        Some(false) => "not synchronised",
        None => "no program here says whether it is synchronised",
    };
    noteln!("clock        {clock}")?;
    for missing in &found.missing {
        let colour = if missing.is_needed { Colour::Red } else { Colour::Yellow };
        stdout::coloured("", colour, "missing", &format!("      {}: {}", missing.what, missing.remedy))?;
    }
    Ok(())
}

/// What `mailsudo check` finds, as the service user sees the gateway.
pub(super) fn check(plan: &Plan) -> Result<()> {
    let mut check = plan.check_as_service()?;
    trace::program(&check);
    let answer = output_within(&mut check, crate::limits::SETUP_PROGRAM).context("mailsudo check")?;
    if let Some(answer) = answer.filter(|answer| !answer.status.success()) {
        outln!("What `mailsudo check` finds, as the service user:")?;
        stdout::text(&answer.out)?;
    }
    Ok(())
}

/// The lines for the user.
pub(super) fn hand_over(plan: &Plan, answers: &Answers) -> Result<()> {
    let Some(Enrolled { name, key_file, key, .. }) = &plan.enrolled else {
        return Ok(());
    };
    say_key_file(key_file, key, &plan.gateway()?)?;
    let file = key_file.file_name().unwrap_or_default().to_string_lossy();
    noteln!("For {name}, on their own machine:\n  mailsudo key import {file} && rm {file}")?;
    let (_, from) = answers.user.as_ref().context("there is no user")?;
    let first = match &answers.command {
        FirstCommand::Disk => "disk",
        FirstCommand::Restart(_) => "restart",
        FirstCommand::Script(_) | FirstCommand::None => "help",
    };
    noteln!("  mailsudo sign {first} --send --from {from}")?;
    Ok(())
}
