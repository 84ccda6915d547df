//! The transitions, one Lua script each, sent by hash and loaded again where Redis has forgotten them.

use std::sync::LazyLock;

use redis::Cmd;

/// Every script, loaded at connect. Each is headed by its flags and what it shares with others.
pub(super) static ALL: LazyLock<[&'static Script; 6]> =
    LazyLock::new(|| [&*ENQUEUE, &*RETRACT, &*CLAIM, &*SETTLE, &*BEAT, &*RELEASE]);

macro_rules! script {
    ($(#[$doc:meta])* $name:ident, $flags:literal, $($file:literal),+) => {
        $(#[$doc])*
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!("#!lua", $flags, "\n", $(include_str!($file)),+)));
    };
}

script!(
    /// No flags: the one script that needs memory and does not give it back.
    ENQUEUE, "", "lua/shared.lua", "lua/enqueue.lua"
);
script!(RETRACT, " flags=allow-oom", "lua/shared.lua", "lua/retract.lua");
script!(CLAIM, " flags=allow-oom", "lua/shared.lua", "lua/finish.lua", "lua/claim.lua");
script!(SETTLE, " flags=allow-oom", "lua/shared.lua", "lua/finish.lua", "lua/settle.lua");
script!(BEAT, " flags=allow-oom", "lua/shared.lua", "lua/beat.lua");
script!(RELEASE, " flags=allow-oom", "lua/shared.lua", "lua/release.lua");

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

    /// A call of it; arguments from `ARGV[2]` on are added by the caller.
    pub(super) fn call(&self, prefix: &str, ahead_ms: i64) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(1).arg(prefix).arg(ahead_ms);
        call
    }
}
