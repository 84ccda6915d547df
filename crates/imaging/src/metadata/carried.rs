//! The EXIF that outputs carry: read from a source, cleaned, and written as a block of its own.

use super::directory::{Block, Directory, DirectoryEntry, Field, swapped, width, write};
use super::{without_prefix, xmp};

const ORIENTATION: u16 = 0x0112;
const ARTIST: u16 = 0x013b;
const COPYRIGHT: u16 = 0x8298;
const EXIF_IFD: u16 = 0x8769;
const GPS_IFD: u16 = 0x8825;
const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// More entries than any camera writes.
const MAX_ENTRIES: u16 = 512;
/// A block must fit into a JPEG segment.
const MAX_BYTES: usize = 60_000;

/// The directories that are carried.
#[derive(Debug, Clone, Default)]
pub(crate) struct Carried {
    pub(crate) main: Vec<Field>,
    pub(crate) camera: Vec<Field>,
    pub(crate) gps: Vec<Field>,
}

impl Carried {
    /// Reads a source's EXIF block and XMP packet, and removes what must not be carried. `None` if nothing remains.
    pub(crate) fn of(block: Option<&[u8]>, packet: Option<&[u8]>) -> Option<Self> {
        let mut carried = block.and_then(read).unwrap_or_default();
        for (tag, property) in [(COPYRIGHT, "dc:rights"), (ARTIST, "dc:creator")] {
            if !carried.main.iter().any(|field| field.tag == tag)
                && let Some(text) = packet.and_then(|packet| xmp::first_text(packet, property))
            {
                carried.main.push(Field { tag, kind: ASCII, data: [text.as_bytes(), &[0]].concat() });
            }
        }
        carried.main.sort_by_key(|field| field.tag);
        if carried.bytes() > MAX_BYTES {
            carried.camera.retain(|field| field.data.len() <= 1000);
            carried.main.retain(|field| field.data.len() <= 1000);
        }
        let is_empty = carried.camera.is_empty()
            && carried.gps.is_empty()
            && carried.main.iter().all(|field| field.tag == ORIENTATION);
        (!is_empty && carried.bytes() <= MAX_BYTES).then_some(carried)
    }

    /// Only the artist and the copyright. `None` if there is neither.
    pub(crate) fn only_rights(self) -> Option<Self> {
        let main: Vec<Field> = self.main.into_iter().filter(|field| matches!(field.tag, ARTIST | COPYRIGHT)).collect();
        (!main.is_empty()).then(|| Self { main, ..Self::default() })
    }

    /// At least the bytes of the written block.
    fn bytes(&self) -> usize {
        [&self.main, &self.camera, &self.gps].into_iter().flatten().map(|field| field.data.len() + 13).sum::<usize>()
            + 40
    }

    /// A block that begins with its byte order.
    pub(crate) fn block(&self) -> Vec<u8> {
        let mut block = b"II*\0\x08\0\0\0".to_vec();
        let mut main = self.main.clone();
        // Their offsets are known once the first directory is written.
        for (tag, fields) in [(EXIF_IFD, &self.camera), (GPS_IFD, &self.gps)] {
            if !fields.is_empty() {
                main.push(Field { tag, kind: LONG, data: vec![0; 4] });
            }
        }
        main.sort_by_key(|field| field.tag);
        write(&mut block, &main);
        for (tag, fields) in [(EXIF_IFD, &self.camera), (GPS_IFD, &self.gps)] {
            if let Some(index) = main.iter().position(|field| field.tag == tag) {
                let offset = (block.len() as u32).to_le_bytes();
                block[8 + 2 + 12 * index + 8..][..4].copy_from_slice(&offset);
                write(&mut block, fields);
            }
        }
        block
    }
}

fn read(block: &[u8]) -> Option<Carried> {
    let block = Block::new(without_prefix(block))?;
    let mut main = fields(block, block.main(MAX_ENTRIES)?);
    let inside = |tag| {
        let field = main.iter().find(|field| field.tag == tag && field.kind == LONG)?;
        let offset = u32::from_le_bytes(*field.data.first_chunk()?);
        Some(fields(block, block.directory(offset.into(), MAX_ENTRIES)?))
    };
    let mut camera = inside(EXIF_IFD).unwrap_or_default();
    let gps = inside(GPS_IFD).unwrap_or_default();
    camera.retain(|field| !is_left_behind(field.tag));
    main.retain(|field| !is_left_behind(field.tag));
    // The pixels are upright.
    main.push(Field { tag: ORIENTATION, kind: SHORT, data: vec![1, 0] });
    Some(Carried { main, camera, gps })
}

/// The entries of a directory that can be read; each tag once. Together they are not larger than the block.
fn fields(block: Block<'_>, directory: Directory<'_>) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    let mut bytes = 0;
    for field in directory.entries().filter_map(|entry| field(block, entry)) {
        bytes += field.data.len();
        if bytes <= block.bytes.len() && !fields.iter().any(|other| other.tag == field.tag) {
            fields.push(field);
        }
    }
    fields.sort_by_key(|field| field.tag);
    fields
}

