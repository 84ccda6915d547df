//! Comparisons with the decoder's own coefficients and planes.

use std::io::Cursor;

use libjpeg_turbo_rs::{Encoder, JpegCoefficients, PixelFormat, RawImage, Subsampling, read_coefficients};

use super::*;
use crate::codec::{Facts, jpeg};
use crate::tests::samples;
use crate::{Limits, codec};

fn facts(source: &[u8]) -> Facts {
    codec::inspect(Cursor::new(source), &Limits::default()).unwrap()
}

fn read_all(source: &[u8]) -> Option<Coefficients> {
    let facts = codec::inspect(Cursor::new(source), &Limits::default()).ok()?;
    read(source, &facts, 64, &Limits::default(), &|| Ok(())).unwrap()
}

/// Compares a component's plane with the decoder's, in the blocks that contain the picture.
fn assert_samples(name: &str, ours: &Coefficients, i: usize, theirs: &RawImage) {
    let component = &ours.components[i];
    let samples = component.samples(8);
    let (width, height) = (8 * component.used.0, 8 * component.used.1);
    let rows = samples.chunks_exact(8 * component.across).zip(theirs.planes[i].chunks_exact(theirs.plane_widths[i]));
    for (y, (ours, theirs)) in rows.take(height).enumerate() {
        let wrong = ours[..width].iter().zip(&theirs[..width]).position(|(a, b)| a != b);
        assert!(wrong.is_none(), "{name}, component {i}: other samples at {wrong:?} in row {y}");
    }
}

/// Compares all blocks with the decoder's.
fn assert_same(name: &str, ours: &Coefficients, theirs: &JpegCoefficients) {
    assert_eq!(ours.components.len(), theirs.components.len(), "{name}");
    for (ours, theirs) in ours.components.iter().zip(&theirs.components) {
        for y in 0..ours.used.1 {
            for x in 0..ours.used.0 {
                let block = &ours.blocks[y * ours.across + x];
                let mut dense = [0; 64];
                dense[0] = block.dc;
                for (place, value) in ours.of(block) {
                    dense[place] = value as i16;
                }
                assert_eq!(dense, theirs.blocks[y * theirs.blocks_x + x], "{name}: block {x},{y}");
            }
        }
    }
}

/// All kinds of common files that are read here.
fn everyday() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (width, height) in [(64, 48), (131, 77), (8, 8), (1, 1), (17, 200)] {
        let picture = samples::photo(width, height);
        let encoder = |sampling| {
            Encoder::new(&picture.data, width as usize, height as usize, PixelFormat::Rgb).subsampling(sampling)
        };
        let mut add = |kind: &str, encoder: Encoder<'_>| {
            files.push((format!("{width}×{height}, {kind}"), encoder.encode().unwrap()));
        };
        for sampling in [Subsampling::S420, Subsampling::S422, Subsampling::S440, Subsampling::S444] {
            add(&format!("{sampling:?}"), encoder(sampling).quality(85));
            add(&format!("{sampling:?} optimised"), encoder(sampling).quality(97).optimize_huffman(true));
        }
        add("restart_blocks", encoder(Subsampling::S420).quality(30).restart_blocks(3));
        add("restart_rows", encoder(Subsampling::S444).quality(90).restart_rows(1));
        add("progressive", encoder(Subsampling::S420).quality(80).progressive(true));
        add("progressive 4:2:2", encoder(Subsampling::S422).quality(80).progressive(true));
        add("grey", encoder(Subsampling::S420).quality(80).grayscale_from_color(true));
    }
    files
}

