//! Requests to servers of others: which URLs and which networks they may reach, and the one client that makes them.
//!
//! [`Allowed`] knows the URLs, [`address`] the networks that no URL may lead into, and [`Guard`] is both. [`Fetcher`] fetches
//! files and sends calls, and checks each connection that it makes. [`Calls`] is what calls need beside it: their signature,
//! and how many may be under way to one host.

pub mod address;
mod allowed;
mod calls;
mod fetch;
mod guard;
mod send;
mod signature;
mod turns;

pub use allowed::Allowed;
pub use calls::Calls;
pub use fetch::{Fetched, Fetcher, Settings, retry_after};
pub use guard::{Guard, Lookup};
pub use send::{Answer, Request};
pub use signature::Signer;
pub use turns::Turns;
