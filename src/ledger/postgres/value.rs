//! Values on their way to PostgreSQL and back, in its binary formats: bigint, text, bytea, boolean. In: Rust's values.
//! Out: the same; a column of another kind is an error, never a guess.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::DataRowBody;

use crate::ledger::LedgerError;
use crate::protocol::Timestamp;

/// A statement's parameter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'v> {
    Int(Option<i64>),
    Text(Option<&'v str>),
    Bytes(Option<&'v [u8]>),
}

impl Value<'_> {
    /// The type's number in pg_type. The server would guess it from the statement.
    pub(super) fn oid(self) -> u32 {
        match self {
            Self::Int(_) => 20,
            Self::Text(_) => 25,
            Self::Bytes(_) => 17,
        }
    }

    /// Writes it in its binary format.
    pub(super) fn put(self, out: &mut BytesMut) -> IsNull {
        match self {
            Self::Int(Some(number)) => out.put_i64(number),
            Self::Text(Some(text)) => out.put_slice(text.as_bytes()),
            Self::Bytes(Some(bytes)) => out.put_slice(bytes),
            _ => return IsNull::Yes,
        }
        IsNull::No
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Int(Some(time.seconds()))
    }
}

impl From<Option<Timestamp>> for Value<'_> {
    fn from(time: Option<Timestamp>) -> Self {
        Self::Int(time.map(Timestamp::seconds))
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(text: Option<&'v str>) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl<'v> From<Option<&'v [u8]>> for Value<'v> {
    fn from(bytes: Option<&'v [u8]>) -> Self {
        Self::Bytes(bytes)
    }
}

/// A row, read from its first column to its last. `what` names the column in errors.
#[derive(Debug)]
pub(super) struct Row(std::vec::IntoIter<Option<Bytes>>);

impl Row {
    pub(super) fn new(body: &DataRowBody) -> std::io::Result<Self> {
        let buffer = body.buffer_bytes();
        let cells: Vec<_> = body.ranges().map(|range| Ok(range.map(|range| buffer.slice(range)))).collect()?;
        Ok(Self(cells.into_iter()))
    }

    /// The next column, which is a composite value, as a row of its own: how many columns, then for each its type and
    /// its length (record_send in PostgreSQL's rowtypes.c). `None` where it is null.
    pub(super) fn composite(&mut self, what: &'static str) -> Result<Option<Self>, LedgerError> {
        let Some(mut rest) = self.maybe_bytes(what)? else {
            return Ok(None);
        };
        let mut cells = Vec::new();
        let short = |_| LedgerError::Corrupt(what);
        for _ in 0..rest.try_get_i32().map_err(short)? {
            rest.try_get_i32().map_err(short)?;
            cells.push(match usize::try_from(rest.try_get_i32().map_err(short)?) {
                Ok(length) if length <= rest.len() => Some(rest.split_to(length)),
                Ok(_) => return Err(LedgerError::Corrupt(what)),
                Err(_) => None,
            });
        }
        Ok(Some(Self(cells.into_iter())))
    }

    /// The next `count` columns as a row of their own; `None` where the first of them is null, as all are of a row that
    /// is not there.
    pub(super) fn part(&mut self, count: usize) -> Option<Self> {
        let cells: Vec<_> = self.0.by_ref().take(count).collect();
        cells.first()?.as_ref()?;
        Some(Self(cells.into_iter()))
    }

    pub(super) fn maybe_bytes(&mut self, what: &'static str) -> Result<Option<Bytes>, LedgerError> {
        self.0.next().ok_or(LedgerError::Corrupt(what))
    }

    pub(super) fn maybe_int(&mut self, what: &'static str) -> Result<Option<i64>, LedgerError> {
        let Some(bytes) = self.maybe_bytes(what)? else {
            return Ok(None);
        };
        let bytes = bytes.as_ref().try_into().map_err(|_| LedgerError::Corrupt(what))?;
        Ok(Some(i64::from_be_bytes(bytes)))
    }

    pub(super) fn maybe_text(&mut self, what: &'static str) -> Result<Option<String>, LedgerError> {
        let Some(bytes) = self.maybe_bytes(what)? else {
            return Ok(None);
        };
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| LedgerError::Corrupt(what))
    }

    pub(super) fn maybe_time(&mut self, what: &'static str) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.maybe_int(what)?.map(Timestamp::from_seconds))
    }

    pub(super) fn bytes(&mut self, what: &'static str) -> Result<Bytes, LedgerError> {
        self.maybe_bytes(what)?.ok_or(LedgerError::Corrupt(what))
    }

    pub(super) fn int(&mut self, what: &'static str) -> Result<i64, LedgerError> {
        self.maybe_int(what)?.ok_or(LedgerError::Corrupt(what))
    }

    pub(super) fn count(&mut self, what: &'static str) -> Result<u64, LedgerError> {
        u64::try_from(self.int(what)?).map_err(|_| LedgerError::Corrupt(what))
    }

    pub(super) fn text(&mut self, what: &'static str) -> Result<String, LedgerError> {
        self.maybe_text(what)?.ok_or(LedgerError::Corrupt(what))
    }

    pub(super) fn time(&mut self, what: &'static str) -> Result<Timestamp, LedgerError> {
        Ok(Timestamp::from_seconds(self.int(what)?))
    }

    pub(super) fn flag(&mut self, what: &'static str) -> Result<bool, LedgerError> {
        Ok(self.bytes(what)?.as_ref() == [1])
    }
}