/// If only the first value of each block is wanted, the others are skipped several at a time.
#[test]
fn first_values_are_the_same_alone_and_damage_is_found_alike() {
    let mut random = fastrand::Rng::with_seed(11);
    let (mut whole, mut damaged) = (0, 0);
    for (name, source) in everyday() {
        for round in 0..20 {
            let mut source = source.clone();
            if round > 0 {
                let at = random.usize(source.len() / 2..source.len() - 2);
                source[at] = random.u8(..);
            }
            let Ok(facts) = codec::inspect(Cursor::new(&source), &Limits::default()) else { continue };
            let at_depth = |depth| read(&source, &facts, depth, &Limits::default(), &|| Ok(())).unwrap();
            match (at_depth(64), at_depth(1)) {
                (Some(all), Some(first)) => {
                    for (all, first) in all.components.iter().zip(&first.components) {
                        assert!(
                            all.blocks.iter().map(|block| block.dc).eq(first.blocks.iter().map(|block| block.dc)),
                            "{name}"
                        );
                    }
                    whole += 1;
                }
                (None, None) => damaged += 1,
                (all, first) => panic!("{name}, round {round}: {} and {}", all.is_some(), first.is_some()),
            }
        }
    }
    assert!(whole > 100 && damaged > 100, "{whole} and {damaged}");
}

#[test]
fn coefficients_are_those_of_the_decoder() {
    for (name, source) in everyday() {
        let ours = read_all(&source).unwrap_or_else(|| panic!("{name}: not read"));
        assert_same(&name, &ours, &read_coefficients(&source).unwrap());
    }
}

#[test]
fn full_size_samples_are_those_of_the_decoder() {
    for (name, source) in everyday() {
        let Some(ours) = read_all(&source) else { panic!("{name}: not read") };
        let raw = jpeg::decoder(&source, &Limits::default()).unwrap().decode_raw().unwrap();
        for (i, component) in ours.components.iter().enumerate() {
            assert_samples(&name, &ours, i, &raw);
            let part = component.part((component.across - 1, 0), (1, component.down));
            let samples = component.samples(8);
            let column: Vec<u8> =
                samples.chunks_exact(component.across * 8).flat_map(|row| row[row.len() - 8..].to_vec()).collect();
            assert!(part == column, "{name}, component {i}: the last column of blocks");
        }
    }
}

#[test]
fn written_unchanged_it_is_the_same_picture() {
    for (name, source) in everyday() {
        let Some(picture) = read_all(&source) else { panic!("{name}: not read") };
        let tables: Vec<_> = picture.components.iter().map(|component| component.table).collect();
        for optimise in [false, true] {
            let file = write(&picture, &Coding { tables: &tables, patches: &[], optimise }).unwrap();
            assert_same(&name, &picture, &read_coefficients(&file).unwrap());
            let again = read_all(&file).expect("what is written here is read here");
            assert_same(&name, &again, &read_coefficients(&source).unwrap());
        }
    }
}

#[test]
fn reduced_samples_are_averages_of_full_ones() {
    let source = samples::jpeg(&samples::photo(320, 240), 95);
    let picture = read_all(&source).unwrap();
    for component in &picture.components {
        let full = component.samples(8);
        let stride = component.across * 8;
        for (size, tolerance) in [(4_usize, 3.0), (2, 4.0), (1, 0.6)] {
            let block = 8 / size;
            let mut squares = 0.0;
            let reduced = component.samples(size);
            for (i, &sample) in reduced.iter().enumerate() {
                let (x, y) = (i % (stride / block) * block, i / (stride / block) * block);
                let pixels = (0..block * block).map(|j| full[(y + j / block) * stride + x + j % block]);
                let average = pixels.map(f64::from).sum::<f64>() / (block * block) as f64;
                squares += (average - f64::from(sample)).powi(2);
            }
            let noise = (squares / reduced.len() as f64).sqrt();
            assert!(noise < tolerance, "{size}: {noise}");
        }
    }
}

#[test]
fn forward_undoes_the_inverse() {
    let source = samples::jpeg(&samples::photo(64, 64), 50);
    let picture = read_all(&source).unwrap();
    for component in &picture.components {
        for y in 0..component.down {
            for x in 0..component.across {
                let samples = component.part((x, y), (1, 1)).try_into().unwrap();
                let coefficients = forward(&samples, &component.table);
                let block = &component.blocks[y * component.across + x];
                assert_eq!(coefficients[0], block.dc);
                for (place, value) in component.of(block) {
                    assert_eq!(i32::from(coefficients[place]), value);
                }
            }
        }
    }
}

