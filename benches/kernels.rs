//! The main job and its parts: `cargo bench --bench kernels`. The picture is `PIXMILL_BENCH_IMAGE`
//! or the photo of the fixtures.

use imaging::{Limits, Operation, Options, operation, process};

const MAIN: &str = r#"[{"type":"resize","width":800,"height":600,"quality":75},
    {"type":"thumbnail","size":[150,150],"quality":75},
    {"type":"watermark","text":"MySite","quality":75}]"#;

const FORMATS: [&str; 3] = ["jpeg", "png", "webp"];

fn main() {
    divan::main();
}

fn source() -> Vec<u8> {
    match std::env::var_os("PIXMILL_BENCH_IMAGE") {
        Some(path) => std::fs::read(path).expect("PIXMILL_BENCH_IMAGE names a file"),
        None => include_bytes!("../tests/fixtures/photo.jpg").to_vec(),
    }
}

fn work(source: &[u8], operations: &[Operation]) -> usize {
    let mut bytes = 0;
    process(source, operations, &Options::new(&Limits::default()), &mut |_, made| {
        bytes += made.picture().map_or(0, |output| output.data.len());
        Ok(())
    })
    .expect("the picture is processed");
    bytes
}

fn parsed(json: &str) -> Vec<Operation> {
    operation::parse(json, &Limits::default()).expect("operations")
}

fn written(source: &[u8], json: &str) -> Vec<u8> {
    let mut file = Vec::new();
    process(source, &parsed(json), &Options::new(&Limits::default()), &mut |_, made| {
        file = made.picture().expect("a picture").data;
        Ok(())
    })
    .expect("the picture is processed");
    file
}

fn run(bencher: divan::Bencher<'_, '_>, json: &str) {
    let source = source();
    let operations = parsed(json);
    bencher.bench_local(|| work(&source, &operations));
}

/// Resize, thumbnail and watermark, all JPEG at quality 75.
#[divan::bench]
fn main_job(bencher: divan::Bencher<'_, '_>) {
    run(bencher, MAIN);
}

/// The same with nothing but the defaults: the watermark keeps the source's tables.
#[divan::bench]
fn default_job(bencher: divan::Bencher<'_, '_>) {
    run(
        bencher,
        r#"[{"type":"resize","width":800,"height":600}, {"type":"thumbnail","size":[150,150]},
            {"type":"watermark","text":"MySite"}]"#,
    );
}

#[divan::bench]
fn resize(bencher: divan::Bencher<'_, '_>) {
    run(bencher, r#"[{"type":"resize","width":800,"height":600,"quality":75}]"#);
}

#[divan::bench]
fn thumbnail(bencher: divan::Bencher<'_, '_>) {
    run(bencher, r#"[{"type":"thumbnail","size":[150,150],"quality":75}]"#);
}

#[divan::bench]
fn watermark(bencher: divan::Bencher<'_, '_>) {
    run(bencher, r#"[{"type":"watermark","text":"MySite","quality":75}]"#);
}

/// 800×600 pixels of the photo, from a file of each format to a picture of eight by eight.
#[divan::bench(args = FORMATS)]
fn decode(bencher: divan::Bencher<'_, '_>, format: &str) {
    let file = written(&source(), &format!(r#"[{{"type":"resize","width":800,"height":600,"format":"{format}"}}]"#));
    let operations = parsed(r#"[{"type":"resize","width":8,"height":8,"filter":"nearest","format":"png"}]"#);
    bencher.bench_local(|| work(&file, &operations));
}

/// The same pixels, from a PNG to a file of each format.
#[divan::bench(args = FORMATS)]
fn encode(bencher: divan::Bencher<'_, '_>, format: &str) {
    let file = written(&source(), r#"[{"type":"resize","width":800,"height":600,"format":"png"}]"#);
    let operations = parsed(&format!(r#"[{{"type":"convert","format":"{format}"}}]"#));
    bencher.bench_local(|| work(&file, &operations));
}
