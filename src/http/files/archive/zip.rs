//! ZIP as a stream: entries are stored without compression, sizes and checksums follow the content, ZIP64 where 32 bits
//! are too few.
//!
//! It makes only the bytes between the files and keeps some 100 bytes for each entry, for the directory. It sees the
//! content of the files, but does not keep it. After PKWARE's APPNOTE 6.3.10.

use jiff::Timestamp;
use jiff::tz::Offset;

/// The smallest size that needs 64 bits.
const LARGE: u64 = 0xffff_ffff;
const MANY: u64 = 0xffff;
/// Sizes follow the content; the name is UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
const UNIX: u16 = 3 << 8;
/// A plain file that all may read.
const MODE: u32 = 0o100_644 << 16;

/// An archive that is being written.
pub(super) struct Zip {
    /// Bytes written so far.
    offset: u64,
    entries: u64,
    directory: Vec<u8>,
    stamp: Stamp,
}

/// An entry that is being written.
pub(super) struct ZipEntry {
    name: String,
    begin: u64,
    size: u64,
    crc: crc32fast::Hasher,
    large: bool,
}

/// MS-DOS' time and date, in UTC.
#[derive(Clone, Copy)]
struct Stamp(u16, u16);

impl Zip {
    /// All entries get the time `at`.
    pub(super) fn new(at: Timestamp) -> Self {
        Self { offset: 0, entries: 0, directory: Vec::new(), stamp: Stamp::of(at) }
    }

    /// Begins an entry of at most `most` bytes. Returns its header, which is written before the content.
    pub(super) fn begin(&mut self, name: String, most: u64) -> (ZipEntry, Vec<u8>) {
        let large = most >= LARGE;
        let mut header = Vec::with_capacity(50 + name.len());
        put32(&mut header, 0x0403_4b50);
        put16(&mut header, if large { VERSION_64 } else { VERSION });
        self.common(&mut header, 0, if large { [LARGE; 2] } else { [0; 2] }, name.len(), if large { 20 } else { 0 });
        header.extend_from_slice(name.as_bytes());
        if large {
            extra(&mut header, &[0, 0]);
        }
        let entry = ZipEntry { name, begin: self.offset, size: 0, crc: crc32fast::Hasher::new(), large };
        self.offset += header.len() as u64;
        (entry, header)
    }

    /// Ends an entry. Returns the bytes that follow its content.
    pub(super) fn end(&mut self, entry: ZipEntry) -> Vec<u8> {
        let ZipEntry { name, begin, size, crc, large } = entry;
        let crc = crc.finalize();
        let mut behind = Vec::with_capacity(24);
        put32(&mut behind, 0x0807_4b50);
        put32(&mut behind, crc);
        for size in [size; 2] {
            if large { put64(&mut behind, size) } else { put32(&mut behind, size as u32) }
        }
        self.offset += size + behind.len() as u64;
        self.list(&name, crc, size, begin, large);
        behind
    }

    /// The directory, which is written last.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let (begin, size, entries) = (self.offset, self.directory.len() as u64, self.entries);
        let end = &mut self.directory;
        if begin >= LARGE || size >= LARGE || entries >= MANY {
            put32(end, 0x0606_4b50);
            put64(end, 44);
            put16(end, UNIX | VERSION_64);
            put16(end, VERSION_64);
            put64(end, 0);
            for number in [entries, entries, size, begin] {
                put64(end, number);
            }
            put32(end, 0x0706_4b50);
            put32(end, 0);
            put64(end, begin + size);
            put32(end, 1);
        }
        put32(end, 0x0605_4b50);
        put32(end, 0);
        for number in [entries; 2] {
            put16(end, number.min(MANY) as u16);
        }
        for number in [size, begin] {
            put32(end, number.min(LARGE) as u32);
        }
        put16(end, 0);
        self.directory
    }

    fn list(&mut self, name: &str, crc: u32, size: u64, begin: u64, large: bool) {
        let wide: Vec<u64> = [size, size, begin].into_iter().filter(|&number| number >= LARGE).collect();
        let mut directory = std::mem::take(&mut self.directory);
        put32(&mut directory, 0x0201_4b50);
        let version = if large || !wide.is_empty() { VERSION_64 } else { VERSION };
        put16(&mut directory, UNIX | version);
        put16(&mut directory, version);
        let extra_bytes = if wide.is_empty() { 0 } else { 4 + 8 * wide.len() };
        self.common(&mut directory, crc, [size; 2], name.len(), extra_bytes);
        // No comment, the first disk, not known to be text.
        for number in [0, 0, 0] {
            put16(&mut directory, number);
        }
        put32(&mut directory, MODE);
        put32(&mut directory, begin.min(LARGE) as u32);
        directory.extend_from_slice(name.as_bytes());
        if !wide.is_empty() {
            extra(&mut directory, &wide);
        }
        (self.directory, self.entries) = (directory, self.entries + 1);
    }

    /// The fields that an entry's header and its line in the directory have in common.
    fn common(&self, bytes: &mut Vec<u8>, crc: u32, sizes: [u64; 2], name: usize, extra: usize) {
        let Stamp(time, date) = self.stamp;
        // Method 0: stored.
        for number in [FLAGS, 0, time, date] {
            put16(bytes, number);
        }
        put32(bytes, crc);
        for size in sizes {
            put32(bytes, size.min(LARGE) as u32);
        }
        put16(bytes, name as u16);
        put16(bytes, extra as u16);
    }
}

