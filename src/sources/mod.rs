//! Sources of pictures other than uploads: URLs, and a folder of existing pictures.
//!
//! [`Folder`] opens only files inside it; `net` fetches URLs. `submission` and `source.fetch` store, probe and enqueue
//! the pictures.

mod folder;
mod name;

pub use folder::{Fault, Folder};
pub use name::decoded;

use crate::net::Fetcher;

/// The sources that the settings allow.
#[derive(Debug, Clone, Default)]
pub struct Places {
    pub fetcher: Option<Fetcher>,
    pub folder: Option<Folder>,
    /// Most files under one prefix.
    pub max_listed: usize,
}
