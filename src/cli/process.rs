//! `pixmill process IN OUT`: one picture, at once, without a queue.
//!
//! The operations are chained into the one output. `OUT` is written beside itself and renamed, so
//! that neither it nor a picture processed onto itself is ever half there.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use imaging::{Format, Limits, Made, Options, operation::Action};

use super::exit::{self, Usage};
use super::operations::Operations;
use super::{ending, near};
use crate::config::Config;

const EXAMPLES: &str = "\
Examples:
  pixmill process cat.jpg small.jpg --resize 800x600
  pixmill process cat.jpg square.webp --resize 400x400 --fit cover --quality 75
  pixmill process cat.png signed.png --watermark '© Ann' --position bottom-left
  pixmill process cat.jpg signed.jpg --overlay ./logo.png --size 20%
  pixmill process scan.tiff scan.png          only converts
  pixmill process cat.jpg - --preset card > x   [presets] in the settings
  pixmill process cat.jpg --explain --thumbnail 150   how it would be made
  pixmill process cat.jpg - --info            tells of the picture in JSON
  curl -s https://example.org/cat.jpg | pixmill process - - --thumbnail 150 > x

The order of operations counts: --resize 800x --watermark X writes on the small picture, --watermark X --resize 800x \
shrinks the text along. The format is --format's, else the one that the operations name, else the one of OUT's ending \
(jpg, png, webp, gif, bmp, tiff, avif, qoi), else the source's. A file that is replaced keeps its mode and, where \
permitted, its owner.

Exit code: 0 done, 1 the picture could not be read, made or written, 2 called wrongly.";

/// Process one picture, without a queue: pixmill process cat.jpg small.jpg --resize 800x600
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The picture; - reads standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Where the result goes; - writes to standard output, as does leaving it out with --info. An existing file is
    /// replaced
    #[arg(value_name = "OUT", required_unless_present_any = ["info", "explain"])]
    output: Option<PathBuf>,
    /// Tell how the outputs would be made, and make none: what is decoded, what comes from what, how much memory it
    /// takes. Without OUT, each operation is an output of its own, as in an upload
    #[arg(long)]
    explain: bool,
    /// Take what there is of a file cut short, with a warning, instead of refusing it
    #[arg(long)]
    lenient: bool,
    #[command(flatten)]
    pub(super) operations: Operations,
}

/// Processes the picture and says on stderr what became of it.
pub(crate) fn run(args: &Args, config: &Config) -> ExitCode {
    exit::code(process(args, config).map(|()| ExitCode::SUCCESS))
}

fn process(args: &Args, config: &Config) -> Result<()> {
    let started = Instant::now();
    let (limits, presets) = (&config.limits.imaging(), &config.presets);
    if args.explain && args.output.is_none() {
        return explain(args, &args.operations.list(limits, presets).map_err(Usage)?, limits);
    }
    let out = args.output.as_deref().unwrap_or(Path::new("-"));
    let to_stdout = is_dash(out);
    let by_name = if to_stdout { None } else { format_of(out) };
    let operation = args.operations.chain(by_name, limits, presets).map_err(Usage)?;
    let asks = matches!(operation.action, Action::Info(_));
    if operation.save.format.is_none() && !to_stdout && !asks {
        let name = out.display();
        let endings: Vec<&str> = writable().map(Format::extension).collect();
        let said =
            format!("{name}: nothing is written under this ending; use one of {}, or add --format", endings.join(", "));
        return Err(Usage(said).into());
    }
    if args.explain {
        return explain(args, &[operation], limits);
    }
    if to_stdout && !asks && io::stdout().is_terminal() {
        return Err(
            Usage("a picture does not belong on a terminal: redirect standard output, or name a file".into()).into()
        );
    }
    let source = source(args, limits)?;
    let options = Options { lenient: args.lenient, ..Options::new(limits) };
    let made = compute(&source, operation, &options).with_context(|| shown(&args.input, "stdin"))?;
    let (data, told) = match made {
        Made::Picture(output) => {
            for warning in &output.warnings {
                eprintln!("{}: {warning}", shown(&args.input, "stdin"));
            }
            let frames = output.animation.map(|animation| format!(", {} frames", animation.frames)).unwrap_or_default();
            let told = format!("{}×{} {}{frames}", output.width, output.height, output.format.title());
            (output.data, told)
        }
        Made::Info(info) => (format!("{}\n", serde_json::to_string_pretty(&info)?).into_bytes(), "JSON".to_owned()),
    };
    let written = if to_stdout { io::stdout().lock().write_all(&data) } else { write(out, &data) };
    written.with_context(|| format!("{} cannot be written", shown(out, "stdout")))?;
    if asks && to_stdout {
        return Ok(());
    }
    eprintln!(
        "{} → {}: {told}, {} bytes (from {}), {} ms",
        shown(&args.input, "stdin"),
        shown(out, "stdout"),
        data.len(),
        source.len(),
        started.elapsed().as_millis()
    );
    Ok(())
}

