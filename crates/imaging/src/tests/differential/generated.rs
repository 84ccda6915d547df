//! JPEGs of every structure that the standard allows, written here sample by sample: components, sampling, scans, tables,
//! restart intervals. What they look like does not matter; that decoders agree on it does.

use std::f64::consts::PI;

use crate::codec::jpeg::{NATURAL_ORDER, segments};

/// A component of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) id: u8,
    pub(super) h: usize,
    pub(super) v: usize,
    /// Which tables it uses: 0 or 1.
    pub(super) tables: usize,
}

/// Where the tables are defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// All tables of a kind in one segment.
    Together,
    /// A segment for each table.
    Split,
    /// Just before the scan that first uses them, all in slot 0, which the next scan defines anew: for scans of one component.
    Renewed,
}

/// A file's structure; its picture is made of waves.
#[derive(Debug, Clone)]
pub(super) struct Structure {
    pub(super) size: (usize, usize),
    pub(super) parts: Vec<Part>,
    /// The components of each scan, by their places in the frame.
    pub(super) scans: Vec<Vec<usize>>,
    /// MCUs between two restart markers; 0 for no restart.
    pub(super) restart: usize,
    pub(super) layout: Layout,
    /// Quantisation tables of 16 bits an entry.
    pub(super) wide: bool,
    pub(super) jfif: bool,
    /// The transform byte of Adobe's marker.
    pub(super) adobe: Option<u8>,
}

impl Structure {
    fn most(&self) -> (usize, usize) {
        let most = |side: fn(&Part) -> usize| self.parts.iter().map(side).max().expect("a frame has components");
        (most(|part| part.h), most(|part| part.v))
    }

    /// The samples of a component along x and y.
    fn samples(&self, part: &Part) -> (usize, usize) {
        let (h, v) = self.most();
        ((self.size.0 * part.h).div_ceil(h), (self.size.1 * part.v).div_ceil(v))
    }

    fn mcus(&self) -> (usize, usize) {
        let (h, v) = self.most();
        (self.size.0.div_ceil(8 * h), self.size.1.div_ceil(8 * v))
    }

