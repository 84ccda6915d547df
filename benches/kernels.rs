//! The main job and its parts: `cargo bench --bench kernels`. The picture is `PIXMILL_BENCH_IMAGE`
//! or the photo of the fixtures.

use pixmill::imaging::{Limits, Operation, operation, process};

const MAIN: &str = r#"[{"type":"resize","width":800,"height":600,"quality":75},
    {"type":"thumbnail","size":[150,150],"quality":75},
    {"type":"watermark","text":"MySite","quality":75}]"#;

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
    process(source, operations, &Limits::default(), &|| false, &mut |_, output| {
        bytes += output.data.len();
        Ok(())
    })
    .expect("the picture is processed");
    bytes
}

fn run(bencher: divan::Bencher<'_, '_>, json: &str) {
    let source = source();
    let operations = operation::parse(json, &Limits::default()).expect("operations");
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

#[divan::bench]
fn png_of_800x600(bencher: divan::Bencher<'_, '_>) {
    run(bencher, r#"[{"type":"resize","width":800,"height":600,"format":"png"}]"#);
}

#[divan::bench]
fn webp_of_800x600(bencher: divan::Bencher<'_, '_>) {
    run(bencher, r#"[{"type":"resize","width":800,"height":600,"format":"webp"}]"#);
}
