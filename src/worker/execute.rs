//! Computes one picture: the function that the threads of a child process run.

use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use imaging::{Limits, Made, Operation, Options};
use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};

use super::attempt::Whereabouts;
use crate::errors::Failure;
use crate::kinds::{Answer, Output, OutputFile};
use crate::sources::Folder;

/// The work to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) source: Whereabouts,
    /// CRC-32 that the source must have.
    #[serde(default)]
    pub(super) check: Option<u32>,
    pub(super) operations: Vec<Operation>,
    /// The folder of the outputs, which is created here.
    #[serde(with = "crate::job::path")]
    pub(super) folder: PathBuf,
    /// Uses the readable part of a truncated file.
    pub(super) lenient: bool,
    pub(super) limits: Limits,
    pub(super) time_limit: Duration,
}

/// The result of each operation in order, or why the attempt failed.
pub(super) type Outcome = Result<Vec<Output>, Failure>;

/// Reads the source, applies the operations, and writes a file for each output. If the attempt fails, all its files are
/// removed before this returns, because they may be what fills the disk.
///
/// `stopped` is checked between steps. A panic fails the job and not the worker.
pub(super) fn execute(spec: &Spec, stopped: &dyn Fn() -> bool) -> Outcome {
    let outcome = catch_unwind(AssertUnwindSafe(|| compute(spec, stopped))).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Failure::permanent("internal", format!("the attempt panicked: {said}")))
    });
    if outcome.is_err() {
        discard(&spec.folder);
    }
    outcome
}

/// Removes the outputs of an attempt. The worker removes what remains.
pub(super) fn discard(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}

fn compute(spec: &Spec, stopped: &dyn Fn() -> bool) -> Outcome {
    let source = read(&spec.source, &spec.limits)?;
    if spec.check.is_some_and(|check| check != crc32fast::hash(&source)) {
        let detail = "the stored original is not what was received: its checksum does not fit";
        return Err(Failure::permanent("source-damaged", detail));
    }
    fs::create_dir_all(&spec.folder).map_err(|error| unwritable(&spec.folder, &error))?;
    let started = Instant::now();
    let interrupted = || stopped() || started.elapsed() > spec.time_limit;
    let mut outputs: Vec<Option<Output>> = vec![None; spec.operations.len()];
    let (mut written, mut unwritten) = (0, None);
    let mut emit = |i: usize, made: Made| {
        let operation = &spec.operations[i];
        let output = match made {
            Made::Picture(output) => output,
            Made::Info(info) => {
                let answer = Answer { kind: operation.kind().into(), info: *info };
                outputs[i] = Some(Output::Answer(Box::new(answer)));
                return Ok(());
            }
        };
        let stem = operation.name().unwrap_or(operation.kind());
        let file = format!("{i}-{stem}.{}", output.format.extension());
        written += output.data.len() as u64;
        if let Err(error) = write(&spec.folder, &file, &output.data) {
            let failure = Failure::of_io(&error, format!("output {i} ({} bytes): {error}", output.data.len()));
            unwritten = Some(failure.of_bytes(written));
            return Err(error);
        }
        outputs[i] = Some(Output::File(OutputFile {
            kind: operation.kind().into(),
            file,
            format: output.format,
            width: output.width,
            height: output.height,
            frames: output.animation.map(|animation| animation.frames),
            duration_ms: output.animation.map(|animation| animation.duration.as_millis() as u64),
            bytes: output.data.len() as u64,
            warnings: output.warnings,
        }));
        Ok(())
    };
    let options = Options { limits: &spec.limits, lenient: spec.lenient, interrupted: &interrupted };
    let processed = imaging::process(&source, &spec.operations, &options, &mut emit);
    // This error says more precisely than that of `process` why the output could not be written.
    if let Some(failure) = unwritten {
        return Err(failure);
    }
    processed?;
    outputs
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Failure::permanent("internal", "an operation yielded no output"))
}

/// Writes an output file. If it does not fit, it is not begun, because nobody could write while it filled the disk.
fn write(folder: &Path, file: &str, bytes: &[u8]) -> io::Result<()> {
    let disk = statvfs(folder)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < bytes.len() as u64 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    fs::write(folder.join(file), bytes)
}

fn read(source: &Whereabouts, limits: &Limits) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::permanent("source-missing", "the original is no longer stored"),
        _ => Failure::of_io(&error, format!("the original cannot be read: {error}")),
    };
    let mut file = match source {
        Whereabouts::File(path) => File::open(path).map_err(unreadable)?,
        Whereabouts::Beneath(folder, key) => Folder::new(folder.clone()).open(key)?,
    };
    let bytes = file.metadata().map_err(unreadable)?.len();
    let limit = limits.max_file_bytes;
    let mut read = Vec::with_capacity(bytes.min(limit) as usize);
    // Reads up to the limit, because somebody may still be writing to a file that is read where it is.
    file.by_ref().take(limit + 1).read_to_end(&mut read).map_err(unreadable)?;
    if bytes.max(read.len() as u64) > limit {
        let bytes = bytes.max(read.len() as u64);
        return Err(Failure::permanent("too-large", format!("{bytes} bytes exceed limits.max_file_bytes ({limit})")));
    }
    Ok(read)
}

fn unwritable(folder: &Path, error: &io::Error) -> Failure {
    Failure::of_io(error, format!("the outputs' folder {} cannot be made: {error}", folder.display()))
}
