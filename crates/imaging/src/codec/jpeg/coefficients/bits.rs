//! Bits of entropy-coded data: reading removes stuffed zeros, writing inserts them.

use super::super::header::has_marker;

/// Reads up to the next marker. After it all bits are zero, and [`Reader::is_spent`] is true.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, highest first.
    window: u64,
    /// Number of valid bits in `window`.
    count: u32,
    /// Number of these bits that are past the end of the data.
    invented: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, window: 0, count: 0, invented: 0 }
    }

    /// Makes at least 32 bits ready.
    #[inline]
    pub(super) fn prepare(&mut self) {
        if self.count < 32 {
            self.refill();
        }
    }

    #[inline]
    fn refill(&mut self) {
        if let Some(bytes) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_be_bytes(*bytes);
            if !has_marker(word) {
                // Bits that do not fit completely are below `count` now and are read again later.
                self.window |= word >> self.count;
                let bytes = (63 - self.count) >> 3;
                self.at += bytes as usize;
                self.count += bytes * 8;
                return;
            }
        }
        self.refill_slowly();
    }

    #[cold]
    fn refill_slowly(&mut self) {
        while self.count <= 56 {
            let byte = match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                (Some(0xff) | None, _) => {
                    self.invented += 8;
                    0
                }
                (Some(&byte), _) => {
                    self.at += 1;
                    byte
                }
            };
            self.window |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next `count` bits, 1 to 32, which must be ready.
    #[inline]
    pub(super) fn peek(&self, count: u32) -> u32 {
        (self.window >> (64 - count)) as u32
    }

    /// Skips bits that are ready.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) {
        self.window <<= count;
        self.count -= count;
    }

    /// Whether more bits were read than the data has.
    pub(super) fn is_spent(&self) -> bool {
        self.invented > self.count
    }

    /// Whether everything except the padding of the last byte was read, so that a marker follows.
    fn is_at_marker(&self) -> bool {
        !self.is_spent() && self.count - self.invented < 8
    }

    /// Whether the file ends here, or a marker ends the picture.
    pub(super) fn is_over(&self) -> bool {
        self.data.get(self.at..).is_none_or(|rest| rest.len() < 2 || rest.starts_with(&[0xff, 0xd9]))
    }

    /// Skips the restart marker that has to follow; `false` if it does not.
    pub(super) fn restart(&mut self, number: u8) -> bool {
        let follows = self.data.get(self.at..).is_some_and(|rest| rest.starts_with(&[0xff, 0xd0 | number & 7]));
        if !follows || !self.is_at_marker() {
            return false;
        }
        *self = Self { at: self.at + 2, ..Self::new(self.data) };
        true
    }

    /// Whether the end of the picture follows.
    pub(super) fn is_at_end(&self) -> bool {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let filled = rest.iter().take_while(|&&byte| byte == 0xff).count();
        self.is_at_marker() && filled > 0 && rest.get(filled) == Some(&0xd9)
    }
}

/// Collects bits. [`Writer::finish`] stuffs all zeros at once.
#[derive(Debug)]
pub(super) struct Writer {
    words: Vec<u8>,
    /// The last bits, in the lowest places of the window.
    window: u64,
    /// Number of these bits, less than 32.
    count: u32,
}

impl Writer {
    pub(super) fn new(capacity: usize) -> Self {
        Self { words: Vec::with_capacity(capacity), window: 0, count: 0 }
    }

    /// Appends the `count` lowest bits, at most 32. The bits above them must be zero.
    #[inline]
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.window = self.window << count | u64::from(bits);
        self.count += count;
        if self.count >= 32 {
            self.count -= 32;
            self.words.extend_from_slice(&((self.window >> self.count) as u32).to_be_bytes());
        }
    }

    /// Appends all bits to `file`, and fills the last byte with ones.
    pub(super) fn finish(mut self, file: &mut Vec<u8>) {
        let padding = (8 - self.count % 8) % 8;
        self.put((1 << padding) - 1, padding);
        let left = self.count / 8;
        for i in (0..left).rev() {
            self.words.push((self.window >> (8 * i)) as u8);
        }
        file.reserve(self.words.len() + self.words.len() / 64);
        let (words, rest) = self.words.as_chunks::<8>();
        for word in words {
            if has_marker(u64::from_be_bytes(*word)) {
                stuff(word, file);
            } else {
                file.extend_from_slice(word);
            }
        }
        stuff(rest, file);
    }
}

fn stuff(bytes: &[u8], file: &mut Vec<u8>) {
    for &byte in bytes {
        file.push(byte);
        if byte == 0xff {
            file.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut random = fastrand::Rng::with_seed(7);
        let items: Vec<(u32, u32)> = (0..5000)
            .map(|_| {
                let count = random.u32(1..=27);
                // Many ones, to cause much stuffing.
                (random.u32(..) >> (32 - count) | (random.u32(..) >> (32 - count)), count)
            })
            .collect();
        let mut writer = Writer::new(0);
        for &(bits, count) in &items {
            writer.put(bits, count);
        }
        let mut file = Vec::new();
        writer.finish(&mut file);
        file.extend([0xff, 0xd9]);
        let mut reader = Reader::new(&file);
        for &(bits, count) in &items {
            reader.prepare();
            assert_eq!(reader.peek(count), bits);
            reader.skip(count);
            assert!(!reader.is_spent());
        }
        assert!(reader.is_at_end());
        for _ in 0..2 {
            reader.prepare();
            reader.skip(20);
        }
        assert!(reader.is_spent() && !reader.is_at_end());
    }
}
