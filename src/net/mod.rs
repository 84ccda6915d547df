//! Requests to servers of others: which URLs and which networks they may reach, and the one client that fetches files.
//!
//! [`Allowed`] knows the URLs, [`address`] the networks that no URL may lead into, and [`Fetcher`] checks each connection
//! that it makes against both.

pub mod address;
mod allowed;
mod fetch;

pub use allowed::Allowed;
pub use fetch::{Fetched, Fetcher, Guard, Lookup, Settings, retry_after};
