//! The results of pictures.

use imaging::{Format, Info};
use queue::Run;
use serde::{Deserialize, Serialize};

use crate::errors::Failure;
use crate::job::seal;

/// The result of a finished picture: the body of its entry in a status document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageResult<O = Output> {
    pub success: bool,
    /// The client's name for the picture; `None` if the broker ended the job itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default)]
    pub attempts: u32,
    /// The run that wrote the outputs. It names their folder.
    #[serde(default)]
    pub run: Run,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<O>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// The result of one operation. A file has the field `file`, an answer does not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Output {
    File(OutputFile),
    Answer(Box<Answer>),
}

/// The answer of an operation such as `info`.
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
    /// Name in the run's folder.
    pub file: String,
    pub format: Format,
    pub width: u32,
    pub height: u32,
    /// Only for an animation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// Duration of one round of an animation, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    pub bytes: u64,
    /// Warnings for users, each beginning with a code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl ImageResult {
    /// The stored form of the result, with a checksum.
    pub fn to_bytes(&self) -> bytes::Bytes {
        seal::seal(serde_json::to_vec(self).expect("strings and numbers always serialise")).into()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// Most pictures have only files, so this reads them as such first. Distinguishing files from answers makes serde
    /// build a tree of values, which would double the cost of every status.
    ///
    /// # Errors
    /// If it is not a result, or has changed since it was written.
    pub fn from_bytes(bytes: &[u8]) -> serde_json::Result<Self> {
        let json = seal::unseal(bytes).map_err(serde::de::Error::custom)?;
        let files = serde_json::from_slice::<ImageResult<OutputFile>>(&json);
        files.map(Self::from).or_else(|_| serde_json::from_slice(&json))
    }
}

impl From<ImageResult<OutputFile>> for ImageResult {
    fn from(result: ImageResult<OutputFile>) -> Self {
        let ImageResult { success, image, attempts, run, duration_ms, outputs, error } = result;
        let outputs = outputs.into_iter().map(Output::File).collect();
        Self { success, image, attempts, run, duration_ms, outputs, error }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_are_read_as_they_were_written() {
        let file =
            json!({"type": "resize", "file": "0-resize.png", "format": "png", "width": 8, "height": 6, "bytes": 70});
        let info = json!({
            "type": "info", "format": "png", "width": 8, "height": 6, "frames": 1, "orientation": 1, "has_alpha": false,
            "grayscale": false, "bit_depth": 8, "profile": null, "exif": null, "average": "#000000", "colors": [],
            "blurhash": "", "thumbhash": "", "phash": "",
        });
        for outputs in [vec![], vec![file.clone()], vec![info.clone()], vec![file.clone(), info, file]] {
            let (former, run) = (json!(2), Run::of("session.0:1:1"));
            let wrote = if outputs.len() == 1 { (former, Run::Numbered(2)) } else { (json!(run), run) };
            let result = json!({"success": true, "image": "a.png", "attempts": 1, "run": wrote.0, "outputs": outputs});
            let read = ImageResult::from_bytes(result.to_string().as_bytes()).unwrap();
            let files = read.outputs.iter().map(|output| matches!(output, Output::File(_)));
            assert!(files.eq(outputs.iter().map(|output| output["file"].is_string())), "{outputs:?}");
            assert_eq!(ImageResult::from_bytes(&read.to_bytes()).unwrap(), read);
            assert_eq!((read.success, read.image.as_deref(), read.run), (true, Some("a.png"), wrote.1));
        }
        assert!(ImageResult::from_bytes(b"the job was lost").is_err());
    }

    #[test]
    fn result_that_has_changed_is_not_read() {
        let whole = json!({"success": true, "image": "a.png", "run": 2, "outputs": []});
        let whole = ImageResult::from_bytes(whole.to_string().as_bytes()).unwrap().to_bytes();
        let changed = String::from_utf8(whole.to_vec()).unwrap().replacen("\"run\":2", "\"run\":3", 1);
        assert!(ImageResult::from_bytes(changed.as_bytes()).is_err(), "{changed}");
    }
}
