//! The Lua scripts, one for each transition. They are called by hash; `Link` loads them again if Redis has lost them.

use std::sync::LazyLock;

use redis::Cmd;

/// Declares the scripts and the list of all of them. A script is its flags, then the files that it shares with others,
/// then its own.
macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident: $flags:literal, $($file:literal),+;)+) => {
        $(
            $(#[$doc])*
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
                Script::new(concat!("#!lua", $flags, "\n", include_str!("lua/shared.lua"), $(include_str!($file)),+))
            });
        )+

        /// Every script, loaded at connect.
        pub(super) const ALL: &[&LazyLock<Script>] = &[$(&$name),+];
    };
}

scripts! {
    /// No flags: Redis refuses it if the memory is used up, as all scripts that need more of it.
    ENQUEUE: "",
        "lua/cancels.lua", "lua/moves.lua", "lua/finish.lua", "lua/enqueue.lua", "lua/enqueue_chunk.lua";
    ADVANCE: "", "lua/cancels.lua", "lua/moves.lua", "lua/finish.lua", "lua/enqueue.lua", "lua/advance.lua";
    NOTE: " flags=allow-oom", "lua/note.lua";
    CLAIM: " flags=allow-oom",
        "lua/cancels.lua", "lua/moves.lua", "lua/clock.lua", "lua/finish.lua", "lua/stall.lua", "lua/walk.lua",
        "lua/claim.lua";
    SETTLE: " flags=allow-oom",
        "lua/cancels.lua", "lua/moves.lua", "lua/finish.lua", "lua/stall.lua", "lua/settle.lua";
    BEAT: " flags=allow-oom", "lua/cancels.lua", "lua/moves.lua", "lua/clock.lua", "lua/beat.lua";
    RELEASE: " flags=allow-oom", "lua/cancels.lua", "lua/moves.lua", "lua/finish.lua", "lua/release.lua";
    CANCEL_JOB: " flags=allow-oom",
        "lua/cancels.lua", "lua/moves.lua", "lua/finish.lua", "lua/walk.lua", "lua/cancel_job.lua";
    CANCEL_GROUP: " flags=allow-oom",
        "lua/cancels.lua", "lua/moves.lua", "lua/finish.lua", "lua/walk.lua", "lua/cancel_group.lua";
    PURGE: " flags=allow-oom", "lua/cancels.lua", "lua/moves.lua", "lua/finish.lua", "lua/walk.lua", "lua/purge.lua";
    PAUSE: " flags=allow-oom", "lua/moves.lua", "lua/pause.lua";
    RESERVE: "", "lua/reserve.lua";
    UNRESERVE: " flags=allow-oom", "lua/unreserve.lua";
    FINISHED: " flags=allow-oom", "lua/finished.lua";
    REMOVE_GROUP: " flags=allow-oom", "lua/remove_group.lua";
    GROUPS: " flags=allow-oom", "lua/newest.lua", "lua/groups.lua";
    JOBS: " flags=allow-oom", "lua/newest.lua", "lua/jobs.lua";
    REPORT: " flags=allow-oom", "lua/report.lua";
    WORKERS: " flags=allow-oom", "lua/workers.lua";
    POST: "", "lua/post.lua";
    COLLECT: " flags=allow-oom", "lua/collect.lua";
    ADOPT: " flags=allow-oom", "lua/adopt.lua";
    OLDEST: " flags=allow-oom", "lua/oldest.lua";
    /// No flags: refused whenever an enqueue is.
    PROBE: "", "lua/probe.lua";
}

pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    pub(super) fn load(&self) -> Cmd {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(self.code);
        load
    }

    /// A call of it. The caller adds the arguments from `ARGV[2]` on.
    pub(super) fn call(&self, prefix: &str, ahead_ms: i64) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(1).arg(prefix).arg(ahead_ms);
        call
    }
}
