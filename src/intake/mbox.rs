//! A mailbox in one file. In: its bytes. Out: its messages.

/// The messages of an mbox file, each without its From_ line (RFC 4155).
pub fn mbox(text: &[u8]) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut is_after_empty = true;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if is_after_empty && line.starts_with(b"From ") {
            messages.push(Vec::new());
        } else if let Some(message) = messages.last_mut() {
            message.extend_from_slice(line);
        }
        is_after_empty = matches!(line, b"\n" | b"\r\n");
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mbox_is_split_at_its_from_lines() {
        let text = b"From a@x Mon\nSubject: one\n\nFrom here on\n>From x\n\nFrom b@x Tue\nSubject: two\n\ntext\n";
        let messages = mbox(text);
        assert_eq!(messages.len(), 3, "a text line after an empty one cannot be told apart");
        assert!(messages.iter().any(|message| message.starts_with(b"Subject: two\n")));
        assert!(mbox(b"no mbox\n").is_empty());
    }
}
