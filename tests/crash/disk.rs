//! A disk that loses power. In: what deliveries did to the ledger's folder, call by call, as strace(1) saw it. Out: the
//! folder as it may be found after power was lost between any two of these calls.
//!
//! What was synced is there; of what was not, anything may be missing, sector by sector. A name is synced with its
//! folder and with nothing else. The `-shm` file is not looked at: SQLite makes it anew when no process has it open.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// One thing done to the folder or around it. Files go by number, since names change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Name {
        file: usize,
        name: String,
    },
    Rename {
        file: usize,
        from: String,
        to: String,
    },
    Forget {
        name: String,
    },
    Write {
        file: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    Resize {
        file: usize,
        length: usize,
    },
    Sync {
        file: usize,
    },
    SyncFolder,
    /// A child is started: the command, then sendmail.
    Start,
}

/// Which of the steps that were not synced a disk keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    Everything,
    /// Half of them, or of their sectors, by a seed.
    Some(u64),
}

/// The folder's files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Everything that was done to a folder from the time when it was empty.
pub struct Disk {
    folder: PathBuf,
    names: BTreeMap<String, usize>,
    files: usize,
    pub steps: Vec<Step>,
}

impl Disk {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, names: BTreeMap::new(), files: 0, steps: Vec::new() }
    }

    /// Takes in what one more delivery did: a listing of [`crate::strace::listing`].
    pub fn record(&mut self, trace: &Path) {
        let listing = fs::read_to_string(trace).expect("what strace wrote");
        for line in listing.lines() {
            let line = Line::new(line);
            if !line.failed {
                self.take(&line);
            }
        }
    }

    fn take(&mut self, line: &Line<'_>) {
        let step = match line.name {
            "clone" | "clone3" | "vfork" | "fork" => Step::Start,
            "open" | "openat" | "creat" if line.words.contains("O_CREAT") => {
                let Some(name) = line.strings.first().and_then(|path| self.name(path)) else { return };
                if self.names.contains_key(&name) {
                    return;
                }
                let file = self.files;
                self.files += 1;
                self.names.insert(name.clone(), file);
                Step::Name { file, name }
            }
            "rename" | "renameat" | "renameat2" => {
                let [from, to] = [0, 1].map(|n| line.strings.get(n).and_then(|path| self.name(path)));
                let (Some(from), Some(to)) = (from, to) else { return };
                let file = self.names.remove(&from).expect("a file to rename");
                self.names.insert(to.clone(), file);
                Step::Rename { file, from, to }
            }
            "unlink" | "unlinkat" => {
                let Some(name) = line.strings.first().and_then(|path| self.name(path)) else { return };
                self.names.remove(&name);
                Step::Forget { name }
            }
            "fsync" if line.path == self.folder.as_os_str().as_encoded_bytes() => Step::SyncFolder,
            "fsync" | "fdatasync" | "ftruncate" | "pwrite64" | "write" | "writev" | "pwritev" | "fallocate" => {
                let Some(name) = self.name(&line.path) else { return };
                let file = *self.names.get(&name).unwrap_or_else(|| panic!("{name} has no name any more"));
                match line.name {
                    "fsync" | "fdatasync" => Step::Sync { file },
                    "ftruncate" => Step::Resize { file, length: line.last_number() },
                    "pwrite64" => {
                        let bytes = line.strings.first().expect("what was written").clone();
                        assert_eq!(bytes.len(), line.result, "all of it was written, and is in the listing");
                        Step::Write { file, offset: line.last_number(), bytes }
                    }
                    other => panic!("{other} to {name}: the model does not know that call"),
                }
            }
            _ => return,
        };
        self.steps.push(step);
    }

    /// The name in the folder that `path` is, if it is one that counts.
    fn name(&self, path: &[u8]) -> Option<String> {
        let path = Path::new(std::str::from_utf8(path).ok()?);
        let name = path.strip_prefix(&self.folder).ok()?.to_str()?;
        (!name.is_empty() && !name.ends_with("-shm")).then(|| name.to_owned())
    }

    /// The folder after power was lost when the first `moment` steps were made. A disk that does not `sync` takes
    /// nothing for durable.
    pub fn after(&self, moment: usize, kept: Kept, syncs: bool) -> Files {
        let done = &self.steps[..moment];
        let mut dice = Dice(match kept {
            Kept::Some(seed) => seed.wrapping_mul(0x9e37_79b9).wrapping_add(moment as u64),
            _ => 0,
        });
        let mut contents: Vec<Vec<u8>> = vec![Vec::new(); self.files];
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (n, step) in done.iter().enumerate() {
            let later = &done[n..];
            let durable = syncs
                && match step {
                    Step::Write { file, .. } | Step::Resize { file, .. } => later.contains(&Step::Sync { file: *file }),
                    _ => later.contains(&Step::SyncFolder),
                };
            let mut stays = || match kept {
                _ if durable => true,
                Kept::Nothing => false,
                Kept::Everything => true,
                Kept::Some(_) => dice.roll(),
            };
            match step {
                Step::Name { file, name } if stays() => {
                    names.insert(name, *file);
                }
                Step::Rename { file, from, to } if stays() => {
                    names.remove(from.as_str());
                    names.insert(to, *file);
                }
                Step::Forget { name } if stays() => {
                    names.remove(name.as_str());
                }
                Step::Resize { file, length } if stays() => contents[*file].resize(*length, 0),
                Step::Write { file, offset, bytes } => {
                    let content = &mut contents[*file];
                    for (at, sector) in sectors(*offset, bytes) {
                        if stays() {
                            let end = at + sector.len();
                            content.resize(content.len().max(end), 0);
                            content[at..end].copy_from_slice(sector);
                        }
                    }
                }
                _ => {}
            }
        }
        names.into_iter().map(|(name, file)| (name.to_owned(), contents[file].clone())).collect()
    }
}

