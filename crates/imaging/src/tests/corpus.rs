//! The acceptance corpus, if `PIXMILL_CORPUS` names it: every file of its MANIFEST.csv is made a
//! thumbnail, and the first word of `must` decides what is right.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use super::*;
use crate::Code;

const BLAMES: [Code; 7] = [
    Code::EmptyFile,
    Code::UnsupportedFormat,
    Code::CorruptImage,
    Code::TruncatedImage,
    Code::TooLarge,
    Code::TooManyPixels,
    Code::TooManyFrames,
];

#[test]
fn corpus_is_judged_as_its_manifest_says() {
    let Some(folder) = std::env::var_os("PIXMILL_CORPUS") else {
        eprintln!("PIXMILL_CORPUS is not set: the corpus test is skipped");
        return;
    };
    let folder = Path::new(&folder);
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.csv"))
        .expect("PIXMILL_CORPUS names a folder with a MANIFEST.csv");
    let rows = csv(&manifest);
    let column = |name: &str| column(&rows[0], name);
    let (file, category, must) = (column("file"), column("category"), column("must"));
    let (width, height, text) = (column("upright_width"), column("upright_height"), must);

    let dump = std::env::var_os("PIXMILL_DUMP");
    let mut counts = BTreeMap::<String, u32>::new();
    let mut faults = Vec::new();
    for row in &rows[1..] {
        let source = std::fs::read(folder.join(&row[file])).expect("a file of the manifest");
        let started = Instant::now();
        let result = run(&source, &[png(thumbnail(256))]);
        let took = started.elapsed();
        let must = row[must].split(':').next().unwrap_or_default().trim();
        let size = row[width].parse().ok().zip(row[height].parse().ok());
        let fault = match &result {
            Ok(outputs) => {
                if let Some(dump) = &dump {
                    let name = row[file].replace('/', "__") + ".png";
                    std::fs::write(Path::new(dump).join(name), &outputs[0].data).unwrap();
                }
                let got = (outputs[0].width, outputs[0].height);
                if must == "reject" {
                    Some("accepted".to_owned())
                } else {
                    size.filter(|size| !near(got, *size))
                        .map(|size| format!("{got:?} of {size:?}"))
                        .or_else(|| miscoloured(&row[text], &outputs[0]))
                }
            }
            Err(error) if !BLAMES.contains(&error.code) => Some(error.to_string()),
            Err(error) => match must {
                "accept" => Some(error.to_string()),
                "policy" if !matches!(row[category].as_str(), "apng" | "damaged") => {
                    (error.code != Code::UnsupportedFormat).then(|| error.to_string())
                }
                _ => None,
            },
        };
        let outcome = if result.is_ok() { "accepted" } else { "refused" };
        *counts.entry(format!("{must}: {outcome}")).or_default() += 1;
        if took.as_millis() > 1000 {
            eprintln!("slow: {} took {took:?}", row[file]);
        }
        if let Some(fault) = fault {
            faults.push(format!("{}: {must}, but {fault}", row[file]));
        }
    }
    eprintln!("{counts:?}");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn column(head: &[String], name: &str) -> usize {
    head.iter().position(|cell| cell == name).expect("a known column")
}

/// Where the manifest names the colours of the four quarters, which of them is wrong by more than 6.
fn miscoloured(must: &str, output: &Output) -> Option<String> {
    let (_, named) = must.split_once("quadrants = [(")?;
    let numbers = named.split_once(")]")?.0.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let wanted: Vec<u8> = numbers.map(|word| word.parse().expect("a channel of eight bits")).collect();
    let picture = decoded(output).into_colour();
    let (width, height, step) = (picture.width as usize, picture.height as usize, picture.channels.count());
    let places = [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| (x * width / 4, y * height / 4));
    places.iter().zip(wanted.chunks_exact(3)).find_map(|(&(x, y), wanted)| {
        let got = &picture.data[(y * width + x) * step..][..3];
        let close = got.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) <= 6);
        (!close).then(|| format!("{got:?} at {x}, {y}, not {wanted:?}"))
    })
}

fn near(got: (u32, u32), size: (f64, f64)) -> bool {
    let scale = (256.0 / size.0).min(256.0 / size.1).min(1.0);
    let close = |got: u32, side: f64| (f64::from(got) - (side * scale).max(1.0)).abs() <= 1.01;
    close(got.0, size.0) && close(got.1, size.1)
}

/// Quoted cells with doubled quotes, as Python writes them.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    rows
}
