//! A message as it came. In: standard input, or another [`Source`]. Out: at most `limits.message` bytes, which are wiped when
//! dropped.

use std::io::{self, ErrorKind, Read};

use zeroize::Zeroize;

use crate::error::{Deferral, Reason, Refusal, Stop};
use crate::limits::MESSAGE_BUFFER;

/// Where a message is read from.
pub trait Source {
    /// Appends the next bytes to `message`, at most as many as it has room for, so that it does not grow. Returns how many;
    /// none is the end.
    ///
    /// # Errors
    ///
    /// What read(2) says; after [`ErrorKind::Interrupted`] it is called again.
    fn append(&mut self, message: &mut Vec<u8>) -> io::Result<usize>;
}

impl<R: Read> Source for R {
    fn append(&mut self, message: &mut Vec<u8>) -> io::Result<usize> {
        let room = message.capacity() - message.len();
        self.take(room as u64).read_to_end(message)
    }
}

/// A message as it came; of the buffer, which is as large as the limit, only the used part is wiped.
pub(super) struct Raw(pub(super) Vec<u8>);

impl Drop for Raw {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl Raw {
    /// Reads at most `limit` bytes. A small buffer first: most mails fit, and the large one is a mapping of its own, which costs
    /// a mail without a request 3 % of its time.
    pub(super) fn read(mail: &mut dyn Source, limit: u64) -> Result<Self, Stop> {
        let mut raw = Self(Vec::with_capacity(MESSAGE_BUFFER));
        let mut read = raw.fill(mail);
        if raw.0.len() >= MESSAGE_BUFFER {
            // The largest size at once, because a buffer that grows leaves unwiped copies behind. Unused pages cost nothing.
            let mut whole =
                Self(Vec::with_capacity(usize::try_from(limit + 1).unwrap_or_default().max(MESSAGE_BUFFER)));
            whole.0.extend_from_slice(&raw.0);
            raw = whole;
            read = read.and_then(|()| raw.fill(mail));
        }
        read.map_err(|error| Deferral::new("input", format!("standard input: {error}")))?;
        if raw.0.len() as u64 > limit {
            let detail = format!("more than limits.message, {limit} bytes");
            return Err(Refusal::new(Reason::TooLarge, detail).into());
        }
        Ok(raw)
    }

    /// Reads until there is no room, or until the end.
    fn fill(&mut self, mail: &mut dyn Source) -> io::Result<()> {
        while self.0.len() < self.0.capacity() {
            match mail.append(&mut self.0) {
                Ok(0) => break,
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_up_to_the_limit_and_its_buffer_never_grows() {
        let limit = 4 * MESSAGE_BUFFER;
        let read = |mut mail: &[u8]| Raw::read(&mut mail, limit as u64);
        for length in [0, 1, MESSAGE_BUFFER - 1, MESSAGE_BUFFER, MESSAGE_BUFFER + 1, limit - 1, limit] {
            let mail: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
            let raw = read(&mail).expect("it is small enough");
            assert!(raw.0 == mail, "{length}");
            let capacity = if length < MESSAGE_BUFFER { MESSAGE_BUFFER } else { limit + 1 };
            assert_eq!(raw.0.capacity(), capacity, "{length}");
        }
        for length in [limit + 1, limit + 2, 3 * limit] {
            let refused = read(&vec![b'x'; length]);
            assert!(matches!(refused, Err(Stop::Refusal(refusal)) if refusal.reason() == Reason::TooLarge), "{length}");
        }
    }
}
