//! Checks of the server: its version, the version of its records, and settings that may lose work.

use std::collections::HashMap;

use redis::{FromRedisValue, Value};

use super::link::Link;
use super::script;
use crate::{Error, Result};

/// The version of the records that this pixmill writes, stored under `{prefix}:schema`.
const SCHEMA: &str = "3";
/// Earlier versions, whose records are converted.
const FORMER: [&str; 2] = ["1", "2"];

/// Checks the versions of server and records, and loads the scripts.
pub(super) async fn prepare(link: &Link, prefix: &str) -> Result<()> {
    let info = info(link, "server").await?;
    old_enough(&info).map_err(|running| {
        Error::Incompatible(format!(
            "{running} runs at {}; the queue needs Redis 7.0 or later, or Valkey 7.2 or later",
            link.address()
        ))
    })?;
    for script in script::ALL {
        link.one(script.load()).await?;
    }
    let key = format!("{prefix}schema");
    let mut keep = redis::cmd("SET");
    keep.arg(&key).arg(SCHEMA).arg("NX").arg("GET");
    let found = match link.one(keep).await {
        Err(Error::Full(_)) => link.one(redis::cmd("GET").arg(&key).to_owned()).await?,
        found => found?,
    };
    match text(found).as_deref() {
        None | Some(SCHEMA) => Ok(()),
        Some(former) if FORMER.contains(&former) => adopt(link, prefix, &key, former).await,
        Some(found) => Err(Error::Incompatible(format!(
            "the records at {} under {key} have schema {found}, this pixmill knows {} and {SCHEMA}: run the \
             version that wrote them, or name another prefix",
            link.address(),
            FORMER.join(", "),
        ))),
    }
}

/// Converts the records of an earlier version. If it is interrupted, the next connect begins again.
async fn adopt(link: &Link, prefix: &str, schema: &str, former: &str) -> Result<()> {
    let pattern: String =
        prefix.chars().flat_map(|char| r"*?[]\".contains(char).then_some('\\').into_iter().chain([char])).collect();
    let mut cursor = "0".to_owned();
    loop {
        let mut call = script::ADOPT.call(prefix, 0);
        call.arg(&cursor).arg(&pattern).arg(former);
        cursor = text(link.one(call).await?).unwrap_or_default();
        if cursor == "0" {
            break;
        }
    }
    match link.one(redis::cmd("SET").arg(schema).arg(SCHEMA).to_owned()).await {
        // Without memory to store the version, the next connect converts them again.
        Err(Error::Full(_)) => Ok(()),
        raised => raised.map(drop),
    }
}

/// Settings that may lose work, one sentence each.
pub(super) async fn warnings(link: &Link) -> Result<Vec<String>> {
    let memory = info(link, "memory").await?;
    let persistence = info(link, "persistence").await?;
    let is = |section: &HashMap<String, String>, key: &str, value: &str| section.get(key).is_some_and(|is| is == value);
    let mut warnings = Vec::new();
    if !is(&persistence, "aof_enabled", "1") {
        warnings.push(format!(
            "Redis at {} keeps no append-only file, so a crash loses jobs: set `appendonly yes`",
            link.address()
        ));
    }
    if let Some(policy) = memory.get("maxmemory_policy").filter(|policy| *policy != "noeviction") {
        warnings.push(format!(
            "Redis at {} may evict jobs when its memory is used up (maxmemory-policy is {policy}): \
             set `maxmemory-policy noeviction`",
            link.address()
        ));
    }
    Ok(warnings)
}

/// Fails with the name and version of a server that is too old.
fn old_enough(info: &HashMap<String, String>) -> std::result::Result<(), String> {
    let (name, key, needed) = match info.get("valkey_version") {
        Some(_) => ("Valkey", "valkey_version", (7, 2)),
        None => ("Redis", "redis_version", (7, 0)),
    };
    let version = info.get(key).map_or("of an unknown version", String::as_str);
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < needed { Err(format!("{name} {version}")) } else { Ok(()) }
}

async fn info(link: &Link, section: &str) -> Result<HashMap<String, String>> {
    let info = text(link.one(redis::cmd("INFO").arg(section).to_owned()).await?).unwrap_or_default();
    Ok(info
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect())
}

fn text(value: Value) -> Option<String> {
    Option::<String>::from_redis_value(value).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_without_script_flags_are_too_old() {
        let info =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        assert_eq!(old_enough(&info(&[("redis_version", "7.0.15")])), Ok(()));
        assert_eq!(old_enough(&info(&[("redis_version", "10.1.0")])), Ok(()));
        assert_eq!(old_enough(&info(&[("redis_version", "6.2.14")])), Err("Redis 6.2.14".into()));
        assert_eq!(old_enough(&info(&[("redis_version", "7.2.4"), ("valkey_version", "8.0.1")])), Ok(()));
        assert_eq!(old_enough(&info(&[])), Err("Redis of an unknown version".into()));
    }
}
