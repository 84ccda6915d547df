//! Paths in JSON: a string if the path is UTF-8, as nearly all are, otherwise a list of its bytes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(PathBuf),
    Bytes(Vec<u8>),
}

pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => serializer.serialize_str(text),
        None => path.as_os_str().as_bytes().serialize(serializer),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(match Written::deserialize(deserializer)? {
        Written::Text(path) => path,
        Written::Bytes(bytes) => OsString::from_vec(bytes).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Source;

    #[test]
    fn every_path_comes_back_as_it_was() {
        for (path, json) in [("/a/ü.jpg".as_bytes(), r#"{"file":"/a/ü.jpg"}"#), (b"/\xfc", r#"{"file":[47,252]}"#)] {
            let source = Source::File(OsString::from_vec(path.to_vec()).into());
            let written = serde_json::to_string(&source).unwrap();
            assert_eq!(written, json);
            assert_eq!(serde_json::from_str::<Source>(&written).unwrap(), source);
        }
    }
}
