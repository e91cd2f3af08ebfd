//! Searches a process's memory for secrets, as root: every byte that the process itself could read.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Something that must not be found, in all the forms in which it could be in memory.
pub(crate) struct Secret {
    what: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    /// Each form is looked for in halves as well: an allocator writes over the ends of what has been freed.
    pub(crate) fn new(what: &'static str, forms: &[&[u8]]) -> Self {
        let halves = forms.iter().filter(|form| form.len() >= 16).flat_map(|form| {
            let (left, right) = form.split_at(form.len() / 2);
            [left.to_vec(), right.to_vec()]
        });
        Self { what, forms: forms.iter().map(|form| form.to_vec()).chain(halves).collect() }
    }
}

/// The memory of a process, copied.
pub(crate) struct Image(Vec<Vec<u8>>);

impl Image {
    pub(crate) fn of(pid: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process is there");
        let memory = File::open(format!("/proc/{pid}/mem")).expect("root may read a process's memory");
        let regions = maps.lines().filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next()?, fields.next()?);
            let (from, to) = range.split_once('-')?;
            let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
            // The kernel's own pages cannot be read this way.
            let readable = rights.starts_with('r') && !line.ends_with("[vvar]") && !line.ends_with("[vsyscall]");
            readable.then_some((from, to))
        });
        let copy = |(from, to): (u64, u64)| {
            let mut bytes = vec![0; usize::try_from(to - from).ok()?];
            memory.read_exact_at(&mut bytes, from).ok().map(|()| bytes)
        };
        let image = Self(regions.filter_map(copy).collect());
        assert!(
            image.0.iter().map(Vec::len).sum::<usize>() > 1 << 20,
            "not even the program is in its memory:\n{maps}"
        );
        image
    }

    /// How often `bytes` are in it.
    pub(crate) fn count(&self, bytes: &[u8]) -> usize {
        self.0.iter().map(|region| region.windows(bytes.len()).filter(|window| window == &bytes).count()).sum()
    }

    /// Which of `secrets` are in it, with how often each form was found.
    pub(crate) fn holds(&self, secrets: &[Secret]) -> Vec<(&'static str, Vec<usize>)> {
        let counts =
            |secret: &Secret| (secret.what, secret.forms.iter().map(|form| self.count(form)).collect::<Vec<_>>());
        secrets.iter().map(counts).filter(|(_, counts)| counts.iter().any(|&count| count > 0)).collect()
    }
}
