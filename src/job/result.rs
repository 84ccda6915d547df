use serde::{Deserialize, Serialize};

use super::Failure;
use crate::imaging::{Format, Info};

/// What a finished picture leaves behind: the body of its entry in a status document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageResult {
    pub success: bool,
    /// The client's name for the picture; absent where the broker ended the job itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default)]
    pub attempts: u32,
    /// The run that wrote the outputs; its number names their folder.
    #[serde(default)]
    pub run: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// What one operation yielded; the one has a file and the other has not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Output {
    File(OutputFile),
    Answer(Box<Answer>),
}

/// What was asked about a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The operation's type.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(flatten)]
    pub info: Info,
}

/// One output file of the winning attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputFile {
    /// The operation's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name in the attempt's folder.
    pub file: String,
    pub format: Format,
    pub width: u32,
    pub height: u32,
    /// Of an animation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// One round of an animation, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    pub bytes: u64,
    /// What a user should know of it, each beginning with a code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl ImageResult {
    pub fn to_bytes(&self) -> bytes::Bytes {
        serde_json::to_vec(self).expect("strings and numbers always serialise").into()
    }
}
