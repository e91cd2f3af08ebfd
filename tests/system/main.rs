//! The system test: the program between the real Postfix, sudo, sudo-rs and rsyslog.
//!
//! Started by `tests/system/run`, which builds everything and then runs this as root in the sandbox
//! beside it: a machine of its own as far as users, files, processes and ports go, which is gone
//! afterwards. Outside that sandbox every test fails and says so; none touches the host.
//!
//! A test enrols its own user, since a user's one-time code serves once and wrong ones add up, sends
//! mail to port 25, and looks at what an administrator could look at: mailbox, syslog, Postfix's log
//! and queue, processes. Nothing waits for a fixed time: what has to happen is polled for.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's helper that cannot go on says so and fails the test"
)]

mod approval;
mod chaos;
mod chaos_events;
mod check;
mod check_around;
mod commands;
mod completion;
mod concurrency;
mod confidential;
mod delivered;
mod forks;
mod gateway;
mod gateways;
mod hardening;
mod journal;
mod killed;
mod ledger_disk;
mod mailbox;
mod memory;
mod metrics;
mod monitoring;
mod package;
mod poll;
mod postfix;
mod postfix_install;
#[path = "../common/postgres.rs"]
mod postgres_server;
mod process;
mod recipes;
mod red_attempts;
mod red_commands;
mod red_team;
mod red_team_local;
mod refused;
mod remedies;
mod resumed;
mod sender_auth;
mod setup;
mod small_disks;
mod smtp;
mod smtp_transport;
mod spy_gateway;
mod sudo_faults;
mod sudo_probe;
mod sudo_rs;
mod sudo_rs_faults;
mod sudo_rules;
mod sudo_table;
mod syslog;
mod system_env;
mod systemd;
mod timed_out;
mod timers;
mod transports;
mod user;
