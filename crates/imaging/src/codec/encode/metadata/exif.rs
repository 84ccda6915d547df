//! EXIF read into its entries, cleaned, and written as a block of its own.

const ORIENTATION: u16 = 0x0112;
const ARTIST: u16 = 0x013b;
const COPYRIGHT: u16 = 0x8298;
const EXIF_IFD: u16 = 0x8769;
const GPS_IFD: u16 = 0x8825;
const ASCII: u16 = 2;
const LONG: u16 = 4;

/// More entries than any camera writes.
const MAX_ENTRIES: u16 = 512;
/// A block has to fit into a JPEG's segment.
const MAX_BYTES: usize = 60_000;
const MAX_RIGHTS_CHARS: usize = 500;

/// The directories that are carried, their values in little-endian order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exif {
    pub(crate) main: Vec<Entry>,
    pub(crate) camera: Vec<Entry>,
    pub(crate) gps: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) tag: u16,
    /// TIFF's number of the type.
    pub(crate) kind: u16,
    /// Whole values of the type.
    pub(crate) data: Vec<u8>,
}

impl Exif {
    /// What a source's blocks say, without what must not be carried; nothing where nothing is left.
    pub(crate) fn of(block: Option<&[u8]>, xmp: Option<&[u8]>) -> Option<Self> {
        let mut exif = block.and_then(read).unwrap_or_default();
        for (tag, name) in [(COPYRIGHT, "dc:rights"), (ARTIST, "dc:creator")] {
            if !exif.main.iter().any(|entry| entry.tag == tag)
                && let Some(text) = xmp.and_then(|xmp| rights(xmp, name))
            {
                exif.main.push(Entry { tag, kind: ASCII, data: [text.as_bytes(), &[0]].concat() });
            }
        }
        exif.main.sort_by_key(|entry| entry.tag);
        if exif.bytes() > MAX_BYTES {
            exif.camera.retain(|entry| entry.data.len() <= 1000);
            exif.main.retain(|entry| entry.data.len() <= 1000);
        }
        let said = !exif.camera.is_empty() || !exif.gps.is_empty() || exif.main.iter().any(|e| e.tag != ORIENTATION);
        (said && exif.bytes() <= MAX_BYTES).then_some(exif)
    }

    /// Only who made it and whose it is.
    pub(crate) fn only_rights(self) -> Option<Self> {
        let main: Vec<Entry> = self.main.into_iter().filter(|entry| matches!(entry.tag, ARTIST | COPYRIGHT)).collect();
        (!main.is_empty()).then(|| Self { main, ..Self::default() })
    }

    fn bytes(&self) -> usize {
        [&self.main, &self.camera, &self.gps].into_iter().flatten().map(|entry| entry.data.len() + 13).sum::<usize>()
            + 40
    }

    /// A block that begins with its byte order.
    pub(crate) fn block(&self) -> Vec<u8> {
        let mut block = b"II*\0\x08\0\0\0".to_vec();
        let mut main = self.main.clone();
        // Their places are known once the first directory is written.
        for (tag, entries) in [(EXIF_IFD, &self.camera), (GPS_IFD, &self.gps)] {
            if !entries.is_empty() {
                main.push(Entry { tag, kind: LONG, data: vec![0; 4] });
            }
        }
        main.sort_by_key(|entry| entry.tag);
        directory(&mut block, &main);
        for (tag, entries) in [(EXIF_IFD, &self.camera), (GPS_IFD, &self.gps)] {
            if let Some(index) = main.iter().position(|entry| entry.tag == tag) {
                let place = (block.len() as u32).to_le_bytes();
                block[8 + 2 + 12 * index + 8..][..4].copy_from_slice(&place);
                directory(&mut block, entries);
            }
        }
        block
    }
}

