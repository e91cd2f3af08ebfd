//! The elements of structured header fields (RFC 5322 section 3.2): white space with comments, words, keywords. In: the
//! unread rest of a field. Out: its next element. One pass, no recursion.

/// A field whose author or content cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The unread rest of a field.
pub(super) struct Reader<'f>(&'f str);

impl<'f> Reader<'f> {
    /// A field of which nothing is read yet.
    pub(super) fn of(text: &'f str) -> Self {
        Self(text)
    }

    /// How many bytes are left.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let next = chars.next();
        self.0 = chars.as_str();
        next
    }

    pub(super) fn skip(&mut self, c: char) -> bool {
        let is_next = self.peek() == Some(c);
        if is_next {
            self.next();
        }
        is_next
    }

    pub(super) fn take(&mut self, c: char) -> Result<(), Unreadable> {
        if self.skip(c) { Ok(()) } else { Err(Unreadable) }
    }

    /// White space, line ends of folding, and comments, which nest (RFC 5322 section 3.2.2).
    pub(super) fn space(&mut self) -> Result<(), Unreadable> {
        let mut depth = 0_usize;
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' => {}
                '(' => depth += 1,
                _ if depth == 0 => return Ok(()),
                ')' => depth -= 1,
                '\\' => {
                    self.next();
                }
                _ => {}
            }
            self.next();
        }
        if depth == 0 { Ok(()) } else { Err(Unreadable) }
    }

    /// A value: quoted strings and characters that end nothing, in a row, as in `"a b"@example.com`.
    pub(super) fn word(&mut self) -> Result<String, Unreadable> {
        let mut word = String::new();
        let mut is_quoted = false;
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    is_quoted = true;
                    self.quoted(&mut word)?;
                }
                ';' | '(' | ' ' | '\t' | '\r' | '\n' => break,
                ')' | '\\' => return Err(Unreadable),
                c if c.is_control() || c.is_whitespace() => return Err(Unreadable),
                c => {
                    self.next();
                    word.push(c);
                }
            }
        }
        if word.is_empty() && !is_quoted { Err(Unreadable) } else { Ok(word) }
    }

    /// A quoted string (RFC 5322 section 3.2.4), with its folding and quoting undone.
    fn quoted(&mut self, into: &mut String) -> Result<(), Unreadable> {
        self.take('"')?;
        loop {
            match self.next().ok_or(Unreadable)? {
                '"' => return Ok(()),
                '\r' | '\n' => {}
                '\\' => into.push(self.next().ok_or(Unreadable)?),
                c => into.push(c),
            }
        }
    }

    /// The name of a method, a result or a property.
    pub(super) fn keyword(&mut self) -> Result<String, Unreadable> {
        let end = self.0.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at_checked(end).ok_or(Unreadable)?;
        self.0 = rest;
        if word.is_empty() { Err(Unreadable) } else { Ok(word.to_owned()) }
    }
}
