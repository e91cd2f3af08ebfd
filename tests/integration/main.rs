//! Behaviour through the library's and the program's public interfaces. No test here needs root, Postfix or sudo.
//!
//! `cargo test --test integration NAME` runs the tests whose path contains NAME. tests/README.md says what stands
//! where.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/database.rs"]
mod database;
#[path = "../common/html5gum.rs"]
mod html5gum;

mod cases;
mod certificates;
mod check;
mod cli;

mod approval;
mod binary;
mod blocks;
mod busy_database;
mod chain;
mod citations;
mod cli_conventions;
mod concurrency;
mod copied;
mod costs;
mod decrypting;
mod decryption;
mod drafts;
mod editing;
mod encryption;
mod environment;
mod examples;
mod execute;
mod explain;
mod failover;
mod hostile;
mod html_tokens;
mod import_circles;
mod import_order;
mod intake;
mod linker;
mod lockdown;
mod makefile;
mod nodes;
mod operated;
mod outputs;
mod own_settings;
mod packages;
mod page;
mod past_failures;
mod payload;
mod postgres;
mod properties;
mod refusal_table;
mod secrets;
mod sender_auth;
mod smtp;
mod ssh_cli;
mod ssh_signature;
mod statements;
mod sudoers;
mod sysadmin;
mod tampered;
mod time;
mod timing;
mod tls;
mod vectors;
mod verify;
mod waiting;
mod witnesses;
