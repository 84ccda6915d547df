//! JPEGs of every structure against libjpeg-turbo's own `djpeg`, which is another program.
//!
//! A few hundred files here; `scripts/differential` does thousands. Each is written by [`generated`], many are then
//! transcoded by `jpegtran` (progressive, arithmetic), and each sample must be that of `djpeg`.

mod generated;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::Code;
use generated::{Layout, Part, Structure};

/// Runs one of libjpeg-turbo's programs; what it says, where it complains.
fn tool(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed, from Debian's libjpeg-turbo-progs: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|threads| {
        // It may refuse the file before it has read all of it.
        threads.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    if output.status.success() && output.stderr.is_empty() {
        return Ok(output.stdout);
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// The size and samples of a binary PGM or PPM.
fn pnm(file: &[u8]) -> ((u32, u32), &[u8]) {
    let mut fields = Vec::new();
    let mut at = 0;
    while fields.len() < 4 {
        let end = at + file[at..].iter().position(u8::is_ascii_whitespace).unwrap();
        fields.push(std::str::from_utf8(&file[at..end]).unwrap());
        at = end + 1;
    }
    ((fields[1].parse().unwrap(), fields[2].parse().unwrap()), &file[at..])
}

type Sampling = [(usize, usize); 4];

/// By name: of Y, Cb, Cr and K, or of what stands in their places.
const SAMPLINGS: [(&str, Sampling); 16] = [
    ("4:4:4", [(1, 1), (1, 1), (1, 1), (1, 1)]),
    ("4:2:2", [(2, 1), (1, 1), (1, 1), (2, 1)]),
    ("4:2:0", [(2, 2), (1, 1), (1, 1), (2, 2)]),
    ("4:4:0", [(1, 2), (1, 1), (1, 1), (1, 2)]),
    ("4:1:1", [(4, 1), (1, 1), (1, 1), (4, 1)]),
    ("4:1:0", [(4, 2), (1, 1), (1, 1), (4, 2)]),
    ("1x4", [(1, 4), (1, 1), (1, 1), (1, 4)]),
    ("4:2:2 of 2x2", [(2, 2), (1, 2), (1, 2), (2, 2)]),
    ("4:4:0 of 2x2", [(2, 2), (2, 1), (2, 1), (2, 2)]),
    ("4:4:4 of 2x2", [(2, 2), (2, 2), (2, 2), (2, 2)]),
    ("3x1", [(3, 1), (1, 1), (1, 1), (3, 1)]),
    ("1x3", [(1, 3), (1, 1), (1, 1), (1, 3)]),
    ("mixed", [(2, 2), (2, 1), (1, 2), (1, 1)]),
    ("chroma larger", [(1, 1), (2, 2), (2, 2), (1, 1)]),
    ("fractional 3:2:1", [(3, 1), (2, 1), (1, 1), (3, 1)]),
    ("fractional 3:2", [(3, 3), (2, 2), (2, 2), (3, 3)]),
];

/// How many components, JFIF, Adobe's transform, ids.
type Kind = (&'static str, usize, bool, Option<u8>, [u8; 4]);

/// By name.
const KINDS: [Kind; 8] = [
    ("grey", 1, true, None, [1, 0, 0, 0]),
    ("YCbCr", 3, true, None, [1, 2, 3, 0]),
    ("YCbCr by Adobe", 3, false, Some(1), [0, 1, 2, 0]),
    ("RGB by Adobe", 3, false, Some(0), [1, 2, 3, 0]),
    ("RGB by ids", 3, false, None, *b"RGB\0"),
    ("CMYK", 4, false, Some(0), [1, 2, 3, 4]),
    ("CMYK without a marker", 4, false, None, [1, 2, 3, 4]),
    ("YCCK", 4, false, Some(2), [1, 2, 3, 4]),
];

const CODINGS: [&str; 6] =
    ["sequential", "sequential", "sequential", "progressive", "arithmetic", "arithmetic progressive"];

/// One file.
struct Case {
    name: String,
    structure: Structure,
    file: Vec<u8>,
    coding: &'static str,
}

fn case(random: &mut fastrand::Rng) -> Case {
    let (kind, count, jfif, adobe, ids) = KINDS[random.usize(..KINDS.len())];
    let (sampling_name, sampling) = SAMPLINGS[random.usize(..SAMPLINGS.len())];
    let parts: Vec<Part> = (0..count)
        .map(|i| Part { id: ids[i], h: sampling[i].0, v: sampling[i].1, tables: usize::from(i == 1 || i == 2) })
        .collect();
    let mut length = || [1, 7, 8, 9, 15, 16, 17, 33, 40, 64, 65, 100][random.usize(..12)];
    let size = (length(), length());
    // Which scan each component is in; scans in any order.
    let mut scans: Vec<Vec<usize>> = match random.u8(..4) {
        0 | 1 => vec![(0..count).collect()],
        2 => (0..count).map(|i| vec![i]).collect(),
        _ => {
            let mut scans = vec![Vec::new(); count];
            for i in 0..count {
                scans[random.usize(..count)].push(i);
            }
            scans.into_iter().filter(|scan| !scan.is_empty()).collect()
        }
    };
    // An MCU has ten blocks at most.
    let blocks = |scan: &Vec<usize>| scan.iter().map(|&i| parts[i].h * parts[i].v).sum::<usize>();
    if scans.iter().any(|scan| scan.len() > 1 && blocks(scan) > 10) {
        scans = (0..count).map(|i| vec![i]).collect();
    }
    random.shuffle(&mut scans);
    let mut coding = CODINGS[random.usize(..CODINGS.len())];
    let separate = scans.iter().all(|scan| scan.len() == 1);
    let layout = match random.u8(..4) {
        0 | 1 => Layout::Together,
        2 if separate => Layout::Renewed,
        _ => Layout::Split,
    };
    let wide = random.u8(..4) == 0;
    let restart = if random.bool() { 0 } else { random.usize(1..20) };
    let renewed = layout == Layout::Renewed;
    let first = if coding != "sequential" && renewed { Layout::Split } else { layout };
    let structure = Structure { size, parts, scans, restart, layout: first, wide, jfif, adobe };
    let mut file = structure.file();
    if coding != "sequential" {
        let script: String = structure.scans.iter().map(|scan| words(scan) + ";\n").collect();
        let all: Vec<usize> = (0..count).collect();
        // First coefficients alone, in the same scans as they are here; then all others.
        let lines = |spectrum: &str| {
            structure.scans.iter().map(|scan| words(scan) + ": " + spectrum + ";\n").collect::<String>()
        };
        let alone = |spectrum: &str| all.iter().map(|&i| words(&[i]) + ": " + spectrum + ";\n").collect::<String>();
        let progression = lines("0-0, 0, 1") + &alone("1-5, 0, 0") + &alone("6-63, 0, 0") + &lines("0-0, 1, 0");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scans");
        let progressive = coding.ends_with("progressive");
        std::fs::write(&path, if progressive { progression } else { script }).unwrap();
        let path = path.to_str().unwrap();
        let restart = format!("{restart}B");
        let mut arguments = vec!["-scans", path, "-restart", &restart];
        if coding.starts_with("arithmetic") {
            arguments.push("-arithmetic");
        }
        match tool("jpegtran", &arguments, &file) {
            Ok(transcoded) if renewed => file = structure.renewed(&transcoded),
            Ok(transcoded) => file = transcoded,
            // What it refuses stays as it was written.
            Err(_) => coding = "sequential",
        }
    }
    let name = format!(
        "{kind}, {sampling_name}, {coding}, {}×{}, scans {:?}, restart {restart}, tables {layout:?}{}",
        size.0,
        size.1,
        structure.scans,
        if wide { " of 16 bits" } else { "" }
    );
    Case { name, structure, file, coding }
}

fn words(scan: &[usize]) -> String {
    let mut scan = scan.to_vec();
    scan.sort_unstable();
    scan.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}

/// Holds a file against djpeg; what is wrong, or whether djpeg read it at all.
fn compared(file: &[u8]) -> Result<bool, String> {
    let limits = Limits::default();
    let facts = codec::inspect(Cursor::new(file), &limits).map_err(|error| error.to_string())?;
    let ours = codec::decode_eight(file, &facts, 1, &limits).map_err(|error| format!("refused: {error}"))?;
    let wanted = match tool("djpeg", &["-pnm"], file) {
        Ok(wanted) => wanted,
        Err(said) if said.contains("Fractional sampling") => return Ok(false),
        Err(said) => return Err(format!("djpeg refuses it: {said}")),
    };
    let (size, wanted) = pnm(&wanted);
    if ours.size() != size || ours.data.len() != wanted.len() {
        return Err(format!("{:?} for {size:?}", ours.size()));
    }
    let worst = ours.data.iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    if worst > 0 {
        return Err(format!("a sample is off by {worst}"));
    }
    // The short ways read such files by themselves.
    for json in [r#"[{"type":"convert","format":"jpeg","quality":100}]"#, r#"[{"type":"watermark","text":"."}]"#] {
        let operations = parse(json, &limits).unwrap();
        let Some(route) = route(file, &operations) else { continue };
        let Some(short) = tried(file, &operations, Some(route)) else { continue };
        let (short, pixels) = (decoded(&short[0]), decoded(&one_way(file, &operations, None)[0]));
        let mean = |a: &Raster, b: &Raster| {
            let sum: u64 = a.data.iter().zip(&b.data).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            sum as f64 / a.data.len() as f64
        };
        let off = mean(&short, &pixels);
        if short.size() != pixels.size() || off > 8.0 {
            return Err(format!("{json} by {route:?} is off by {off:.1} on average"));
        }
    }
    Ok(true)
}

/// How many files: a few hundred unless `PIXMILL_DIFFERENTIAL` says otherwise.
fn count() -> usize {
    std::env::var("PIXMILL_DIFFERENTIAL").map_or(300, |count| count.parse().expect("PIXMILL_DIFFERENTIAL is a number"))
}

#[test]
fn jpegs_of_every_structure_have_the_pixels_of_djpeg() {
    let mut random = fastrand::Rng::with_seed(14);
    let (mut tally, mut faults) = (BTreeMap::new(), Vec::new());
    for _ in 0..count() {
        let case = case(&mut random);
        let components = case.structure.parts.len();
        let scans = if case.structure.scans.len() == 1 { "one scan" } else { "several scans" };
        let tally: &mut [usize; 3] = tally.entry((case.coding, components, scans)).or_default();
        match compared(&case.file) {
            Ok(true) => tally[0] += 1,
            Ok(false) => tally[1] += 1,
            Err(fault) => {
                tally[2] += 1;
                faults.push(format!("{}: {fault}", case.name));
                if let Some(folder) = std::env::var_os("PIXMILL_FAULTS") {
                    std::fs::write(Path::new(&folder).join(format!("{}.jpg", faults.len())), &case.file).unwrap();
                }
            }
        }
    }
    println!("| coding | components | | as djpeg | not read by djpeg | wrong |\n|---|---|---|---|---|---|");
    for ((coding, components, scans), [same, unread, wrong]) in tally {
        println!("| {coding} | {components} | {scans} | {same} | {unread} | {wrong} |");
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Fractional sampling, which djpeg does not read, against the picture that was drawn.
#[test]
fn fractional_sampling_gives_the_picture() {
    let part = |id: u8, side: usize| Part { id, h: side, v: side, tables: 0 };
    let fractional = Structure {
        size: (90, 66),
        parts: vec![part(b'R', 3), part(b'G', 2), part(b'B', 2)],
        scans: vec![vec![0], vec![1], vec![2]],
        restart: 0,
        layout: Layout::Together,
        wide: false,
        jfif: false,
        adobe: None,
    };
    let mut whole = fractional.clone();
    for part in &mut whole.parts {
        (part.h, part.v) = (1, 1);
    }
    let limits = Limits::default();
    let read = |structure: &Structure| {
        let file = structure.file();
        let facts = codec::inspect(Cursor::new(&file), &limits).unwrap();
        codec::decode_eight(&file, &facts, 1, &limits).unwrap()
    };
    let (fractional, whole) = (read(&fractional), read(&whole));
    let sum: u64 = fractional.data.iter().zip(&whole.data).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    let mean = sum as f64 / whole.data.len() as f64;
    assert!(mean < 4.0, "off by {mean:.1} on average");
}

#[test]
fn jpegs_that_are_not_read_are_refused_by_name() {
    let structure = Structure {
        size: (16, 16),
        parts: vec![Part { id: 1, h: 1, v: 1, tables: 0 }],
        scans: vec![vec![0]],
        restart: 0,
        layout: Layout::Together,
        wide: false,
        jfif: true,
        adobe: None,
    };
    let file = structure.file();
    let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    for (at, value, said) in
        [(1, 0xc3, "lossless"), (1, 0xc5, "hierarchical"), (1, 0xcb, "lossless"), (4, 12, "12 bits a sample")]
    {
        let mut file = file.clone();
        file[frame + at] = value;
        let error = probe(Cursor::new(&file), &Limits::default()).unwrap_err();
        assert_eq!(error.code, Code::UnsupportedFormat, "{error}");
        assert!(error.detail.contains(said), "{error}");
    }
}

#[test]
fn jpeg_of_several_scans_that_is_cut_short_is_refused_or_filled_with_grey() {
    let structure = Structure {
        size: (64, 64),
        parts: (0..3).map(|i| Part { id: i + 1, h: 1, v: 1, tables: usize::from(i > 0) }).collect(),
        scans: vec![vec![0], vec![1, 2]],
        restart: 0,
        layout: Layout::Together,
        wide: false,
        jfif: true,
        adobe: None,
    };
    let file = structure.file();
    let scan = file.windows(3).rposition(|part| part == [0xff, 0xda, 0]).unwrap();
    // In the second scan, before it, and in the first.
    for cut in [file.len() - 20, scan + 30, scan, scan - 20] {
        let cut = &file[..cut];
        let strict = inputs::read(cut, |_| ()).err().expect("it is cut short");
        assert_eq!(strict.code, Code::TruncatedImage, "{strict}");
        let lenient = inputs::read(cut, |reading| reading.lenient = true).unwrap();
        assert!(lenient.truncated);
    }
    assert!(!inputs::read(&file, |reading| reading.lenient = true).unwrap().truncated);
}
