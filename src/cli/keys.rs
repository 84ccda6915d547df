//! `pixmill keys`: API keys created, listed and revoked in the store, where every API process sees them within seconds.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use super::StoreFlags;
use super::exit::Usage;
use super::table::{count, show, table};
use crate::app;
use crate::auth::keys::{self, Key, NewKey};
use crate::config::{Config, Scope, is_key_name};
use crate::storage::Storage;

const EXAMPLES: &str = "\
Examples:
  pixmill keys create --name shop                  for a shop's own service
  pixmill keys create --name shop --scopes read --expires 90d
                                                   for that shop's status page
  pixmill keys create --name ops --scopes admin    for operators
  pixmill keys list
  pixmill keys revoke shop                         by its name, or by its id

The key is printed once, on standard output, and kept as a hash. Groups belong to the name: to exchange a key, create \
another of the same name, hand it out, and revoke the old one by its id. Services see changes within two seconds. --json \
prints one document.

Exit code: 0 done, 1 something was not found or failed, 2 called wrongly.";

/// Create, list and revoke API keys: pixmill keys create --name NAME
#[derive(Debug, clap::Args)]
// The flags stand before or after the order's own arguments.
#[command(after_help = EXAMPLES, mut_args(|argument| argument.global(true).display_order(900)))]
pub(super) struct Args {
    #[command(subcommand)]
    order: Order,
    /// For programs: one JSON document on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: StoreFlags,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Create a key and print it, this once
    Create(Create),
    /// Show all keys, the configuration's included
    List {
        /// Revoked ones, too
        #[arg(long)]
        all: bool,
    },
    /// Let keys be taken no more, and end their logins
    Revoke {
        #[arg(value_name = "NAME|ID", required = true)]
        keys: Vec<String>,
        /// Where several have the name, all of them
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Whose it is: groups belong to the name
    #[arg(long, value_parser = name)]
    name: String,
    /// What it may do: submit (read included), read, admin (everything)
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "submit,read", value_parser = scope())]
    scopes: Vec<Scope>,
    /// After which time it is taken no more, such as 90d, 12h or 1y [default: never]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<Span>,
    /// Instead of `limits.requests_per_minute`; 0: any number
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u32>,
    /// Instead of `limits.uploads_per_minute`; 0: any number
    #[arg(long, value_name = "N")]
    uploads_per_minute: Option<u32>,
}

fn name(text: &str) -> Result<String, String> {
    if is_key_name(text) { Ok(text.into()) } else { Err("not 1 to 64 characters without control characters".into()) }
}

fn scope() -> impl TypedValueParser<Value = Scope> {
    let named =
        |name: String| Scope::ALL.into_iter().find(|scope| scope.as_str() == name).expect("clap has checked it");
    PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)).map(named)
}

fn lifetime(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|_| "not a time such as 90d, 12h or 1y".to_owned())?;
    if span.is_positive() { Ok(span) } else { Err("a key that has expired already is of no use".into()) }
}

pub(super) fn run(args: &Args, file: Option<&Path>) -> Result<ExitCode> {
    let config = Config::load(file, args.place.flags())?;
    match &args.order {
        Order::Create(new) => create(&app::open_storage(&config.data_dir)?, new, args.json)?,
        Order::List { all } => list(&app::visit_storage(&config)?, &config, *all, args.json)?,
        Order::Revoke { keys, all } => return revoke(&app::visit_storage(&config)?, &config, keys, *all, args.json),
    }
    Ok(ExitCode::SUCCESS)
}

fn create(storage: &Storage, new: &Create, json: bool) -> Result<()> {
    let now = Timestamp::now();
    let expires_at = new.expires.map(|span| end(now, span)).transpose()?;
    let mut scopes = new.scopes.clone();
    scopes.sort();
    scopes.dedup();
    let new = NewKey {
        name: new.name.clone(),
        scopes,
        expires_at,
        requests_per_minute: new.requests_per_minute,
        uploads_per_minute: new.uploads_per_minute,
    };
    let (key, secret) = keys::create(storage, new, now)?;
    let mut document = told(&key, "created", state(&key, false, now));
    document["key"] = secret.clone().into();
    show(json, &document, &format!("{secret}\n"));
    if !json {
        let until = key.expires_at.map_or("until it is revoked".into(), |end| format!("until {end:.0}"));
        eprintln!(
            "Key {} of `{}` ({}), valid {until}. It is not shown again: keep it now.\nUse it as `Authorization: Bearer \
             <key>`; `pixmill keys revoke {}` ends it.",
            key.id,
            key.name,
            scopes_of(&key),
            key.id
        );
    }
    Ok(())
}

fn end(now: Timestamp, span: Span) -> Result<Timestamp> {
    // Days and years are the calendar's, which UTC has.
    let end = now
        .to_zoned_datetime(TimeZone::UTC)
        .checked_add(span)
        .with_context(|| format!("--expires {span:#}: too far away"))?;
    Ok(end.timestamp())
}

