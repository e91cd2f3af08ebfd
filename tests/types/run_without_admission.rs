//! `execute::run` takes nothing that was not admitted.
use mailsudo::authorize::Invocation;
use mailsudo::config::Execution;
use mailsudo::execute::run;
use mailsudo::limits::Timeouts;

fn forge(invocation: &Invocation, execution: &Execution) {
    run(invocation, execution, 0, &Timeouts::DEFAULT);
}

fn main() {}
