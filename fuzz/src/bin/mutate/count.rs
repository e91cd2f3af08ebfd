//! How many mails were ever checked: the line `mutated` of a file that has such a line for each target.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "mutated";

/// The file and what it said at first.
pub struct Count {
    file: PathBuf,
    first: u64,
}

impl Count {
    /// Reads the file; 0 where it has no such line.
    pub fn open(file: &Path) -> Result<Self, String> {
        let mut count = Self { file: file.to_owned(), first: 0 };
        count.first = count.locked(|text| Ok((number_in(text)?, None)))?;
        Ok(count)
    }

    /// What the file said.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Writes that so many mails were ever checked.
    pub fn keep(&self, all: u64) -> Result<(), String> {
        self.locked(|text| {
            let mut lines: Vec<_> = text.lines().filter(|line| name_of(line) != NAME).map(str::to_owned).collect();
            lines.push(format!("{NAME} {all}"));
            lines.sort();
            Ok(((), Some(lines.join("\n") + "\n")))
        })
    }

    /// Reads the file, and writes what `change` makes of it. fuzz/run locks it too.
    fn locked<T>(&self, change: impl FnOnce(&str) -> Result<(T, Option<String>), String>) -> Result<T, String> {
        let at = |error: std::io::Error| format!("{}: {error}", self.file.display());
        let mut file: File =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.file).map_err(at)?;
        file.lock().map_err(at)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(at)?;
        let (result, new) = change(&text)?;
        if let Some(new) = new {
            // Written over in one call, and shortened afterwards: a kill in between loses no number.
            file.rewind().map_err(at)?;
            file.write_all(new.as_bytes()).map_err(at)?;
            file.set_len(new.len() as u64).map_err(at)?;
        }
        Ok(result)
    }
}

fn name_of(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

fn number_in(text: &str) -> Result<u64, String> {
    let Some(line) = text.lines().find(|line| name_of(line) == NAME) else {
        return Ok(0);
    };
    line.rsplit(' ').next().unwrap_or_default().parse().map_err(|error| format!("{line}: {error}"))
}
