//! Each mail from its number.

use std::fs;
use std::path::Path;

use crate::change::change;
use crate::genuine::Signed;
use crate::mail;
use crate::random::Random;

/// Words that changes would not find by themselves, as the fuzz targets use them.
const DICTIONARY: &str = include_str!("../../../mailsudo.dict");

/// What the mails are made of.
pub struct Mails {
    seed: u64,
    /// The requests that alice has signed.
    pub signed: Signed,
    /// The mails of tests/mail in the order of their names.
    stored: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    /// Mails that changes take parts of.
    others: Vec<Vec<u8>>,
}

impl Mails {
    /// Reads the mails of tests/mail from `folder`.
    pub fn new(folder: &Path, seed: u64) -> Result<Self, String> {
        let at = |error: std::io::Error| format!("{}: {error}", folder.display());
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(at)? {
            let path = entry.map_err(at)?.path();
            if path.extension().is_some_and(|extension| extension == "eml") {
                files.push(path);
            }
        }
        files.sort();
        let stored = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>().map_err(at)?;
        if stored.is_empty() {
            return Err(format!("{}: no mails", folder.display()));
        }
        let words = DICTIONARY.lines().filter_map(word).collect();
        let signed = Signed::new();
        let mut others = stored.clone();
        // Before the numbers of all mails that are checked.
        let mut random = Random::of(!seed, 0);
        for genuine in signed.all.iter().cycle().take(1000) {
            others.push(mail::write(genuine, &mut random, |_, _| ()));
        }
        Ok(Self { seed, signed, stored, words, others })
    }

    /// The mail with this number, and whether it is genuine and unchanged.
    pub fn mail(&self, number: u64) -> (Vec<u8>, bool) {
        let mut random = Random::of(self.seed, number);
        let kind = random.below(8);
        let genuine = &self.signed.all[random.below(self.signed.all.len())];
        let mut mail = match kind {
            0 => return (mail::write(genuine, &mut random, |_, _| ()), true),
            1 | 2 => mail::write(genuine, &mut random, |text, random| self.change(text, random)),
            3 | 4 => mail::write(genuine, &mut random, |_, _| ()),
            _ => self.stored[random.below(self.stored.len())].clone(),
        };
        // What is changed within its encoding often stays as it is outside.
        if kind > 2 || random.one_in(2) {
            self.change(&mut mail, &mut random);
        }
        (mail, false)
    }

    /// Changes a mail, or the text of one, one to five times.
    fn change(&self, mail: &mut Vec<u8>, random: &mut Random) {
        for _ in 0..=random.below(5) {
            let other = &self.others[random.below(self.others.len())];
            change(mail, other, &self.words, random);
        }
    }
}

/// The word in a line of the dictionary: `"..."`, in which `\xHH` is a byte and a backslash keeps the next character.
fn word(line: &str) -> Option<Vec<u8>> {
    let text = line.strip_prefix('"')?.strip_suffix('"')?;
    let mut word = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next()? } else { byte };
        if byte == b'\\' && escaped == b'x' {
            let digits = [bytes.next()?, bytes.next()?];
            word.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            word.push(escaped);
        }
    }
    Some(word)
}
