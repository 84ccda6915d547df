//! The queue in a SQLite file: durable, without a server, shared by the processes of one machine.
//!
//! One thread per process writes; its transactions take all commands that arrived while the last one was written to
//! disk (`synchronous=FULL`, except for renewals of leases). Reads use other connections, on the WAL. The tables are in
//! `schema.sql`. Each transition is a method of [`Ledger`](ledger::Ledger), made of the moves in `ledger.rs`. The file
//! must not be on a network disk.
//!
//! The groups of modules below are in reading order, from the calls down to the disk; a group imports only itself and
//! those after it, without circles.

mod broker;
mod read_only;

mod lanes;
mod shared;
mod wait;
mod writer;

mod cancel;
mod claim;
mod cursors;
mod enqueue;
mod events;
mod idempotency;
mod ledger;
mod queues;
mod retention;
mod set_back;
mod settle;
mod store;
mod workers;

mod listing;
mod readers;
mod schema;
mod status;
mod verify;

mod disk;
mod encoding;
mod failure;
mod job_row;
mod packed_events;
mod tally;

pub(crate) use broker::SqliteBroker;
pub use disk::MakeRoom;
pub(crate) use disk::no_room;
pub use read_only::ReadOnlyQueue;
pub(crate) use schema::Synchronous;