fn field(block: Block<'_>, entry: DirectoryEntry<'_>) -> Option<Field> {
    let kind = entry.kind()?;
    let length = usize::try_from(entry.count()?).ok()?.checked_mul(width(kind)?)?;
    let mut data = block.values(&entry)?.get(..length)?.to_vec();
    if !block.form.little_endian {
        data.chunks_exact_mut(swapped(kind)).for_each(<[u8]>::reverse);
    }
    (!data.is_empty()).then_some(Field { tag: entry.tag, kind, data })
}

/// Offsets, thumbnails, maker notes, and all tags that describe the source's own pixels and strips.
fn is_left_behind(tag: u16) -> bool {
    matches!(
        tag,
        0x00fe..=0x0103
            | 0x0106
            | 0x010a
            | 0x0111
            | ORIENTATION
            | 0x0115..=0x0117
            | 0x011c
            | 0x013d
            | 0x0140..=0x015b
            | 0x0200..=0x0214
            | 0x02bc
            | 0x83bb
            | 0x8649
            | EXIF_IFD
            | 0x8773
            | GPS_IFD
            | 0x927c
            | 0x935c
            | 0xa002
            | 0xa003
            | 0xa005
            | 0xea1c
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tag: u16, text: &str) -> Field {
        Field { tag, kind: ASCII, data: [text.as_bytes(), &[0]].concat() }
    }

    fn sample() -> Carried {
        Carried {
            main: vec![
                text(0x010f, "Maker"),
                Field { tag: ORIENTATION, kind: 3, data: vec![6, 0] },
                text(COPYRIGHT, "© me"),
            ],
            camera: vec![text(0x9003, "2026:01:02 03:04:05"), text(0x927c, "secret notes"), text(0xa002, "99")],
            gps: vec![Field { tag: 2, kind: 5, data: vec![1; 24] }],
        }
    }

    fn tags(fields: &[Field]) -> Vec<u16> {
        fields.iter().map(|field| field.tag).collect()
    }

    /// The block with every field in the other byte order.
    fn big_endian(block: &[u8]) -> Vec<u8> {
        let mut big = block.to_vec();
        big[..8].copy_from_slice(b"MM\0*\0\0\0\x08");
        let le16 = |at: usize| usize::from(u16::from_le_bytes([block[at], block[at + 1]]));
        let le32 = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap()) as usize;
        let mut directories = vec![8];
        while let Some(at) = directories.pop() {
            big[at..at + 2].reverse();
            for entry in (0..le16(at)).map(|i| at + 2 + 12 * i) {
                let (tag, kind, count) = (le16(entry) as u16, le16(entry + 2) as u16, le32(entry + 4));
                let length = count * width(kind).unwrap();
                let from = if length <= 4 { entry + 8 } else { le32(entry + 8) };
                let swap = if kind == 5 { 4 } else { width(kind).unwrap() };
                big[from..from + length].chunks_exact_mut(swap).for_each(<[u8]>::reverse);
                if length > 4 {
                    big[entry + 8..entry + 12].reverse();
                }
                if matches!(tag, EXIF_IFD | GPS_IFD) {
                    directories.push(le32(entry + 8));
                }
                big[entry..entry + 2].reverse();
                big[entry + 2..entry + 4].reverse();
                big[entry + 4..entry + 8].reverse();
            }
        }
        big
    }

    #[test]
    fn block_is_cleaned_and_survives_either_byte_order() {
        let block = sample().block();
        for block in [block.clone(), big_endian(&block)] {
            let exif = Carried::of(Some(&block), None).unwrap();
            assert_eq!(tags(&exif.main), [0x010f, ORIENTATION, COPYRIGHT]);
            assert_eq!(tags(&exif.camera), [0x9003]);
            assert_eq!(exif.gps[0].data, [1; 24]);
            assert_eq!(exif.main[1].data, [1, 0]);
            assert_eq!(exif.main[2].data, "© me\0".as_bytes());
        }
    }

    #[test]
    fn rights_are_kept_without_the_rest() {
        let rights = Carried::of(Some(&sample().block()), None).unwrap().only_rights().unwrap();
        assert_eq!(tags(&rights.main), [COPYRIGHT]);
        assert!(rights.camera.is_empty() && rights.gps.is_empty());
    }

    #[test]
    fn rights_are_found_in_xmp_too() {
        let xmp = r#"<x:xmpmeta><dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© A &amp; B</rdf:li></rdf:Alt></dc:rights>
            <dc:creator><rdf:Seq><rdf:li>Someone</rdf:li></rdf:Seq></dc:creator></x:xmpmeta>"#;
        let rights = Carried::of(None, Some(xmp.as_bytes())).unwrap().only_rights().unwrap();
        assert_eq!(tags(&rights.main), [ARTIST, COPYRIGHT]);
        assert_eq!(rights.main[1].data, "© A & B\0".as_bytes());
    }

    #[test]
    fn broken_blocks_are_no_metadata() {
        let block = sample().block();
        assert!(Carried::of(Some(b"Exif\0\0II*\0\xff\xff\xff\xff"), None).is_none());
        for end in 0..block.len() {
            // Whatever can be read is kept; nothing panics.
            let _ = Carried::of(Some(&block[..end]), None).map(|exif| exif.block());
        }
    }
}
