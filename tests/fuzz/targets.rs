//! What is fuzzed, and what a case must keep to.

use std::io::{Cursor, Write};
use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;

use fastrand::Rng;
use imaging::{Code, Format, Limits, Operation, Options, operation};

use crate::{memory, mutate, seeds};

/// Before the header is known, and where it is refused.
const HEADER_BYTES: usize = 96 << 20;

/// One way into the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Picture(Format),
    Operations,
}

/// The last panic in code of ours.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

impl Target {
    pub const ALL: [Self; 11] = {
        let mut all = [Self::Operations; 11];
        let mut i = 0;
        while i < Format::ALL.len() {
            all[i] = Self::Picture(Format::ALL[i]);
            i += 1;
        }
        all
    };

    pub fn name(self) -> &'static str {
        match self {
            Self::Picture(format) => format.name(),
            Self::Operations => "operations",
        }
    }

    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|target| target.name()).collect()
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    pub fn format(self) -> Option<Format> {
        match self {
            Self::Picture(format) => Some(format),
            Self::Operations => None,
        }
    }
}

/// The bytes of a case.
pub fn case(seeds: &[Vec<u8>], target: Target, seed: u64, number: u64) -> Vec<u8> {
    let mut random = random(target, seed, number);
    if seeds.is_empty() {
        return Vec::new();
    }
    // Each seed is gone through once as it is.
    if let Some(whole) = usize::try_from(number).ok().and_then(|number| seeds.get(number)) {
        return whole.clone();
    }
    let (one, other) = (random.usize(..seeds.len()), random.usize(..seeds.len()));
    let mut bytes = mutate::mutated(&mut random, &seeds[one], &seeds[other]);
    if target == Target::Picture(Format::Png) && random.u8(..10) > 0 {
        mutate::with_right_sums(&mut bytes);
    }
    bytes
}

fn random(target: Target, seed: u64, number: u64) -> Rng {
    let named = target.name().bytes().fold(seed, |hash, byte| hash.wrapping_mul(1_099_511_628_211) ^ u64::from(byte));
    Rng::with_seed(named.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// Computes cases until it is killed, a line on standard output before each and for each fault.
pub fn work(target: Target, seed: u64, from: u64) -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        if place.starts_with("src/") {
            *PANIC.lock().unwrap() = Some(format!("panic at {place}"));
        }
    }));
    let seeds = seeds::of(target);
    let (mut accepted, mut refused) = (0u64, 0u64);
    for number in from.. {
        say(&format!("case {number}"));
        let bytes = case(&seeds, target, seed, number);
        let verdict = match target {
            Target::Operations => parsed(&bytes),
            Target::Picture(_) => processed(&bytes, number),
        };
        match verdict {
            Ok(true) => accepted += 1,
            Ok(false) => refused += 1,
            Err(fault) => say(&format!("fault {fault}")),
        }
        if let Some(panic) = PANIC.lock().unwrap().take() {
            say(&format!("fault {panic}"));
        }
        if number % 50 == 0 {
            say(&format!("{accepted} accepted, {refused} refused, {} seeds", seeds.len()));
        }
    }
    ExitCode::SUCCESS
}

fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
        // The hunt is over.
        std::process::exit(0);
    }
}

fn parsed(bytes: &[u8]) -> Result<bool, String> {
    let json = String::from_utf8_lossy(bytes);
    let (parsed, peak) = memory::peak_of(|| operation::parse(&json, &Limits::default()));
    if peak > 64 * bytes.len() + (1 << 20) {
        return Err(format!("memory: {peak} bytes for {} of JSON", bytes.len()));
    }
    let Ok(operations) = parsed else { return Ok(false) };
    // What was understood survives its way through a job's payload.
    let stored = serde_json::to_string(&operations).map_err(|error| format!("payload: {error}"))?;
    let read: Vec<Operation> =
        serde_json::from_str(&stored).map_err(|error| format!("payload: {error} in {stored}"))?;
    if read == operations { Ok(true) } else { Err(format!("payload: {stored} reads back differently")) }
}

/// Pictures are kept small, so that a case takes milliseconds.
fn limits() -> Limits {
    Limits { max_pixels: 1_500_000, max_frame_pixels: 6_000_000, max_frames: 40, ..Limits::default() }
}

const OUTPUTS: [&str; 4] = [
    r#"[{"type":"thumbnail","size":[64,64],"format":"png"}]"#,
    r#"[{"type":"resize","width":90,"height":70}]"#,
    r#"[{"type":"convert","format":"png"}]"#,
    r#"[{"type":"thumbnail","size":[50,50]},{"type":"resize","width":120,"format":"jpeg"}]"#,
];

fn processed(bytes: &[u8], number: u64) -> Result<bool, String> {
    let limits = limits();
    let operations =
        operation::parse(OUTPUTS[number as usize % OUTPUTS.len()], &limits).map_err(|error| error.to_string())?;
    let (probed, peak) = memory::peak_of(|| imaging::probe(Cursor::new(bytes), &limits));
    if peak > HEADER_BYTES {
        return Err(format!("memory: {peak} bytes for the header"));
    }
    let options = Options { lenient: number.is_multiple_of(5), ..Options::new(&limits) };
    let (done, peak) = memory::peak_of(|| imaging::process(bytes, &operations, &options, &mut |_, _| Ok(())));
    let allowed = match &probed {
        Ok(header) => imaging::estimate(bytes.len() as u64, header, &operations, &limits) as usize,
        Err(_) => HEADER_BYTES,
    };
    if peak > allowed {
        return Err(format!("memory: {peak} bytes, {allowed} estimated for {probed:?}"));
    }
    match (done, probed) {
        (Ok(()), Err(error)) => Err(format!("probe: it refused what was then made: {error}")),
        (Ok(()), Ok(_)) => Ok(true),
        (Err(error), _) => match error.code {
            Code::DecoderFailure | Code::InvalidOperation | Code::Storage | Code::TimeLimit => {
                Err(format!("blame: {error}"))
            }
            _ => Ok(false),
        },
    }
}
