//! What a picture is known by in the journals: its path, size and time of change, its results' names, and
//! what is done to it; for an address the address instead of the first three.
//!
//! So a picture that has changed is another one, and one that has not is found again by any later run.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::UNIX_EPOCH;

use imaging::Operation;
use uuid::Uuid;

use super::names::{Names, SEVERAL};
use super::picture::{Origin, Picture};

/// Names the ids of batch jobs, so that they are nobody else's.
pub(super) const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_5b0e_8a3d_5d4b_9d0a_3f7b_21c6_e8d4);

/// What is done to pictures, as it is written into their ids.
#[derive(Debug, Clone)]
pub(super) struct Asked(pub(super) String);

impl Asked {
    pub(super) fn new(operations: &[Operation], lenient: bool, names: &Names) -> Self {
        let mut asked = serde_json::to_string(operations).expect("operations came from JSON");
        if lenient {
            asked += " lenient";
        }
        // The pattern of former versions is left out, so that their pictures keep their ids.
        if names.as_str() != SEVERAL {
            asked += " ";
            asked += names.as_str();
        }
        Self(asked)
    }
}

pub(super) struct Facts {
    bytes: Vec<u8>,
    /// Of the file; 0 for an address, which nobody has looked at.
    pub(super) size: u64,
}

impl Facts {
    /// # Errors
    /// When the file is not there, or is none.
    pub(super) fn of(picture: &Picture, asked: &Asked) -> io::Result<Self> {
        let (mut bytes, size) = match &picture.origin {
            Origin::File(file) => {
                let meta = fs::metadata(file)?;
                if !meta.is_file() {
                    return Err(io::Error::other("it is no file any more"));
                }
                let changed = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
                let numbers = format!("\0{}\0{}", meta.len(), changed.as_nanos());
                ([file.as_os_str().as_bytes(), numbers.as_bytes()].concat(), meta.len())
            }
            Origin::Url(url) => (url.as_str().as_bytes().to_vec(), 0),
        };
        for more in [picture.target.as_os_str().as_bytes(), asked.0.as_bytes()] {
            bytes.push(0);
            bytes.extend_from_slice(more);
        }
        Ok(Self { bytes, size })
    }

    /// The picture's id, the `again`th for the same facts.
    pub(super) fn id(&self, again: u32) -> Uuid {
        Uuid::new_v5(&NAMESPACE, &[&self.bytes, b"\0".as_slice(), again.to_string().as_bytes()].concat())
    }
}
