//! Work that comes by the clock: schedules of the configuration and of the store, and the service's own sweeps.
//!
//! A schedule's slots are instants (`timing/`). How far a schedule has come is a cursor of the broker, which moves by
//! compare-and-set together with what a slot enqueues; so each slot is decided once, however many services keep the
//! schedule and however their clocks differ. What is decided, `decide.rs` says; `keeper.rs` does it.

pub mod decide;
pub mod definition;
pub mod firing;
mod keeper;
pub mod record;
pub mod shelf;
pub mod sweeps;
pub mod timing;
pub mod view;

pub use definition::{Document, Settings};
pub use keeper::Keeper;
pub use shelf::{Entry, Fault, Shelf};
pub use sweeps::Sweep;
