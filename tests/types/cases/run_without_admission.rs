//! `execute::run` takes nothing that was not admitted.
use mailsudo::authorize::Invocation;
use mailsudo::config::Settings;
use mailsudo::execute::run;
use mailsudo::limits::Timeouts;

fn forge(invocation: &Invocation, settings: &Settings) {
    run(invocation, settings, &Timeouts::DEFAULT);
}

fn main() {}