/// `bytes` at `offset`, cut where the disk's sectors end.
fn sectors(offset: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let (mut at, mut rest, mut sectors) = (offset, bytes, Vec::new());
    while !rest.is_empty() {
        let (sector, more) = rest.split_at((SECTOR - at % SECTOR).min(rest.len()));
        sectors.push((at, sector));
        (at, rest) = (at + sector.len(), more);
    }
    sectors
}

/// Pseudo-random numbers (splitmix64): the same seed, the same losses.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) & 1 == 1
    }
}

/// A line of strace(1) with `-y -xx`: `name(3<path>, "bytes", 12, 34) = 12`, paths and bytes in hex.
struct Line<'l> {
    name: &'l str,
    words: &'l str,
    /// What the first descriptor is.
    path: Vec<u8>,
    strings: Vec<Vec<u8>>,
    result: usize,
    failed: bool,
}

impl<'l> Line<'l> {
    fn new(line: &'l str) -> Self {
        let (name, rest) = line.split_once('(').unwrap_or(("", ""));
        let (words, result) = rest.rsplit_once(" = ").unwrap_or((rest, "?"));
        let number = result.split(['<', ' ']).next().unwrap_or_default();
        let path = words.split_once('<').and_then(|(_, path)| path.split_once('>')).map_or("", |(path, _)| path);
        let strings = words.split('"').skip(1).step_by(2).map(bytes).collect();
        let failed = result.starts_with('-') || result.starts_with('?');
        let words = words.trim_end().trim_end_matches(')');
        Self { name, words, path: bytes(path), strings, result: number.parse().unwrap_or_default(), failed }
    }

    fn last_number(&self) -> usize {
        let (_, number) = self.words.rsplit_once(", ").expect("a last word");
        number.parse().expect("a number")
    }
}

/// `\x61\x62` as bytes.
fn bytes(hex: &str) -> Vec<u8> {
    hex.split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).expect("two hex digits")).collect()
}
