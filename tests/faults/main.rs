//! Faults of the programs around mailsudo, and the test for each (`r` = tests/integration/execute.rs, `s` =
//! tests/system, else here):
//!
//! | | sudo | sendmail | syslog | the ledger's disk | the command |
//! |---|---|---|---|---|---|
//! | missing | r `a_sudo_that_is_missing…` | r `a_sendmail_that_dies_or_is_missing…` | r `without_a_log_nothing_runs` | `a_folder_that_vanishes…`, r `…a_missing_ledger_defers…` | `a_missing_command…` |
//! | refusing | r `a_refusal_by_sudo…` | r `a_sendmail_that_dies…` | `a_syslogd_that_takes_no_connection…` | s `ledger_disk`: read-only, not permitted | r `the_reply_begins_with_the_outcome` |
//! | hanging | `a_sudo_that_hangs…`, `…asked…` | `a_sendmail_that_hangs…` | r `log_lines_lost_after_admission…` | `a_ledger_that_another_process_locks…` | r `a_command_over_its_limit…` |
//! | dying in the middle | `a_sudo_that_is_killed…`, s `killed` | `a_sendmail_that_dies_while_it_reads…` | `a_syslogd_that_dies…` | `…locks_in_the_middle…`, `a_full_disk…`, `a_corrupt_ledger…`, s `ledger_disk` | r `the_reply_begins_with_the_outcome` |
//! | printing without end | `…asked…`, `an_endless_flood…` | `a_sendmail_that_prints…` | says nothing | says nothing | `an_endless_flood…` |
//! | closing pipes early | `…closes_its_output…` | `a_sendmail_that_closes_its_input…` | as dying | as dying | `…closes_its_output…` |
//! | leaving a daemon that holds pipes | `a_daemon_of…` | `a_daemon_of…` | has no pipe | has no pipe | r `a_daemon_left_behind…` |
//! | ignoring SIGTERM | `a_sudo_that_hangs…` | `a_sendmail_that_hangs…` | is not ended by us | is not ended by us | s `a_command_past_its_limit…` |

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/database.rs"]
mod database;

mod chain;
mod descriptors;
mod gateway;
mod ledger;
mod postgres;
mod proxy;
mod sendmail;
mod slowest;
mod sudo;
mod syslog;
