//! What a camera wrote into a picture's EXIF block.

use serde::{Deserialize, Serialize};

use crate::metadata::{Block, Directory};

/// More entries than any camera writes into a directory.
const MAX_ENTRIES: u16 = 512;
const MAX_TEXT: usize = 200;

/// The camera's data about a picture; fields that it did not write are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exif {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lens: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// When the picture was taken, in the camera's own time: `2024-05-31T18:20:05`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f_number: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iso: Option<u32>,
    /// Millimetres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub focal_length: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artist: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copyright: Option<String>,
    /// Only if the operation asks for it (`gps: true`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gps: Option<GpsPosition>,
}

/// Where a picture was taken, in degrees; north and east are positive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GpsPosition {
    pub latitude: f64,
    pub longitude: f64,
}

/// Reads an EXIF block, without JPEG's prefix. `None` if it has none of the fields.
pub(super) fn read(block: &[u8], gps: bool) -> Option<Exif> {
    let block = Block::new(block)?;
    let main = Values { block, directory: block.main(MAX_ENTRIES)? };
    let sub = |tag| {
        let offset = main.number(tag)?;
        Some(Values { block, directory: block.directory(offset.into(), MAX_ENTRIES)? })
    };
    let photo = sub(0x8769);
    let photo = photo.as_ref();
    let exif = Exif {
        make: main.text(0x010f),
        model: main.text(0x0110),
        lens: photo.and_then(|photo| photo.text(0xa434)),
        software: main.text(0x0131),
        taken_at: photo.and_then(|photo| photo.text(0x9003)).or_else(|| main.text(0x0132)).and_then(|at| moment(&at)),
        exposure: photo.and_then(|photo| photo.ratio(0x829a, 0)),
        f_number: photo.and_then(|photo| photo.ratio(0x829d, 0)),
        iso: photo.and_then(|photo| photo.number(0x8827)),
        focal_length: photo.and_then(|photo| photo.ratio(0x920a, 0)),
        artist: main.text(0x013b),
        copyright: main.text(0x8298),
        gps: if gps { sub(0x8825).and_then(|gps| place(&gps)) } else { None },
    };
    (exif != Exif::default()).then_some(exif)
}