    /// The file.
    pub(super) fn file(&self) -> Vec<u8> {
        let mut file = vec![0xff, 0xd8];
        if self.jfif {
            segment(&mut file, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        }
        if let Some(transform) = self.adobe {
            segment(&mut file, 0xee, &[b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat());
        }
        if self.layout != Layout::Renewed {
            self.tables(&mut file, &[0, 1], 0xdb, |slot| self.quantisation(slot, slot));
        }
        let mut frame = vec![8];
        frame.extend((self.size.1 as u16).to_be_bytes());
        frame.extend((self.size.0 as u16).to_be_bytes());
        frame.push(self.parts.len() as u8);
        for part in &self.parts {
            let slot = if self.layout == Layout::Renewed { 0 } else { part.tables };
            frame.extend([part.id, (part.h << 4 | part.v) as u8, slot as u8]);
        }
        segment(&mut file, if self.wide { 0xc1 } else { 0xc0 }, &frame);
        if self.layout != Layout::Renewed {
            self.tables(&mut file, &[0, 1, 2, 3], 0xc4, |i| huffman(i, i / 2));
        }
        if self.restart > 0 {
            segment(&mut file, 0xdd, &(self.restart as u16).to_be_bytes());
        }
        for scan in &self.scans {
            if self.layout == Layout::Renewed {
                let tables = self.parts[scan[0]].tables;
                segment(&mut file, 0xdb, &self.quantisation(tables, 0));
                segment(&mut file, 0xc4, &huffman(2 * tables, 0));
                segment(&mut file, 0xc4, &huffman(2 * tables + 1, 0));
            }
            let mut header = vec![scan.len() as u8];
            for &i in scan {
                let slot = if self.layout == Layout::Renewed { 0 } else { self.parts[i].tables as u8 };
                header.extend([self.parts[i].id, slot << 4 | slot]);
            }
            header.extend([0, 63, 0]);
            segment(&mut file, 0xda, &header);
            self.scan(&mut file, scan);
        }
        file.extend([0xff, 0xd9]);
        file
    }

    /// A file of the same coefficients whose quantisation tables all are in slot 0, each defined just before the scan that is
    /// the first of its component. No first scan may have components of both tables.
    pub(super) fn renewed(&self, file: &[u8]) -> Vec<u8> {
        let mut seen = vec![false; self.parts.len()];
        let mut renewed = vec![0xff, 0xd8];
        let mut at = 2;
        for segment in segments(file) {
            let before = &file[at..segment.start];
            at = segment.end;
            renewed.extend(before);
            match segment.marker {
                0xdb => continue,
                0xc0..=0xc2 | 0xc9 | 0xca => {
                    let start = renewed.len();
                    renewed.extend(&file[segment.start..segment.end]);
                    for part in renewed[start + 10..].chunks_exact_mut(3) {
                        part[2] = 0;
                    }
                    continue;
                }
                0xda => {
                    let count = usize::from(segment.body[0]);
                    for pair in segment.body[1..].chunks_exact(2).take(count) {
                        let place = self.parts.iter().position(|part| part.id == pair[0]).expect("the frame has it");
                        if !std::mem::replace(&mut seen[place], true) {
                            let table = self.quantisation(self.parts[place].tables, 0);
                            self::segment(&mut renewed, 0xdb, &table);
                        }
                    }
                }
                _ => {}
            }
            renewed.extend(&file[segment.start..segment.end]);
        }
        renewed
    }

    fn tables(&self, file: &mut Vec<u8>, all: &[usize], marker: u8, table: impl Fn(usize) -> Vec<u8>) {
        match self.layout {
            Layout::Together => segment(file, marker, &all.iter().flat_map(|&i| table(i)).collect::<Vec<_>>()),
            _ => {
                for &i in all {
                    segment(file, marker, &table(i));
                }
            }
        }
    }

    fn step(tables: usize, place: usize) -> usize {
        // Small enough that colours differ by what is decoded and not by rounding; two tables that differ.
        2 + tables + place / (8 - 3 * tables)
    }

    fn quantisation(&self, tables: usize, slot: usize) -> Vec<u8> {
        let mut table = vec![(usize::from(self.wide) << 4 | slot) as u8];
        for place in 0..64 {
            let step = Self::step(tables, place) as u16;
            table.extend(&step.to_be_bytes()[usize::from(!self.wide)..]);
        }
        table
    }

    /// A sample of a component: waves that differ by component.
    fn sample(&self, i: usize, x: usize, y: usize) -> f64 {
        let (width, height) = self.samples(&self.parts[i]);
        let (x, y) = (x.min(width - 1), y.min(height - 1));
        let most = self.most();
        let x = (x as f64 + 0.5) * most.0 as f64 / self.parts[i].h as f64;
        let y = (y as f64 + 0.5) * most.1 as f64 / self.parts[i].v as f64;
        let i = i as f64;
        128.0 + 70.0 * ((x / (9.0 + 3.0 * i) + i).sin() * (y / (11.0 - 2.0 * i) - i).cos()) + 25.0 * (1.0 - i)
    }

    /// The quantised coefficients of a block, in zigzag order.
    fn block(&self, i: usize, bx: usize, by: usize) -> [i32; 64] {
        let cos: [[f64; 8]; 8] =
            std::array::from_fn(|u| std::array::from_fn(|x| ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos()));
        let samples: [[f64; 8]; 8] = std::array::from_fn(|y| {
            std::array::from_fn(|x| self.sample(i, 8 * bx + x, 8 * by + y).clamp(0.0, 255.0) - 128.0)
        });
        // Rows first, then columns.
        let rows: [[f64; 8]; 8] =
            std::array::from_fn(|y| std::array::from_fn(|u| (0..8).map(|x| samples[y][x] * cos[u][x]).sum()));
        let norm = |u: usize| if u == 0 { 0.5_f64.sqrt() } else { 1.0 };
        std::array::from_fn(|place| {
            let natural = usize::from(NATURAL_ORDER[place]);
            let (v, u) = (natural / 8, natural % 8);
            let sum: f64 = (0..8).map(|y| rows[y][u] * cos[v][y]).sum();
            (sum * norm(u) * norm(v) / 4.0 / Self::step(self.parts[i].tables, place) as f64).round() as i32
        })
    }

    fn scan(&self, file: &mut Vec<u8>, scan: &[usize]) {
        let mut bits = Bits { file, pending: 0, count: 0 };
        let mut predictions = [0; 4];
        // The blocks of each MCU.
        let mut mcus: Vec<Vec<(usize, usize, usize)>> = Vec::new();
        if let &[i] = scan {
            let (width, height) = self.samples(&self.parts[i]);
            for y in 0..height.div_ceil(8) {
                mcus.extend((0..width.div_ceil(8)).map(|x| vec![(i, x, y)]));
            }
        } else {
            let (across, down) = self.mcus();
            for (row, column) in (0..down).flat_map(|row| (0..across).map(move |column| (row, column))) {
                let mut mcu = Vec::new();
                for &i in scan {
                    let Part { h, v, .. } = self.parts[i];
                    mcu.extend((0..v).flat_map(|y| (0..h).map(move |x| (i, column * h + x, row * v + y))));
                }
                mcus.push(mcu);
            }
        }
        for (n, mcu) in mcus.iter().enumerate() {
            if self.restart > 0 && n > 0 && n % self.restart == 0 {
                bits.flush();
                bits.file.extend([0xff, 0xd0 + ((n / self.restart - 1) % 8) as u8]);
                predictions = [0; 4];
            }
            for &(i, x, y) in mcu {
                let block = self.block(i, x, y);
                bits.block(&block, &mut predictions[i], self.parts[i].tables);
            }
        }
        bits.flush();
    }
}

fn segment(file: &mut Vec<u8>, marker: u8, body: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((body.len() as u16 + 2).to_be_bytes());
    file.extend(body);
}

/// The counts of a code's lengths, and its symbols: 0 and 2 for first coefficients, 1 and 3 for the others.
fn code(i: usize) -> ([u8; 16], Vec<u8>) {
    if i.is_multiple_of(2) {
        // Twelve symbols of four bits; in reverse for the second tables.
        let symbols: Vec<u8> = if i == 0 { (0..12).collect() } else { (0..12).rev().collect() };
        let mut counts = [0; 16];
        counts[3] = 12;
        return (counts, symbols);
    }
    // The end of a block and the commonest ones in four bits, all others in nine.
    let all = (0..16_u8).flat_map(|run| (1..11_u8).map(move |size| run << 4 | size)).chain([0x00, 0xf0]);
    let common = if i == 1 { [0x00, 0x01, 0x02, 0x11, 0x03, 0x12] } else { [0x01, 0x00, 0x11, 0x21, 0x31, 0x02] };
    let mut symbols = common.to_vec();
    symbols.extend(all.filter(|symbol| !common.contains(symbol)));
    let mut counts = [0; 16];
    (counts[3], counts[8]) = (6, symbols.len() as u8 - 6);
    (counts, symbols)
}

fn huffman(i: usize, slot: usize) -> Vec<u8> {
    let (counts, symbols) = code(i);
    [&[((i % 2) << 4 | slot) as u8][..], &counts, &symbols].concat()
}

struct Bits<'a> {
    file: &'a mut Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits<'_> {
    fn put(&mut self, value: u32, length: u32) {
        for i in (0..length).rev() {
            self.pending = self.pending << 1 | (value >> i & 1);
            self.count += 1;
            if self.count == 8 {
                self.file.push(self.pending as u8);
                if self.pending == 0xff {
                    self.file.push(0);
                }
                (self.pending, self.count) = (0, 0);
            }
        }
    }

    fn flush(&mut self) {
        while self.count != 0 {
            self.put(1, 1);
        }
    }

    fn symbol(&mut self, i: usize, symbol: u8) {
        let (counts, symbols) = code(i);
        let (mut next, mut index) = (0, 0);
        for (length, count) in (1..).zip(counts) {
            next <<= 1;
            for _ in 0..count {
                if symbols[index] == symbol {
                    return self.put(next, length);
                }
                next += 1;
                index += 1;
            }
        }
        panic!("no code for {symbol}");
    }

    fn number(&mut self, value: i32, size: u32) {
        let bits = if value < 0 { value + (1 << size) - 1 } else { value };
        self.put(bits as u32, size);
    }

    fn block(&mut self, block: &[i32; 64], prediction: &mut i32, tables: usize) {
        let size = |value: i32| 32 - value.unsigned_abs().leading_zeros();
        let difference = block[0] - std::mem::replace(prediction, block[0]);
        self.symbol(2 * tables, size(difference) as u8);
        self.number(difference, size(difference));
        let mut run = 0;
        for &value in &block[1..] {
            if value == 0 {
                run += 1;
                continue;
            }
            while run > 15 {
                self.symbol(2 * tables + 1, 0xf0);
                run -= 16;
            }
            self.symbol(2 * tables + 1, (run << 4) as u8 | size(value) as u8);
            self.number(value, size(value));
            run = 0;
        }
        if run > 0 {
            self.symbol(2 * tables + 1, 0);
        }
    }
}
