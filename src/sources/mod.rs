//! Where pictures come from that nobody uploads: URLs, and a folder that is there already.
//!
//! What may be fetched is said by the settings (`sources.*`): [`Allowed`] knows the URLs, [`address`] the networks that no
//! URL may lead into, and [`Fetcher`] holds both against every connection that it makes. [`Folder`] opens nothing that
//! lies outside of it. Storing, probing and enqueueing are `submission`'s and the worker's.

pub mod address;
mod allowed;
mod fetch;
mod folder;
mod name;

pub use allowed::Allowed;
pub use fetch::{Fetched, Fetcher, Lookup, Settings, retry_after, unasked_encoding};
pub use folder::{Fault, Folder};
pub use name::decoded;

/// Where pictures may come from, as the settings say.
#[derive(Debug, Clone, Default)]
pub struct Places {
    pub fetcher: Option<Fetcher>,
    pub folder: Option<Folder>,
    /// Files that one prefix may hold.
    pub max_listed: usize,
}
