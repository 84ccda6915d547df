//! TIFF directories: an iterator over their entries, for a file's own directory and for EXIF blocks alike, and the writer.
//!
//! A directory is a count and as many entries of 12 bytes (20 in `BigTIFF`): tag, type, count, and a slot that holds the values,
//! or their offset where they do not fit.

use std::iter;

/// How a file writes numbers and entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) little_endian: bool,
    /// Counts and offsets have eight bytes, as in `BigTIFF`.
    pub(crate) big_tiff: bool,
}

impl Form {
    /// The bytes of a count, an offset and an entry's slot.
    pub(crate) fn slot(self) -> usize {
        if self.big_tiff { 8 } else { 4 }
    }

    /// The bytes of a whole entry.
    pub(crate) fn entry(self) -> usize {
        4 + 2 * self.slot()
    }

    /// A number of at most eight bytes.
    pub(crate) fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        if self.little_endian { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }

    /// The number in the first `size` bytes; `None` if there are fewer.
    fn first(self, bytes: &[u8], size: usize) -> Option<u64> {
        bytes.get(..size).map(|bytes| self.number(bytes))
    }
}

/// The bytes of a directory's entries. They may end early.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directory<'a> {
    bytes: &'a [u8],
    form: Form,
}

impl<'a> Directory<'a> {
    /// `bytes` begin behind the directory's count, and hold nothing but entries.
    pub(crate) fn new(bytes: &'a [u8], form: Form) -> Self {
        Self { bytes, form }
    }

    /// Its entries in the order of the file. The last one may be cut short, but not within its tag.
    pub(crate) fn entries(self) -> impl Iterator<Item = DirectoryEntry<'a>> {
        let mut entries = self.bytes.chunks(self.form.entry());
        iter::from_fn(move || {
            let (tag, rest) = entries.next()?.split_at_checked(2)?;
            Some(DirectoryEntry { tag: self.form.number(tag) as u16, rest, form: self.form })
        })
    }

    /// The first entry with this tag.
    pub(crate) fn find(self, tag: u16) -> Option<DirectoryEntry<'a>> {
        self.entries().find(|entry| entry.tag == tag)
    }
}

/// An entry. What is missing at the end of the file is `None`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirectoryEntry<'a> {
    pub(crate) tag: u16,
    /// What follows the tag.
    rest: &'a [u8],
    form: Form,
}

impl<'a> DirectoryEntry<'a> {
    /// TIFF's number of the type.
    pub(crate) fn kind(&self) -> Option<u16> {
        self.form.first(self.rest, 2).map(|kind| kind as u16)
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> Option<u64> {
        self.form.first(self.rest.get(2..)?, self.form.slot())
    }

    /// The values, or their offset.
    pub(crate) fn slot(&self) -> &'a [u8] {
        self.rest.get(2 + self.form.slot()..).unwrap_or_default()
    }

    /// The number in the slot's first `size` bytes.
    pub(crate) fn number(&self, size: usize) -> Option<u64> {
        self.form.first(self.slot(), size)
    }
}

/// An EXIF block: a TIFF structure in memory, whose offsets count from its first byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) form: Form,
}

impl<'a> Block<'a> {
    /// `None` if the block does not begin with a byte order.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let little_endian = match bytes.get(..4)? {
            b"MM\0*" => false,
            b"II*\0" => true,
            _ => return None,
        };
        Some(Self { bytes, form: Form { little_endian, big_tiff: false } })
    }

    /// The first directory, at most `most` of its entries.
    pub(crate) fn main(self, most: u16) -> Option<Directory<'a>> {
        self.directory(self.form.first(self.bytes.get(4..)?, 4)?, most)
    }

    /// The directory at an offset, at most `most` of its entries.
    pub(crate) fn directory(self, at: u64, most: u16) -> Option<Directory<'a>> {
        let (count, entries) = self.bytes.get(usize::try_from(at).ok()?..)?.split_at_checked(2)?;
        let count = (self.form.number(count) as u16).min(most);
        let length = entries.len().min(usize::from(count) * self.form.entry());
        Some(Directory::new(&entries[..length], self.form))
    }

    /// From an entry's first value to the end of the slot or, for values outside it, of the block. `None` for a type that is
    /// unknown, and for an offset behind the end.
    pub(crate) fn values(self, entry: &DirectoryEntry<'a>) -> Option<&'a [u8]> {
        let length = entry.count()?.checked_mul(width(entry.kind()?)? as u64)?;
        if length <= 4 {
            return Some(entry.slot());
        }
        self.bytes.get(usize::try_from(entry.number(4)?).ok()?..)
    }
}

/// The bytes of one value, of TIFF's types 1 to 12.
pub(crate) fn width(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 => Some(4),
        5 | 10 | 12 => Some(8),
        _ => None,
    }
}

/// The bytes that change places with the byte order: rationals are pairs of four bytes, doubles are one number of eight.
pub(crate) fn swapped(kind: u16) -> usize {
    if matches!(kind, 5 | 10) { 4 } else { width(kind).unwrap_or(1) }
}

/// An entry with its values, in little-endian order.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) tag: u16,
    /// TIFF's number of the type.
    pub(crate) kind: u16,
    /// Whole values of the type.
    pub(crate) data: Vec<u8>,
}

/// Appends a directory in little-endian order to `block`, and behind it the values that do not fit into slots.
pub(super) fn write(block: &mut Vec<u8>, fields: &[Field]) {
    let mut outside: Vec<u8> = Vec::new();
    let end = block.len() + 2 + 12 * fields.len() + 4;
    block.extend((fields.len() as u16).to_le_bytes());
    for Field { tag, kind, data } in fields {
        block.extend(tag.to_le_bytes());
        block.extend(kind.to_le_bytes());
        block.extend(((data.len() / width(*kind).unwrap_or(1)) as u32).to_le_bytes());
        if data.len() <= 4 {
            let mut slot = [0; 4];
            slot[..data.len()].copy_from_slice(data);
            block.extend(slot);
        } else {
            block.extend(((end + outside.len()) as u32).to_le_bytes());
            outside.extend(data);
            if data.len() % 2 == 1 {
                outside.push(0);
            }
        }
    }
    block.extend([0; 4]);
    block.extend(outside);
}
