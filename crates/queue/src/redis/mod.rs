//! The queue in Redis (7.0 or later) or Valkey (7.2 or later), for any number of machines.
//!
//! Each transition is one Lua script in `lua/`; the modules here pack its arguments and read its answer. All keys begin
//! with `{prefix}:`; the braces keep them in one slot:
//!
//! | key | holds |
//! |---|---|
//! | `q:<queue>:<class>:<priority>` | LIST of the ids of waiting jobs; a job that does not wait there any more is skipped |
//! | `j:<id>` | HASH of the job |
//! | `g:<id>` | HASH of the group: its counters, `m:<n>` for the ids of its nth chunk, `r:<index>` for the result of each job that ended |
//! | `delayed`, `lease` | ZSET of job ids by due time (infinite for held jobs), or by the end of the lease |
//! | `expiring` | ZSET of the ids of jobs that are cancelled at this time if nobody has claimed them; claimed ones stay until then |
//! | `dead`, `finished` | ZSET of failed jobs, and of finished groups, by the time of their end |
//! | `groups`, `l:<label>` | ZSET of groups, and of those with a label, by the time they were enqueued |
//! | `cancels` | HASH of groups whose cancel has not reached all their jobs: the number of the next chunk |
//! | `queues` | HASH of depths, `<queue>:<class>:<state>`, and of paused queues, `<queue>::paused` |
//! | `wake:<queue>:<class>` | LIST of at most one token |
//! | `said:<session>` | HASH of a session's last claim and its answer |
//! | `i:<key>` | HASH of the group that an idempotency key is reserved for or bound to |
//! | `cursors`, `notes:<cursor>` | HASH of cursors: `<ms of the last move> <value>`; LIST of the notes of one, the newest first |
//! | `events`, `told` | STREAM of the events of transitions, the id of an entry is the number of its last event; that number |
//! | `workers` | HASH of sessions: `<ms> <report>` |
//! | `mail:<mailbox>`, `bell:<mailbox>` | LIST of letters, `<ms> <letter>`; LIST of at most one token |
//! | `posted:<n>`, `taken:<n>` | what a `post` or a `collect` did, in case its reply is lost |
//! | `probe` | the time of the last test write; expires after a minute |
//! | `store` | the id of the store that the jobs belong to |
//! | `seen` | the latest instant of a claim or a heartbeat, in ms, to the second |
//! | `schema` | the version of all this |
//!
//! The groups of modules below are in reading order, from the calls down to the connection; a group imports only itself
//! and those after it, without circles.

mod control;
mod cursors;
mod enqueue;
mod events;
mod idempotency;
mod leases;
mod listing;
mod status;
mod workers;

mod broker;

mod server;
mod waiters;

mod link;

mod answer;
mod group_sizes;
mod script;

pub(crate) use broker::RedisBroker;