#[test]
fn fewer_coefficients_make_the_same_small_picture() {
    let source = samples::jpeg(&samples::photo(131, 77), 90);
    let all = read_all(&source).unwrap();
    for (size, depth) in [(4, 25), (2, 25), (1, 1)] {
        let some = read(&source, &facts(&source), depth, &Limits::default(), &|| Ok(())).unwrap().unwrap();
        for (some, all) in some.components.iter().zip(&all.components) {
            assert_eq!(some.samples(size), all.samples(size));
        }
    }
}

#[test]
fn another_quality_is_that_of_decoding_and_encoding() {
    let original = samples::photo(320, 240);
    let source = samples::jpeg(&original, 92);
    let picture = read_all(&source).unwrap();
    for quality in [40, 75, 95] {
        let [luma, chroma] = jpeg::standard_tables(quality);
        let coding = Coding { tables: &[luma, chroma, chroma], patches: &[], optimise: false };
        let ours = write(&picture, &coding).unwrap();
        let raw = jpeg::decoder(&source, &Limits::default()).unwrap().decode_raw().unwrap();
        let planes: Vec<&[u8]> = raw.planes.iter().map(Vec::as_slice).collect();
        let (widths, heights) = (&raw.plane_widths, &raw.plane_heights);
        let theirs = libjpeg_turbo_rs::compress_raw(&planes, widths, heights, 320, 240, quality, Subsampling::S420);
        let theirs = theirs.unwrap();
        assert!(ours.len() <= theirs.len() * 102 / 100, "{} bytes, {} by samples", ours.len(), theirs.len());
        let noise = |file: &[u8]| {
            let decoded = codec::decode_eight(file, &facts(file), 1, &Limits::default()).unwrap();
            let pairs = decoded.data.iter().zip(&original.data);
            pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum::<f64>()
        };
        assert!(noise(&ours) <= noise(&theirs) * 1.05);
    }
}

#[test]
fn damaged_files_are_left_to_the_decoder_or_read_as_it_reads_them() {
    let picture = samples::photo(96, 80);
    let whole = Encoder::new(&picture.data, 96, 80, PixelFormat::Rgb)
        .quality(80)
        .subsampling(Subsampling::S420)
        .restart_blocks(5)
        .encode()
        .unwrap();
    let progressive = Encoder::new(&picture.data, 96, 80, PixelFormat::Rgb).progressive(true).encode().unwrap();
    for source in [samples::jpeg(&picture, 85), whole, progressive] {
        for length in 0..source.len() {
            let short = &source[..length];
            let refused =
                jpeg::decoder(short, &Limits::default()).and_then(libjpeg_turbo_rs::Decoder::decode_raw).is_err();
            assert!(!refused || read_all(short).is_none(), "the first {length} of {} bytes", source.len());
        }
        let mut random = fastrand::Rng::with_seed(11);
        let mut readable = 0;
        for _ in 0..4000 {
            let mut damaged = source.clone();
            let at = random.usize(..damaged.len());
            damaged[at] = random.u8(..);
            let Some(ours) = read_all(&damaged) else { continue };
            let decoder = jpeg::decoder(&damaged, &Limits::default());
            let raw = decoder
                .and_then(libjpeg_turbo_rs::Decoder::decode_raw)
                .unwrap_or_else(|error| panic!("byte {at} is {}: the decoder is stricter: {error}", damaged[at]));
            readable += 1;
            for i in 0..raw.planes.len() {
                assert_samples(&format!("byte {at} is {}", damaged[at]), &ours, i, &raw);
            }
        }
        assert!(readable > 100, "{readable}");
    }
}

#[test]
fn other_codings_are_left_to_the_decoder() {
    let picture = samples::photo(64, 64);
    let encoder = || Encoder::new(&picture.data, 64, 64, PixelFormat::Rgb).quality(80);
    assert!(read_all(&encoder().arithmetic(true).encode().unwrap()).is_none());
    assert!(read_all(&encoder().subsampling(Subsampling::S411).encode().unwrap()).is_none());
}
