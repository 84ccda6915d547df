//! The short ways for JPEGs held against the decoder and against pixels, on every JPEG of the acceptance corpus, if
//! `PIXMILL_CORPUS` names it.

use std::path::{Path, PathBuf};

use libjpeg_turbo_rs::Decoder;

use super::*;
use crate::codec::jpeg::{self, coefficients};

/// All files below a folder that begin as JPEGs do.
fn jpegs(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            jpegs(&path, found);
        } else if let Ok(data) = std::fs::read(&path)
            && data.starts_with(&[0xff, 0xd8, 0xff])
        {
            found.push((path, data));
        }
    }
}

fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    match std::env::var_os("PIXMILL_CORPUS") {
        Some(folder) => jpegs(Path::new(&folder), &mut found),
        None => eprintln!("PIXMILL_CORPUS is not set: the corpus test is skipped"),
    }
    found
}

fn inspected(source: &[u8]) -> Option<codec::Facts> {
    codec::inspect(Cursor::new(source), &Limits::default()).ok()
}

#[test]
fn coefficients_of_the_corpus_give_the_decoders_samples() {
    let (mut read, mut left) = (0, Vec::new());
    for (path, source) in corpus() {
        let Some(facts) = inspected(&source) else { continue };
        let all = coefficients::read(&source, &facts, 64, &Limits::default(), &|| Ok(())).unwrap();
        let raw = jpeg::decoder(&source, &Limits::default()).and_then(Decoder::decode_raw);
        let Some(all) = all else {
            if raw.is_ok() {
                left.push(path.file_name().unwrap_or_default().to_owned());
            }
            continue;
        };
        let raw = raw.unwrap_or_else(|error| panic!("{}: the decoder refuses it: {error}", path.display()));
        read += 1;
        for (component, plane) in all.components.iter().zip(&raw.planes) {
            assert!(&component.samples(8) == plane, "{}: other samples than the decoder's", path.display());
        }
    }
    eprintln!("{read} read; left to the decoder: {left:?}");
}

/// Peak signal to noise of all channels, in decibels.
fn psnr(a: &Raster, b: &Raster) -> f64 {
    let squares: f64 = a.data.iter().zip(&b.data).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.data.len() as f64 / squares.max(1.0)).log10()
}

#[test]
fn short_ways_of_the_corpus_look_as_pixels_do() {
    let jobs = [
        r#"[{"type":"resize","width":400,"filter":"lanczos3"}, {"type":"thumbnail","size":[150,150],"quality":90}]"#,
        r#"[{"type":"watermark","text":"MySite"}]"#,
        r#"[{"type":"watermark","text":"MySite","quality":75}]"#,
        r#"[{"type":"convert","format":"jpeg"}]"#,
    ];
    let (mut compared, mut faults) = (0, Vec::new());
    for (path, source) in corpus() {
        let Some(facts) = inspected(&source) else { continue };
        for json in jobs {
            let operations = parse(json, &Limits::default()).unwrap();
            if Plan::new(&facts, &operations, &Limits::default()).is_err() {
                continue;
            }
            let Some(route) = route(&source, &operations) else { continue };
            let Some(short) = tried(&source, &operations, Some(route)) else { continue };
            let pixels = one_way(&source, &operations, None);
            let mut exact: Vec<Operation> = operations.iter().map(|operation| png(operation.action.clone())).collect();
            // Needs all of the picture, so that the others do not come from a reduced one either.
            exact.push(png(Action::Convert));
            let exact = one_way(&source, &exact, None);
            for (i, ((short, pixels), exact)) in short.iter().zip(&pixels).zip(&exact).enumerate() {
                compared += 1;
                let name = format!("{}: {json}, {route:?}, output {i}", path.display());
                if (short.width, short.height) != (pixels.width, pixels.height) {
                    faults.push(format!(
                        "{name}: {}×{} for {}×{}",
                        short.width, short.height, pixels.width, pixels.height
                    ));
                    continue;
                }
                let ratio = short.data.len() as f64 / pixels.data.len() as f64;
                let (short, pixels, exact) = (decoded(short), decoded(pixels), decoded(exact));
                let (near, nearer) = (psnr(&short, &exact), psnr(&pixels, &exact));
                let told = format!("{name}: {near:.1} dB, {nearer:.1} dB by pixels; {ratio:.3} of their bytes");
                // Above 40 dB nobody sees a difference.
                if near < 40.0 && near < nearer - 1.0 || ratio > 1.08 {
                    faults.push(told);
                } else if std::env::var_os("PIXMILL_TELL").is_some() {
                    eprintln!("{told}");
                }
            }
        }
    }
    eprintln!("{compared} outputs compared");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