impl ZipEntry {
    /// Counts a piece of the content.
    pub(super) fn passes(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        self.size += bytes.len() as u64;
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

impl Stamp {
    fn of(at: Timestamp) -> Self {
        let at = Offset::UTC.to_datetime(at);
        let years = (at.year() - 1980).clamp(0, 127) as u16;
        let date = years << 9 | (at.month() as u16) << 5 | at.day() as u16;
        let time = (at.hour() as u16) << 11 | (at.minute() as u16) << 5 | (at.second() / 2) as u16;
        Self(time, date)
    }
}

/// The extra field for sizes that need more than 32 bits.
fn extra(bytes: &mut Vec<u8>, numbers: &[u64]) {
    put16(bytes, 1);
    put16(bytes, 8 * numbers.len() as u16);
    for number in numbers.iter().copied() {
        put64(bytes, number);
    }
}

fn put16(bytes: &mut Vec<u8>, number: u16) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put32(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put64(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Seek, SeekFrom, Write};
    use std::path::Path;

    use ::zip::ZipArchive;

    use super::*;

    /// The archive as an independent reader opens it.
    fn opened(file: &Path) -> ZipArchive<File> {
        ZipArchive::new(File::open(file).unwrap()).unwrap()
    }

    /// The content of the entry with this name.
    fn content(archive: &mut ZipArchive<File>, name: &str) -> String {
        std::io::read_to_string(archive.by_name(name).unwrap()).unwrap()
    }

    fn add(zip: &mut Zip, file: &mut File, name: &str, content: &[u8], most: u64) {
        let (mut entry, header) = zip.begin(name.into(), most);
        entry.passes(content);
        file.write_all(&header).unwrap();
        file.write_all(content).unwrap();
        file.write_all(&zip.end(entry)).unwrap();
    }

    #[test]
    fn more_entries_than_sixteen_bits_count_are_all_listed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("many.zip");
        let mut file = File::create(&path).unwrap();
        let mut zip = Zip::new("2026-05-06T07:08:10Z".parse().unwrap());
        for i in 0..70_000 {
            add(&mut zip, &mut file, &format!("ü{i}"), &[], 0);
        }
        file.write_all(&zip.finish()).unwrap();
        let mut archive = opened(&path);
        assert_eq!(archive.len(), 70_000);
        assert_eq!(archive.by_index(69_999).unwrap().name().unwrap(), "ü69999");
        let time = archive.by_index(0).unwrap().last_modified().unwrap();
        assert_eq!((time.year(), time.month(), time.day()), (2026, 5, 6));
        assert_eq!((time.hour(), time.minute(), time.second()), (7, 8, 10));
    }

    #[test]
    fn entries_behind_and_beyond_four_gibibytes_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.zip");
        let mut file = File::create(&path).unwrap();
        let mut zip = Zip::new(Timestamp::UNIX_EPOCH);
        // A sparse file: it takes little room on the disk, and its checksum does not matter here.
        let size = 5 << 30;
        let (mut entry, header) = zip.begin("hole".into(), size);
        entry.size = size;
        file.write_all(&header).unwrap();
        file.seek(SeekFrom::Current(size as i64)).unwrap();
        file.write_all(&zip.end(entry)).unwrap();
        add(&mut zip, &mut file, "behind", b"found", 5);
        add(&mut zip, &mut file, "unknown", b"too", LARGE);
        file.write_all(&zip.finish()).unwrap();
        let mut archive = opened(&path);
        let hole = archive.by_name("hole").unwrap();
        assert_eq!((hole.size(), hole.last_modified().unwrap().year()), (5_368_709_120, 1980));
        drop(hole);
        assert_eq!(content(&mut archive, "behind"), "found");
        assert_eq!(content(&mut archive, "unknown"), "too");
    }
}
