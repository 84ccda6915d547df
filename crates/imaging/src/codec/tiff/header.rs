//! The header: the first directory of the file, read before the decoder sees it.

use std::io::{BufRead, Seek};

use super::samples::{Alpha, Palette};
use crate::codec::Facts;
use crate::codec::reader::{HeaderReader, corrupt};
use crate::metadata::{Directory, Form};
use crate::{Format, Result};

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const PHOTOMETRIC: u16 = 262;
const ORIENTATION: u16 = 274;
const PALETTE: u16 = 320;
const EXTRA_SAMPLES: u16 = 338;
const XMP: u16 = 700;
const PROFILE: u16 = 34675;
/// The tags that the decoder reads values of. It reads them all before limits can be set.
const DECODED: [u16; 19] =
    [256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339, 347, 530];
/// More than a picture has: a few dozen.
const MAX_TAGS: u64 = 1000;
/// Bytes that the decoder takes for a value.
const VALUE_BYTES: u64 = 32;
/// Bytes that values may take beside the pixels: offsets and lengths of 65,536 strips.
const SPARE_VALUE_BYTES: u64 = 4 << 20;
/// Profiles beyond this are not read.
const MAX_PROFILE_BYTES: u64 = 4 << 20;
const MAX_XMP_BYTES: u64 = 1 << 20;

/// Facts of the directory that the decoder does not use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tags {
    pub(super) palette: Option<Palette>,
    pub(super) alpha: Alpha,
}

/// The first page's header. Others are never decoded, so they are not counted either.
pub(in crate::codec) fn inspect<R: BufRead + Seek>(reader: R) -> Result<Facts> {
    let mut reader = Ifd::open(reader)?;
    let offset = reader.start()?;
    reader.inner.seek(offset)?;
    let Form { big_tiff, .. } = reader.form;
    let before_entries = if big_tiff { 8 } else { 2 };
    let count = reader.word(before_entries)?;
    let mut facts = Facts::new(Format::Tiff, 0, 0, 1);
    let mut tags = Tags::default();
    let (mut bits_at, mut profile_at, mut xmp_at, mut palette_at, mut photometric_at) = (None, None, None, None, None);
    if count > MAX_TAGS {
        return Err(corrupt(Format::Tiff, format_args!("it has {count} tags")));
    }
    let (slot, entry_size) = (reader.form.slot(), reader.form.entry() as u64);
    let directory = reader.inner.at_most(count * entry_size)?;
    let mut entries = Directory::new(&directory, reader.form).entries();
    let mut values = 0_u64;
    for i in 0..count {
        let entry = entries.next().ok_or_else(|| reader.inner.cut_short())?;
        let (Some(kind), Some(count)) = (entry.kind(), entry.count()) else { return Err(reader.inner.cut_short()) };
        let size = match kind {
            1 | 7 => 1,
            3 => 2,
            4 => 4,
            _ => slot,
        };
        // Values that do not fit the slot are elsewhere: the slot holds their offset.
        let inline = count.saturating_mul(size as u64) <= slot as u64;
        let value = entry.number(if inline { size } else { slot }).ok_or_else(|| reader.inner.cut_short())?;
        if DECODED.contains(&entry.tag) {
            values = values.saturating_add(count);
        }
        let clamped = u32::try_from(value).unwrap_or(u32::MAX);
        match entry.tag {
            WIDTH => facts.header.width = clamped,
            HEIGHT => facts.header.height = clamped,
            BITS if inline => facts.header.deep = value > 8,
            BITS => bits_at = Some(value),
            ORIENTATION if (1..=8).contains(&value) => facts.orientation = value as u8,
            PHOTOMETRIC => {
                let value_at = offset + before_entries as u64 + (i + 1) * entry_size - slot as u64;
                photometric_at = (value == 3).then_some(value_at);
            }
            PALETTE if !inline && kind == 3 && count <= 3 * 256 => palette_at = Some((value, count as usize / 3)),
            EXTRA_SAMPLES if inline => {
                tags.alpha = match value {
                    0 => Alpha::None,
                    1 => Alpha::Premultiplied,
                    _ => Alpha::Straight,
                }
            }
            XMP if !inline && count <= MAX_XMP_BYTES => xmp_at = Some((value, count as usize)),
            PROFILE if !inline && count <= MAX_PROFILE_BYTES => profile_at = Some((value, count as usize)),
            _ => {}
        }
    }
    let pixels = u64::from(facts.header.width) * u64::from(facts.header.height);
    if values.saturating_mul(VALUE_BYTES) > SPARE_VALUE_BYTES.saturating_add(2 * pixels) {
        return Err(corrupt(
            Format::Tiff,
            format_args!("{values} values in its tags are more than its picture has parts"),
        ));
    }
    // Values that cannot be read here are left to the decoder.
    if let Some(offset) = bits_at {
        facts.header.deep = reader.inner.seek(offset).and_then(|()| reader.word(2)).is_ok_and(|bits| bits > 8);
    }
    if let Some((offset, length)) = profile_at {
        facts.icc = reader.inner.seek(offset).and_then(|()| reader.inner.vec(length)).ok();
    }
    if let Some((offset, length)) = xmp_at {
        facts.xmp = reader.inner.seek(offset).and_then(|()| reader.inner.vec(length)).ok();
    }
    if let (Some((offset, length)), Some(at)) = (palette_at, photometric_at) {
        reader.inner.seek(offset)?;
        let values = (0..3 * length).map(|_| reader.word(2)).collect::<Result<Vec<_>>>()?;
        // Sixteen bits each; some writers use only eight.
        let shift = if values.iter().all(|&value| value < 256) { 0 } else { 8 };
        let value = |i: usize| (values[i] >> shift) as u8;
        let colours = (0..length).map(|i| [value(i), value(length + i), value(2 * length + i)]).collect();
        tags.palette = Some(Palette { colours, photometric_at: usize::try_from(at).unwrap_or(usize::MAX) });
    }
    facts.tiff = Some(tags);
    Ok(facts)
}

struct Ifd<R> {
    inner: HeaderReader<R>,
    form: Form,
}

impl<R: BufRead + Seek> Ifd<R> {
    fn open(reader: R) -> Result<Self> {
        let mut inner = HeaderReader::new(reader, Format::Tiff);
        let magic = inner.bytes::<4>()?;
        Ok(Self { inner, form: Form { little_endian: magic[0] == b'I', big_tiff: magic.contains(&43) } })
    }

    /// The offset of the first directory.
    fn start(&mut self) -> Result<u64> {
        if self.form.big_tiff {
            self.inner.skip(4)?;
            self.word(8)
        } else {
            self.word(4)
        }
    }

    fn word(&mut self, size: usize) -> Result<u64> {
        Ok(self.form.number(&self.inner.vec(size)?))
    }
}
