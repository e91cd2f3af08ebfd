//! One run of a tool that encrypts or decrypts. In: its command line, files and input, all in memory, and the time that
//! is left. Out: how it ended and what it printed, bounded.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::limits::KILL_GRACE;
use crate::system::child::{isolated, kill_group, wait_until};

/// The most bytes of a tool's standard error.
const ERRORS: usize = 64 << 10;

/// How much more output than is wanted is taken, so that too much is seen: a write that would go beyond the sealed size
/// is refused as a whole.
pub(super) const MORE: usize = 1 << 20;

/// The most characters of it in the log.
const SAID: usize = 300;

/// A line of it that has so many bytes in a row in common with the message is not logged.
const COMMON: usize = 8;

/// A tool's command line: `PROGRAM BEFORE [OPTION FILE]... AFTER`.
pub(super) struct Tool<'t> {
    pub(super) program: &'t Path,
    pub(super) before: &'t [&'t str],
    /// Files with the option before each; without one where that is empty.
    pub(super) files: &'t [(&'t str, &'t [u8])],
    pub(super) after: &'t [&'t str],
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) out: Vec<u8>,
    /// What it said of a fault, for the log: empty, or a text that begins with `; `.
    pub(super) said: String,
}

impl Tool<'_> {
    /// Runs it on `input`, with at most `most` bytes of output, and takes the time from `left`.
    ///
    /// # Errors
    ///
    /// Why it did not run to its end.
    pub(super) fn run(&self, input: &[u8], most: usize, left: &Cell<Duration>) -> Result<Ended, String> {
        let begun = Instant::now();
        let ended = self.within(input, most, left.get());
        left.set(left.get().saturating_sub(begun.elapsed()));
        match ended {
            Ok(Some(ended)) => Ok(ended),
            Ok(None) => Err(format!("{} did not end in time", self.program.display())),
            Err(error) => Err(format!("{}: {error}", self.program.display())),
        }
    }

    fn within(&self, input: &[u8], most: usize, timeout: Duration) -> io::Result<Option<Ended>> {
        if timeout.is_zero() {
            return Ok(None);
        }
        let files = self.files.iter().map(|(option, content)| Ok((*option, given(content)?)));
        let files = files.collect::<io::Result<Vec<_>>>()?;
        let (mut out, mut err) = (taken(most)?, taken(ERRORS)?);
        let mut command = isolated(self.program);
        command.args(self.before);
        for (option, file) in &files {
            if !option.is_empty() {
                command.arg(option);
            }
            command.arg(format!("/proc/self/fd/{}", file.as_raw_fd()));
        }
        command.args(self.after);
        command.stdin(given(input)?).stdout(out.try_clone()?).stderr(err.try_clone()?);
        let mut child = command.spawn()?;
        // The files are open in the child alone: no later child inherits them.
        drop((files, command));
        let Some(status) = wait_until(&mut child, Instant::now() + timeout)? else {
            // Nothing of it is kept, so it needs no time to end well.
            kill_group(&child);
            wait_until(&mut child, Instant::now() + KILL_GRACE)?;
            return Ok(None);
        };
        let out = printed(&mut out)?;
        let said = said(&String::from_utf8_lossy(&printed(&mut err)?), [input, &out]);
        Ok(Some(Ended { status, out, said }))
    }
}

/// A file in memory with `content`, which a child inherits.
fn given(content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("given", MemfdFlags::empty())?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// An empty file in memory that takes at most `most` bytes: a write beyond its sealed size fails (F_SEAL_GROW,
/// fcntl(2)).
fn taken(most: usize) -> io::Result<File> {
    let file = File::from(memfd_create("taken", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.set_len(most as u64)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

/// What was written: both descriptors of the file share its offset (dup(2)).
fn printed(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.stream_position()?;
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a tool's standard error says, without the lines that repeat a part of its input or output:
/// [`COMMON`] bytes in a row, or a whole shorter line.
fn said(text: &str, messages: [&[u8]; 2]) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut seen: HashSet<&[u8]> = HashSet::new();
    for length in (1..=COMMON).filter(|length| lines.iter().any(|line| line.len().min(COMMON) == *length)) {
        let wanted: HashSet<&[u8]> = lines
            .iter()
            .filter(|line| line.len().min(COMMON) == length)
            .flat_map(|line| line.as_bytes().windows(length))
            .collect();
        seen.extend(messages.iter().flat_map(|message| message.windows(length)).filter(|part| wanted.contains(part)));
    }
    let is_own = |line: &&&str| !line.as_bytes().windows(line.len().min(COMMON)).any(|part| seen.contains(part));
    let words: String = lines.iter().filter(is_own).copied().collect::<Vec<_>>().join(" ");
    let words: String = words.chars().take(SAID).collect();
    if words.is_empty() { words } else { format!("; it says: {words}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, most: usize, left: &Cell<Duration>) -> Result<Ended, String> {
        let tool = Tool {
            program: Path::new("/bin/sh"),
            before: &["-c", script, "sh"],
            files: &[("-f", b"file")],
            after: &["z"],
        };
        tool.run(b"the input of it", most, left)
    }

    #[test]
    fn a_tool_gets_files_and_its_output_is_bounded() {
        let left = Cell::new(Duration::from_secs(20));
        let ended = run("cat $2; cat; echo $1 $3; echo why >&2; echo the input >&2", 100, &left).expect("its end");
        assert_eq!(String::from_utf8_lossy(&ended.out), "filethe input of it-f z\n");
        assert_eq!(ended.said, "; it says: why", "a line of its input is left out");
        assert!(left.get() < Duration::from_secs(20));
        let quoting =
            run("echo 'error near: put of it' >&2; echo it >&2; echo no such >&2", 100, &left).expect("its end");
        assert_eq!(quoting.said, "; it says: no such", "nor is one that has a part of it");
        let own =
            run("echo 'secret output'; echo 'after: secret output' >&2; echo bad >&2", 100, &left).expect("its end");
        assert_eq!(own.said, "; it says: bad", "nor of its output");
        let flood = run("cat /dev/zero", 4096, &left).expect("its end");
        assert!(!flood.status.success() && flood.out.len() <= 4096, "{}", flood.out.len());
        assert!(run("kill -9 $$", 100, &left).expect("its end").status.code().is_none());
    }

    #[test]
    fn a_tool_that_hangs_uses_the_time_of_all_up() {
        let left = Cell::new(Duration::from_millis(100));
        assert!(run("sleep 600", 100, &left).expect_err("too slow").contains("did not end in time"));
        assert!(run("echo x", 100, &left).expect_err("no time is left").contains("did not end in time"));
    }
}
