//! The names of output folders, one for each claim of a job.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The namespace of UUIDs that are made from tokens (RFC 9562, version 5).
const NAMESPACE: Uuid = Uuid::from_u128(0x6b1f_93d4_0c7e_5a28_9d35_e2c4_71f8_0ab6);

/// The folder that one claim of a job writes its outputs into.
///
/// It is a hash of the claim's token. The number of the job's claims would not be enough: a broker that goes back in
/// time (a stale replica is promoted, a backup is restored) gives the same number to another claim, whose worker would
/// overwrite or remove the outputs of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Run {
    /// As earlier versions named it: the number of the claim, from 1; 0 if nothing was written.
    Numbered(u32),
    /// The hash of the claim's token.
    Claimed(Uuid),
}

impl Run {
    /// The folder of the claim with this token.
    pub fn of(token: &str) -> Self {
        Self::Claimed(Uuid::new_v5(&NAMESPACE, token.as_bytes()))
    }
}

impl Default for Run {
    fn default() -> Self {
        Self::Numbered(0)
    }
}

impl fmt::Display for Run {
    /// The folder's name: decimal digits without a leading zero, or 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered(number) => number.fmt(f),
            Self::Claimed(claim) => claim.as_simple().fmt(f),
        }
    }
}

/// The error for a text that is not the name of such a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run is named by a number or by 32 hexadecimal digits")]
pub struct NoRun;

impl FromStr for Run {
    type Err = NoRun;

    /// Reads exactly what [`Display`](fmt::Display) writes, so that a file has only one address.
    fn from_str(text: &str) -> Result<Self, NoRun> {
        let run = if text.len() == 32 {
            Uuid::try_parse(text).map(Self::Claimed).map_err(|_| NoRun)
        } else {
            text.parse().map(Self::Numbered).map_err(|_| NoRun)
        };
        run.and_then(|run| if run.to_string() == text { Ok(run) } else { Err(NoRun) })
    }
}

impl Serialize for Run {
    /// Writes a number as a number, which earlier versions can read.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Numbered(number) => serializer.serialize_u32(*number),
            Self::Claimed(claim) => serializer.collect_str(claim.as_simple()),
        }
    }
}

impl<'de> Deserialize<'de> for Run {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl Visitor<'_> for Read {
            type Value = Run;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a run's number or its 32 hexadecimal digits")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Run, E> {
                let number = u32::try_from(number);
                number.map(Run::Numbered).map_err(|_| E::custom("a run's number is too large"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Run, E> {
                text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_with_the_same_count_have_different_runs() {
        let runs = ["a.0:7:1", "b.0:7:1", "a.0:8:1", "a.1:7:1", "a.0:7:2"].map(Run::of);
        for (i, run) in runs.iter().enumerate() {
            assert!(!runs[..i].contains(run), "{runs:?}");
        }
        assert_eq!(runs[0], Run::of("a.0:7:1"), "a repeated answer to a claim leads to the same folder");
    }

    #[test]
    fn run_is_read_as_it_is_written_and_in_no_other_spelling() {
        for run in [Run::Numbered(0), Run::Numbered(17), Run::Numbered(u32::MAX), Run::of("a.0:1:1")] {
            assert_eq!(run.to_string().parse(), Ok(run));
            let text = serde_json::to_string(&run).unwrap();
            assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run, "{text}");
        }
        assert_eq!(serde_json::to_string(&Run::Numbered(2)).unwrap(), "2");
        let claimed = Run::of("a.0:1:1").to_string();
        let hyphenated = Run::of("a.0:1:1").to_string().parse::<Uuid>().unwrap().to_string();
        for text in ["", "+1", "01", "-1", "4294967296", "..", "1/2", &claimed.to_uppercase(), &hyphenated] {
            assert_eq!(text.parse::<Run>(), Err(NoRun), "{text}");
        }
        for text in ["4294967296", "-1", "\"a\"", "null", "1.5"] {
            assert!(serde_json::from_str::<Run>(text).is_err(), "{text}");
        }
    }
}
