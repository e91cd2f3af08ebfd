//! Tables on a terminal: a header row, columns as wide as their widest cell, the last column wrapped on a narrow
//! terminal. For programs there is `--json`.

use super::stdout::{self, Colour, StdoutError};

/// A cell, with its colour on a terminal.
pub(super) struct Cell(pub(super) String, pub(super) Option<Colour>);

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self(text.into(), None)
    }
}

/// A table of `N` columns.
pub(super) struct Table<const N: usize> {
    head: [&'static str; N],
    widths: [usize; N],
    rows: Vec<[Cell; N]>,
    is_begun: bool,
}

/// What stands between two columns.
const GAP: &str = "  ";

/// The last column is not wrapped into less than this.
const LEAST: usize = 20;

impl<const N: usize> Table<N> {
    /// An empty table with this header.
    pub(super) fn new(head: [&'static str; N]) -> Self {
        Self { head, widths: head.map(str::len), rows: Vec::new(), is_begun: false }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, row: [Cell; N]) {
        for (width, Cell(text, _)) in self.widths.iter_mut().zip(&row) {
            *width = (*width).max(text.chars().count());
        }
        self.rows.push(row);
    }

    /// Prints the rows that were added since it was printed last; the header comes before the first one. Without a row
    /// it prints nothing.
    pub(super) fn print(&mut self) -> Result<(), StdoutError> {
        let rows = std::mem::take(&mut self.rows);
        if !rows.is_empty() && !std::mem::replace(&mut self.is_begun, true) {
            self.line(&self.head.map(Cell::from))?;
        }
        rows.iter().try_for_each(|row| self.line(row))
    }

    fn line(&self, row: &[Cell; N]) -> Result<(), StdoutError> {
        let Some((Cell(last, colour), before)) = row.split_last() else {
            return Ok(());
        };
        let mut parts = Vec::with_capacity(2 * N);
        let mut indent = 0;
        for (Cell(text, colour), width) in before.iter().zip(self.widths) {
            let padding = " ".repeat(width.saturating_sub(text.chars().count()) + GAP.len());
            parts.push((*colour, text.clone()));
            parts.push((None, padding));
            indent += width + GAP.len();
        }
        let room = stdout::width().and_then(|width| width.checked_sub(indent)).filter(|room| *room >= LEAST);
        let mut lines = wrapped(last, room.unwrap_or(usize::MAX)).into_iter();
        parts.push((*colour, lines.next().unwrap_or_default()));
        let parts: Vec<_> = parts.iter().map(|(colour, text)| (*colour, text.as_str())).collect();
        // An empty last cell leaves no blanks at the end of the line.
        match parts.as_slice() {
            [rest @ .., (None, _), (_, "")] => stdout::parts(rest)?,
            all => stdout::parts(all)?,
        }
        for line in lines {
            stdout::parts(&[(None, &" ".repeat(indent)), (*colour, &line)])?;
        }
        Ok(())
    }
}

/// `text` in lines of at most `room` characters, cut at spaces where there are any.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + word.len() > room {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        while word.len() > room {
            let rest = word.split_off(room);
            lines.push(word.into_iter().collect());
            word = rest;
        }
        length += word.len();
        line.extend(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_is_wrapped_at_spaces() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("onetwothree", 4), ["onet", "woth", "ree"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("a b", usize::MAX), ["a b"]);
    }
}
