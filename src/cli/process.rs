//! `pixmill process IN OUT`: one picture, at once, without a queue.
//!
//! The operations are chained into the one output. `OUT` is written beside itself and renamed, so
//! that neither it nor a picture processed onto itself is ever half there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};

use super::exit::{self, Usage};
use super::operations::Operations;
use crate::config::Config;
use crate::imaging::{self, Format, Limits, Output};

const EXAMPLES: &str = "\
Examples:
  pixmill process cat.jpg small.jpg --resize 800x600
  pixmill process cat.jpg square.webp --resize 400x400 --fit cover --quality 75
  pixmill process cat.png signed.png --resize 1200x --watermark '© Ann' --position bottom-left
  pixmill process scan.tiff scan.png                 only converts
  curl -s https://example.org/cat.jpg | pixmill process - - --thumbnail 150 > cat-150.jpg

The order of operations counts: --resize 800x --watermark X writes on the small picture,
--watermark X --resize 800x shrinks the text along. The format is --format's, else the one of
OUT's name (jpg, png, webp), else the source's.";

/// Process one picture, without a queue: pixmill process cat.jpg small.jpg --resize 800x600
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The picture; - reads standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Where the result goes; - writes to standard output. An existing file is replaced
    #[arg(value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    operations: Operations,
}

/// Processes the picture and says on stderr what became of it.
pub(crate) fn run(args: &Args, config: &Config) -> ExitCode {
    exit::code(process(args, &config.limits.imaging()).map(|()| ExitCode::SUCCESS))
}

fn process(args: &Args, limits: &Limits) -> Result<()> {
    let started = Instant::now();
    let to_stdout = is_dash(&args.output);
    let by_name = if to_stdout { None } else { format_of(&args.output) };
    let operation = args.operations.chain(by_name, limits).map_err(Usage)?;
    if operation.save.format.is_none() && !to_stdout {
        let name = args.output.display();
        let said = format!("{name}: no format has this name; end it in .jpg, .png or .webp, or add --format");
        return Err(Usage(said).into());
    }
    if to_stdout && io::stdout().is_terminal() {
        return Err(
            Usage("a picture does not belong on a terminal: redirect standard output, or name a file".into()).into()
        );
    }
    let source =
        read(&args.input, limits).with_context(|| format!("{} cannot be read", shown(&args.input, "stdin")))?;
    let output = compute(&source, operation, limits).with_context(|| shown(&args.input, "stdin"))?;
    let written =
        if to_stdout { io::stdout().lock().write_all(&output.data) } else { write(&args.output, &output.data) };
    written.with_context(|| format!("{} cannot be written", shown(&args.output, "stdout")))?;
    eprintln!(
        "{} → {}: {}×{} {}, {} bytes (from {}), {} ms",
        shown(&args.input, "stdin"),
        shown(&args.output, "stdout"),
        output.width,
        output.height,
        output.format.title(),
        output.data.len(),
        source.len(),
        started.elapsed().as_millis()
    );
    Ok(())
}

fn compute(source: &[u8], operation: imaging::Operation, limits: &Limits) -> imaging::Result<Output> {
    let mut made = None;
    let mut keep = |_, output| {
        made = Some(output);
        Ok(())
    };
    imaging::process(source, &[operation], limits, &|| false, &mut keep)?;
    Ok(made.expect("one operation yields one output"))
}

/// Reads no further than the limit, so that an endless stream ends.
fn read(path: &Path, limits: &Limits) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> = if is_dash(path) { Box::new(io::stdin().lock()) } else { Box::new(File::open(path)?) };
    let mut bytes = Vec::new();
    source.take(limits.max_file_bytes + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces `path` as a whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link stays a link, and a device or pipe cannot be replaced.
    let path = match fs::metadata(path) {
        Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() => return fs::write(path, bytes),
        Ok(_) => fs::canonicalize(path)?,
        Err(_) => path.to_owned(),
    };
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidFilename)?);
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = File::create_new(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    });
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" | "jpe" | "jfif" => Some(Format::Jpeg),
        "png" => Some(Format::Png),
        "webp" => Some(Format::WebP),
        _ => None,
    }
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn shown(path: &Path, stream: &str) -> String {
    if is_dash(path) { stream.to_owned() } else { path.display().to_string() }
}