/// Writes a directory, and behind it the values that do not fit into its entries.
fn directory(block: &mut Vec<u8>, entries: &[Entry]) {
    let mut outside: Vec<u8> = Vec::new();
    let end = block.len() + 2 + 12 * entries.len() + 4;
    block.extend((entries.len() as u16).to_le_bytes());
    for Entry { tag, kind, data } in entries {
        block.extend(tag.to_le_bytes());
        block.extend(kind.to_le_bytes());
        block.extend(((data.len() / width(*kind)) as u32).to_le_bytes());
        if data.len() <= 4 {
            let mut inside = [0; 4];
            inside[..data.len()].copy_from_slice(data);
            block.extend(inside);
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

/// The bytes of one value.
fn width(kind: u16) -> usize {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 => 4,
        5 | 10 | 12 => 8,
        _ => 1,
    }
}

/// The bytes that byte order turns around at once: rationals are pairs of four bytes, doubles are one of eight.
pub(crate) fn swapped(kind: u16) -> usize {
    if matches!(kind, 5 | 10) { 4 } else { width(kind) }
}

fn read(block: &[u8]) -> Option<Exif> {
    let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    let big = match tiff.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let tiff = Tiff { bytes: tiff, big };
    let all = tiff.entries(tiff.u32(4)? as usize)?;
    let place = |tag| {
        let entry = all.iter().find(|entry| entry.tag == tag && entry.kind == LONG)?;
        Some(u32::from_le_bytes(entry.data.get(..4)?.try_into().ok()?) as usize)
    };
    let inside = |tag| place(tag).and_then(|at| tiff.entries(at)).unwrap_or_default();
    let (mut camera, gps) = (inside(EXIF_IFD), inside(GPS_IFD));
    camera.retain(|entry| !is_left_behind(entry.tag));
    let mut main = all;
    main.retain(|entry| !is_left_behind(entry.tag));
    main.push(Entry { tag: ORIENTATION, kind: 3, data: vec![1, 0] });
    Some(Exif { main, camera, gps })
}

/// Places, thumbnails, maker notes, and whatever speaks of the source's own pixels and strips.
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

struct Tiff<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Tiff<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        let bytes: [u8; 2] = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes: [u8; 4] = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// The entries of a directory that can be read; each tag once.
    fn entries(&self, at: usize) -> Option<Vec<Entry>> {
        let count = self.u16(at)?.min(MAX_ENTRIES);
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        for i in 0..usize::from(count) {
            let Some(entry) = self.entry(at + 2 + 12 * i) else { continue };
            bytes += entry.data.len();
            if bytes <= self.bytes.len() && !entries.iter().any(|other| other.tag == entry.tag) {
                entries.push(entry);
            }
        }
        entries.sort_by_key(|entry| entry.tag);
        Some(entries)
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let (tag, kind) = (self.u16(at)?, self.u16(at + 2)?);
        let wide = (1..=12).contains(&kind).then(|| width(kind))?;
        let length = wide.checked_mul(self.u32(at + 4)? as usize)?;
        let from = if length <= 4 { at + 8 } else { self.u32(at + 8)? as usize };
        let mut data = self.bytes.get(from..from.checked_add(length)?)?.to_vec();
        if self.big {
            data.chunks_exact_mut(swapped(kind)).for_each(<[u8]>::reverse);
        }
        (!data.is_empty()).then_some(Entry { tag, kind, data })
    }
}

/// The first text of an XMP property that is a list, as `dc:rights` and `dc:creator` are.
fn rights(xmp: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(xmp).ok()?;
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once(&format!("</{name}>"))?;
    let (_, item) = inside.split_once("<rdf:li")?;
    let (_, item) = item.split_once('>')?;
    let (item, _) = item.split_once("</rdf:li>")?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#169;", "©"), ("&amp;", "&")]
        .into_iter()
        .fold(item.trim().to_owned(), |text, (entity, plain)| text.replace(entity, plain));
    let plain: String = plain.chars().filter(|c| !c.is_control()).take(MAX_RIGHTS_CHARS).collect();
    (!plain.is_empty()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tag: u16, text: &str) -> Entry {
        Entry { tag, kind: ASCII, data: [text.as_bytes(), &[0]].concat() }
    }

    fn sample() -> Exif {
        Exif {
            main: vec![
                text(0x010f, "Maker"),
                Entry { tag: ORIENTATION, kind: 3, data: vec![6, 0] },
                text(COPYRIGHT, "© me"),
            ],
            camera: vec![text(0x9003, "2026:01:02 03:04:05"), text(0x927c, "secret notes"), text(0xa002, "99")],
            gps: vec![Entry { tag: 2, kind: 5, data: vec![1; 24] }],
        }
    }

    fn tags(entries: &[Entry]) -> Vec<u16> {
        entries.iter().map(|entry| entry.tag).collect()
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
                let length = count * width(kind);
                let from = if length <= 4 { entry + 8 } else { le32(entry + 8) };
                let swap = if kind == 5 { 4 } else { width(kind) };
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
            let exif = Exif::of(Some(&block), None).unwrap();
            assert_eq!(tags(&exif.main), [0x010f, ORIENTATION, COPYRIGHT]);
            assert_eq!(tags(&exif.camera), [0x9003]);
            assert_eq!(exif.gps[0].data, [1; 24]);
            assert_eq!(exif.main[1].data, [1, 0]);
            assert_eq!(exif.main[2].data, "© me\0".as_bytes());
        }
    }

    #[test]
    fn rights_are_kept_without_the_rest() {
        let rights = Exif::of(Some(&sample().block()), None).unwrap().only_rights().unwrap();
        assert_eq!(tags(&rights.main), [COPYRIGHT]);
        assert!(rights.camera.is_empty() && rights.gps.is_empty());
    }

    #[test]
    fn rights_are_found_in_xmp_too() {
        let xmp = r#"<x:xmpmeta><dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© A &amp; B</rdf:li></rdf:Alt></dc:rights>
            <dc:creator><rdf:Seq><rdf:li>Someone</rdf:li></rdf:Seq></dc:creator></x:xmpmeta>"#;
        let rights = Exif::of(None, Some(xmp.as_bytes())).unwrap().only_rights().unwrap();
        assert_eq!(tags(&rights.main), [ARTIST, COPYRIGHT]);
        assert_eq!(rights.main[1].data, "© A & B\0".as_bytes());
    }

    #[test]
    fn broken_blocks_are_no_metadata() {
        let block = sample().block();
        assert!(Exif::of(Some(b"Exif\0\0II*\0\xff\xff\xff\xff"), None).is_none());
        for end in 0..block.len() {
            // Whatever can be read is kept; nothing panics.
            let _ = Exif::of(Some(&block[..end]), None).map(|exif| exif.block());
        }
    }
}
