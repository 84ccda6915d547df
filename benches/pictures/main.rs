//! One thread that computes pictures on request, for programs that time it: `cargo bench --bench pictures`.
//!
//! A line of standard input holds a file's path, a tab and the operations as JSON; the answer is the time that
//! computing took in milliseconds and the outputs' bytes, or `!` and why not. `benches/pictures.py` asks.

use std::collections::HashMap;
use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use imaging::{Limits, Options, operation, process};

fn main() -> std::io::Result<()> {
    let mut files: HashMap<String, Vec<u8>> = HashMap::new();
    for line in stdin().lock().lines() {
        let line = line?;
        let Some((path, json)) = line.split_once('\t') else { continue };
        let source = match files.get(path) {
            Some(source) => source,
            None => files.entry(path.to_owned()).or_insert(std::fs::read(path)?),
        };
        let answer = match computed(source, json) {
            Ok((milliseconds, bytes)) => format!("{milliseconds:.3} {bytes}"),
            Err(error) => format!("! {error}"),
        };
        writeln!(stdout(), "{answer}")?;
        stdout().flush()?;
    }
    Ok(())
}

fn computed(source: &[u8], json: &str) -> imaging::Result<(f64, usize)> {
    let limits = Limits::default();
    let operations = operation::parse(json, &limits)?;
    let started = Instant::now();
    let mut bytes = 0;
    process(source, &operations, &Options::new(&limits), &mut |_, made| {
        bytes += made.picture().map_or(0, |output| output.data.len());
        Ok(())
    })?;
    Ok((started.elapsed().as_secs_f64() * 1000.0, bytes))
}