/// Prints the plan.
fn explain(args: &Args, operations: &[imaging::Operation], limits: &Limits) -> Result<()> {
    let source = source(args, limits)?;
    let told = imaging::explain(&source, operations, limits).with_context(|| shown(&args.input, "stdin"))?;
    writeln!(io::stdout().lock(), "{told}").context("the plan cannot be written")
}

fn compute(source: &[u8], operation: imaging::Operation, options: &Options<'_>) -> imaging::Result<Made> {
    let mut only = None;
    let mut keep = |_, made| {
        only = Some(made);
        Ok(())
    };
    imaging::process(source, &[operation], options, &mut keep)?;
    Ok(only.expect("one operation yields one output"))
}

fn source(args: &Args, limits: &Limits) -> Result<Vec<u8>> {
    read(&args.input, limits).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!(near::no_such_file(&args.input)),
        _ => anyhow::Error::new(error).context(format!("{} cannot be read", shown(&args.input, "stdin"))),
    })
}

/// Reads no further than the limit, so that an endless stream ends.
fn read(path: &Path, limits: &Limits) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> = if is_dash(path) { Box::new(io::stdin().lock()) } else { Box::new(File::open(path)?) };
    let mut bytes = Vec::new();
    source.take(limits.max_file_bytes + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces `path` as a whole or not at all. A file that is replaced keeps its mode, owner and access lists.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link stays a link, and a device or pipe cannot be replaced.
    let (path, former) = match fs::metadata(path) {
        Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() => return fs::write(path, bytes),
        Ok(there) => (fs::canonicalize(path)?, Some(there)),
        Err(_) => (path.to_owned(), None),
    };
    let folder = path.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    // Of a length of its own: the file's name may be as long as names can be.
    let beside = folder.join(format!(".pixmill-{:016x}.tmp", fastrand::u64(..)));
    // A private file's replacement is private from the first byte on.
    let mode = if former.is_some() { 0o600 } else { 0o666 };
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        if let Some(former) = former {
            keep_access(&file, &path, &former)?;
        }
        file.sync_all()?;
        fs::rename(&beside, &path)
    });
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// Gives `file` the owner, the mode and the extended attributes, access lists among them, of the file at `path`.
///
/// Only root may give a file to somebody else. Where its group cannot stay, the group gets no more than all others have.
fn keep_access(file: &File, path: &Path, former: &Metadata) -> io::Result<()> {
    let mut mode = former.mode() & 0o7777;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (former.uid(), former.gid()) {
        let whole = fchown(file, Some(former.uid()), Some(former.gid()));
        if whole.is_err() && own.gid() != former.gid() && fchown(file, None, Some(former.gid())).is_err() {
            mode = mode & 0o707 | (mode & 0o007) << 3;
        } else if whole.is_err() {
            // The owner has changed: without the bits that run a file as its owner or group.
            mode &= 0o777;
        }
    }
    copy_attributes(file, path);
    file.set_permissions(Permissions::from_mode(mode))
}

/// Copies the extended attributes that can be read and set, and ignores the others.
fn copy_attributes(file: &File, path: &Path) {
    let mut names = vec![0; 64 << 10];
    let Ok(length) = rustix::fs::listxattr(path, &mut names[..]) else { return };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        if let Ok(length) = rustix::fs::getxattr(path, name, &mut value[..]) {
            let _ = rustix::fs::fsetxattr(file, name, &value[..length], rustix::fs::XattrFlags::empty());
        }
    }
}

/// What a file of this name is written as.
fn format_of(path: &Path) -> Option<Format> {
    ending::format(path.extension()?.to_str()?).filter(|format| format.is_writable())
}

fn writable() -> impl Iterator<Item = Format> {
    Format::ALL.into_iter().filter(|format| format.is_writable())
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn shown(path: &Path, stream: &str) -> String {
    if is_dash(path) { stream.to_owned() } else { path.display().to_string() }
}
