//! Output in bounded memory. In: the output of a command, perhaps gigabytes. Out: its head and tail, and how many
//! bytes between them were left out.

use std::collections::VecDeque;

use crate::authorize::conceal;
use crate::limits::SECRET_IN_OUTPUT;

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
    /// How many bytes there were in all.
    size: u64,
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
        let size = self.head.len() as u64 + self.left_out + self.tail.len() as u64;
        Captured { head: self.head, tail: self.tail.into(), left_out: self.left_out, size }
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
        self.size
    }

    /// Puts [`SECRET`](crate::protocol::SECRET) in the place of each of `secrets`, and of a piece of one that the gap
    /// has cut.
    pub(super) fn conceal(&mut self, secrets: &[&str]) {
        let secrets: Vec<_> = secrets.iter().copied().filter(|secret| secret.len() >= SECRET_IN_OUTPUT).collect();
        if secrets.is_empty() {
            return;
        }
        let mut head = std::mem::take(&mut self.head);
        let mut tail = std::mem::take(&mut self.tail);
        if self.left_out == 0 {
            head.append(&mut tail);
        } else {
            for secret in &secrets {
                let cut = |piece: &dyn Fn(usize) -> bool| (1..secret.len()).rev().find(|&length| piece(length));
                let bytes = secret.as_bytes();
                if let Some(length) = cut(&|length| bytes.get(..length).is_some_and(|start| head.ends_with(start))) {
                    head.truncate(head.len() - length);
                }
                let ending = |length| bytes.get(secret.len() - length..).is_some_and(|end| tail.starts_with(end));
                if let Some(length) = cut(&ending) {
                    tail.drain(..length);
                }
            }
        }
        let conceal = |bytes: &[u8]| conceal(&String::from_utf8_lossy(bytes), &secrets, SECRET_IN_OUTPUT).into_bytes();
        (self.head, self.tail) = (conceal(&head), conceal(&tail));
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
    fn no_piece_of_a_secret_is_left() {
        let secrets = ["hunter2x", "hunter2", "abc"];
        let concealed = |limit, output: &str| {
            let mut capture = Capture::new(limit);
            capture.take(output.as_bytes());
            let mut captured = capture.finish();
            captured.conceal(&secrets);
            (captured.text(), captured.size())
        };
        assert_eq!(concealed(100, "a hunter2x b hunter2 abc"), ("a [secret] b [secret] abc".to_owned(), 24));
        let (text, size) = concealed(16, "12345huntxxxxxxxxxxer2x5678");
        assert_eq!((text.as_str(), size), ("12345\n[… 11 bytes left out …]\n5678", 27));
    }

    #[test]
    fn a_gap_is_told() {
        let mut capture = Capture::new(4);
        capture.take(b"abcdefgh");
        assert_eq!(capture.finish().text(), "ab\n[… 4 bytes left out …]\ngh");
    }
}