/// `2024:05:31 18:20:05` as ISO 8601; `None` for other text and for dates that do not exist, such as a row of zeros.
fn moment(text: &str) -> Option<String> {
    let (date, time) = text.trim().split_once(' ')?;
    let parsed: jiff::civil::DateTime = format!("{}T{time}", date.replace(':', "-")).parse().ok()?;
    Some(parsed.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

fn place(gps: &Values<'_>) -> Option<GpsPosition> {
    let degrees = |tag: u16, reference: u16, negative: char, most: f64| {
        let part = |i| gps.ratio(tag, i).unwrap_or(0.0);
        let value = gps.ratio(tag, 0)? + part(1) / 60.0 + part(2) / 3600.0;
        let sign = if gps.text(reference)?.starts_with(negative) { -1.0 } else { 1.0 };
        (0.0..=most).contains(&value).then(|| (value * sign * 1e6).round() / 1e6)
    };
    Some(GpsPosition { latitude: degrees(2, 1, 'S', 90.0)?, longitude: degrees(4, 3, 'W', 180.0)? })
}

/// The values of a directory, by tag. `None` where the tag is missing, or of another type than asked for.
struct Values<'a> {
    block: Block<'a>,
    directory: Directory<'a>,
}

impl<'a> Values<'a> {
    /// The type, the count, and the bytes from the first value on.
    fn find(&self, tag: u16) -> Option<(u16, usize, &'a [u8])> {
        let entry = self.directory.find(tag)?;
        let count = usize::try_from(entry.count()?).ok()?;
        Some((entry.kind()?, count, self.block.values(&entry)?))
    }

    fn text(&self, tag: u16) -> Option<String> {
        let (2, count, bytes) = self.find(tag)? else { return None };
        let bytes = bytes.get(..count.min(MAX_TEXT))?;
        let bytes = bytes.split(|&b| b == 0).next()?;
        let text: String = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect();
        (!text.trim().is_empty()).then(|| text.trim().to_owned())
    }

    fn number(&self, tag: u16) -> Option<u32> {
        let (size, bytes) = match self.find(tag)? {
            (3, 1.., bytes) => (2, bytes),
            (4, 1.., bytes) => (4, bytes),
            _ => return None,
        };
        bytes.get(..size).map(|bytes| self.block.form.number(bytes) as u32)
    }

    fn ratio(&self, tag: u16, index: usize) -> Option<f64> {
        let (5, count, bytes) = self.find(tag)? else { return None };
        if index >= count {
            return None;
        }
        let long = |at: usize| bytes.get(at..at + 4).map(|bytes| self.block.form.number(bytes) as f64);
        let (above, below) = (long(8 * index)?, long(8 * index + 4)?);
        (below != 0.0).then(|| above / below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory at `at`, with values of more than four bytes behind it.
    fn directory(at: usize, entries: &[(u16, u16, u32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = (entries.len() as u16).to_be_bytes().to_vec();
        let mut behind: Vec<u8> = Vec::new();
        let end = at + 2 + 12 * entries.len() + 4;
        for (tag, kind, count, value) in entries {
            bytes.extend(tag.to_be_bytes());
            bytes.extend(kind.to_be_bytes());
            bytes.extend(count.to_be_bytes());
            if value.len() <= 4 {
                bytes.extend(value);
                bytes.resize(bytes.len() + 4 - value.len(), 0);
            } else {
                bytes.extend(((end + behind.len()) as u32).to_be_bytes());
                behind.extend(value);
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(behind);
        bytes
    }

    fn block() -> Vec<u8> {
        let ratio = |above: u32, below: u32| [above.to_be_bytes(), below.to_be_bytes()].concat();
        let mut bytes = b"MM\0*\0\0\0\x08".to_vec();
        let main = |photo: u32, gps: u32| {
            directory(
                8,
                &[
                    (0x010f, 2, 6, b"Canon\0".to_vec()),
                    (0x0110, 2, 3, b"R5\0".to_vec()),
                    (0x8769, 4, 1, photo.to_be_bytes().to_vec()),
                    (0x8825, 4, 1, gps.to_be_bytes().to_vec()),
                ],
            )
        };
        let photo_at = 8 + main(0, 0).len();
        let photo = directory(
            photo_at,
            &[
                (0x829a, 5, 1, ratio(1, 250)),
                (0x8827, 3, 1, 400u16.to_be_bytes().to_vec()),
                (0x9003, 2, 20, b"2024:05:31 18:20:05\0".to_vec()),
            ],
        );
        let gps_at = photo_at + photo.len();
        let gps = directory(
            gps_at,
            &[
                (1, 2, 2, b"S\0".to_vec()),
                (2, 5, 3, [ratio(33, 1), ratio(30, 1), ratio(36, 1)].concat()),
                (3, 2, 2, b"E\0".to_vec()),
                (4, 5, 3, [ratio(151, 1), ratio(0, 1), ratio(0, 0)].concat()),
            ],
        );
        bytes.extend(main(photo_at as u32, gps_at as u32));
        bytes.extend(photo);
        bytes.extend(gps);
        bytes
    }

    #[test]
    fn a_cameras_fields_are_read() {
        let exif = read(&block(), true).unwrap();
        assert_eq!((exif.make.as_deref(), exif.model.as_deref()), (Some("Canon"), Some("R5")));
        assert_eq!(exif.taken_at.as_deref(), Some("2024-05-31T18:20:05"));
        assert_eq!((exif.exposure, exif.iso), (Some(0.004), Some(400)));
        assert_eq!(exif.gps, Some(GpsPosition { latitude: -33.51, longitude: 151.0 }));
    }

    #[test]
    fn the_place_is_given_only_on_request() {
        assert_eq!(read(&block(), false).unwrap().gps, None);
    }

    #[test]
    fn broken_blocks_are_read_as_far_as_they_go() {
        let whole = block();
        for at in 0..whole.len() {
            let _ = read(&whole[..at], true);
            let mut bent = whole.clone();
            bent[at] ^= 0xff;
            let _ = read(&bent, true);
        }
        assert_eq!(moment("0000:00:00 00:00:00"), None);
    }
}
