//! Output in bounded memory. In: the output of a command, perhaps gigabytes. Out: its head and tail, and how many
//! bytes between them were left out.

use std::collections::VecDeque;

/// Output while it arrives: the first half of the limit, and a window on the last half.
pub(super) struct Capture {
    half: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

/// What is kept of a command's output.
#[derive(Debug)]
pub struct Captured {
    head: Vec<u8>,
    tail: Vec<u8>,
    left_out: u64,
}

impl Capture {
    pub(super) fn new(limit: u64) -> Self {
        let half = usize::try_from(limit / 2).unwrap_or(usize::MAX).max(1);
        Self { half, head: Vec::new(), tail: VecDeque::new(), left_out: 0 }
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        let room = self.half - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        let kept = rest.get(rest.len().saturating_sub(self.half)..).unwrap_or_default();
        let over = (self.tail.len() + kept.len()).saturating_sub(self.half);
        self.tail.drain(..over);
        self.tail.extend(kept);
        self.left_out += (over + rest.len() - kept.len()) as u64;
    }

    pub(super) fn finish(self) -> Captured {
        Captured { head: self.head, tail: self.tail.into(), left_out: self.left_out }
    }
}

impl Captured {
    /// The output as text; what is not UTF-8 becomes U+FFFD, and a gap says how long it is.
    pub fn text(&self) -> String {
        if self.left_out == 0 {
            let whole = [self.head.as_slice(), &self.tail].concat();
            return String::from_utf8_lossy(&whole).into_owned();
        }
        format!(
            "{}\n[… {} bytes left out …]\n{}",
            String::from_utf8_lossy(&self.head),
            self.left_out,
            String::from_utf8_lossy(&self.tail)
        )
    }

    /// How many bytes there were in all.
    pub fn size(&self) -> u64 {
        self.head.len() as u64 + self.left_out + self.tail.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn head_and_tail_are_the_outputs_own(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20),
            limit in 2u64..100,
        ) {
            let mut capture = Capture::new(limit);
            for chunk in &chunks {
                capture.take(chunk);
            }
            let captured = capture.finish();
            let whole = chunks.concat();
            prop_assert_eq!(captured.size(), whole.len() as u64);
            prop_assert!(whole.starts_with(&captured.head));
            prop_assert!(whole.ends_with(&captured.tail));
            prop_assert!((captured.head.len() + captured.tail.len()) as u64 <= limit);
            if (whole.len() as u64) < limit {
                prop_assert_eq!(captured.left_out, 0);
            }
        }
    }

    #[test]
    fn a_gap_is_told() {
        let mut capture = Capture::new(4);
        capture.take(b"abcdefgh");
        assert_eq!(capture.finish().text(), "ab\n[… 4 bytes left out …]\ngh");
    }
}