/// The configuration's keys and the created ones, oldest first: each with where it is from and whether it is revoked.
fn all_keys(storage: &Storage, config: &Config) -> Result<Vec<(Key, &'static str, bool)>> {
    let configured = config.auth.keys.iter().map(|key| (Key::configured(key), "auth.keys", false));
    let listing = keys::list(storage)?;
    for (file, reason) in listing.damaged() {
        eprintln!("{file} is not taken for an API key: {reason}");
    }
    let mut created: Vec<_> = listing.all().map(|(key, revoked)| (Key::clone(key), "created", revoked)).collect();
    created.sort_by_key(|(key, ..)| key.created_at);
    Ok(configured.chain(created).collect())
}

fn list(storage: &Storage, config: &Config, all: bool, json: bool) -> Result<()> {
    let now = Timestamp::now();
    let keys: Vec<_> = all_keys(storage, config)?.into_iter().filter(|(.., revoked)| all || !revoked).collect();
    let document = keys.iter().map(|(key, from, revoked)| told(key, from, state(key, *revoked, now))).collect();
    let day = |time: Option<Timestamp>| time.map_or("-".into(), |time| time.strftime("%Y-%m-%d").to_string());
    let rows = keys.iter().map(|(key, from, revoked)| {
        let state = state(key, *revoked, now).to_owned();
        let (created, expires) = (day(key.created_at), day(key.expires_at));
        [key.id.clone(), key.name.clone(), scopes_of(key), (*from).to_owned(), created, expires, state]
    });
    let text = table(["id", "name", "scopes", "from", "created", "expires", "state"], rows.collect());
    if keys.is_empty() {
        eprintln!("no keys; `pixmill keys create --name NAME` makes one");
    }
    show(json, &document, &text);
    Ok(())
}

fn revoke(storage: &Storage, config: &Config, named: &[String], all: bool, json: bool) -> Result<ExitCode> {
    let known: Vec<_> = all_keys(storage, config)?.into_iter().filter(|(.., revoked)| !revoked).collect();
    let mut chosen: Vec<&(Key, &str, bool)> = Vec::new();
    let (mut entries, mut lines, mut whole) = (Vec::<Value>::new(), Vec::new(), true);
    for asked in named {
        let by_id: Vec<_> = known.iter().filter(|(key, ..)| key.id == *asked).collect();
        let found =
            if by_id.is_empty() { known.iter().filter(|(key, ..)| key.name == *asked).collect() } else { by_id };
        if found.is_empty() {
            whole = false;
            entries.push(json!({"asked": asked, "revoked": false}));
            lines.push(format!("no key is called `{asked}` or has that id; `pixmill keys list` shows them\n"));
        }
        if found.len() > 1 && !all {
            let ids = found.iter().map(|(key, ..)| key.id.as_str()).collect::<Vec<_>>().join(", ");
            let those = count(found.len() as u64, "key");
            return Err(Usage(format!("{those} are called `{asked}`: name one by its id ({ids}), or add --all")).into());
        }
        chosen.extend(found);
    }
    // All are looked at before the first goes.
    if let Some((key, ..)) = chosen.iter().find(|(_, from, _)| *from == "auth.keys") {
        bail!(
            "key {} of `{}` is the configuration's: take it out of auth.keys and restart the services",
            key.id,
            key.name
        );
    }
    for (key, ..) in chosen {
        let revoked = keys::revoke(storage, &key.id)?;
        entries.push(json!({"id": key.id, "name": key.name, "revoked": revoked}));
        let how = if revoked { "is revoked" } else { "is gone already: somebody else has just revoked it" };
        lines.push(format!("key {} of `{}` {how}\n", key.id, key.name));
        whole &= revoked;
    }
    show(json, &entries.into(), &lines.concat());
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn state(key: &Key, revoked: bool, now: Timestamp) -> &'static str {
    match (revoked, key.is_expired(now)) {
        (true, _) => "revoked",
        (false, true) => "expired",
        (false, false) => "active",
    }
}

fn scopes_of(key: &Key) -> String {
    key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
}

fn told(key: &Key, from: &str, state: &str) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "from": from,
        "state": state,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "requests_per_minute": key.requests_per_minute,
        "uploads_per_minute": key.uploads_per_minute,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_the_calendars() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let ends = ["90d", "12h", "1y", "1mo"].map(|text| end(now, lifetime(text).unwrap()).unwrap().to_string());
        let expected = ["2026-05-01T12:00:00Z", "2026-02-01T00:00:00Z", "2027-01-31T12:00:00Z", "2026-02-28T12:00:00Z"];
        assert_eq!(ends, expected);
        for text in ["", "soon", "0s", "-1d", "90"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
