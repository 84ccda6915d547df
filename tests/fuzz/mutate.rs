//! Mutations: what goes wrong with files, and what people do to them.

use fastrand::Rng;

/// Where lengths, counts and sizes break.
const EDGES: [u32; 14] =
    [0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
/// Most of what matters stands at the beginning.
const HEADER: usize = 600;

/// One to eight mutations of `bytes`; `other` is a second seed to take pieces of.
pub fn mutated(random: &mut Rng, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.usize(..8) {
        if bytes.is_empty() {
            break;
        }
        once(random, &mut bytes, other);
        if random.u8(..) < 90 {
            break;
        }
    }
    bytes
}

fn once(random: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let near = if random.bool() { bytes.len().min(HEADER) } else { bytes.len() };
    let at = random.usize(..near);
    let length = 1 << random.usize(..12);
    let end = bytes.len().min(at + random.usize(1..=length));
    match random.u8(..12) {
        0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes[at] = random.u8(..),
        2 => bytes[at..end].iter_mut().for_each(|byte| *byte = random.u8(..)),
        3 => bytes[at..end].fill(if random.bool() { 0 } else { 0xff }),
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(at..end)),
        6 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        7 if !other.is_empty() => {
            let from = random.usize(..other.len());
            let piece = other[from..other.len().min(from + length)].to_vec();
            let till = if random.bool() { at } else { bytes.len().min(at + piece.len()) };
            bytes.splice(at..till, piece);
        }
        8 => put(bytes, at, &(EDGES[random.usize(..EDGES.len())] as u16).to_be_bytes()),
        9 => put(bytes, at, &(EDGES[random.usize(..EDGES.len())] as u16).to_le_bytes()),
        10 => put(bytes, at, &EDGES[random.usize(..EDGES.len())].to_be_bytes()),
        _ => put(bytes, at, &EDGES[random.usize(..EDGES.len())].to_le_bytes()),
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (byte, &value) in bytes[at..].iter_mut().zip(value) {
        *byte = value;
    }
}

/// A PNG's check sums made right again, or nothing behind them would ever be reached.
pub fn with_right_sums(png: &mut [u8]) {
    let mut at = 8;
    while let Some(&[a, b, c, d]) = png.get(at..at + 4).and_then(|length| length.first_chunk()) {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(end) = at.checked_add(8).and_then(|body| body.checked_add(length)).filter(|end| end + 4 <= png.len())
        else {
            return;
        };
        let sum = crc(&png[at + 4..end]);
        png[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0xedb8_8320 })
    })
}
