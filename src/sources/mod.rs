//! Where pictures come from that nobody uploads: URLs, and a folder that is there already.
//!
//! [`Folder`] opens nothing that is outside of it; URLs are fetched by `net`. Storing, probing and enqueueing are the work of
//! `submission` and of `source.fetch`.

mod folder;
mod name;

pub use folder::{Fault, Folder};
pub use name::decoded;

use crate::net::Fetcher;

/// Where pictures may come from, as the settings say.
#[derive(Debug, Clone, Default)]
pub struct Places {
    pub fetcher: Option<Fetcher>,
    pub folder: Option<Folder>,
    /// Files that one prefix may hold.
    pub max_listed: usize,
}
