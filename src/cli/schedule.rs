//! `pixmill schedule`: schedules listed, made, changed, paused and fired by hand, in the store that the services share.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use jiff::Timestamp;
use queue::Broker;
use serde_json::{Map, Value, json};

use super::StoreFlags;
use super::exit::Usage;
use super::table::{count, show, table};
use crate::app;
use crate::config::Config;
use crate::schedules::firing::{self, past_slots};
use crate::schedules::view::{self, Extent};
use crate::schedules::{Document, Entry, Fault, Shelf, Sweep};
use crate::storage::Storage;

const EXAMPLES: &str = "\
Examples:
  pixmill schedule preview --cron '30 2 * * *' --zone Europe/Berlin
                                                 the next ten times
  pixmill schedule add nightly --cron '0 1 * * *' --prefix in/ --operations card
  pixmill schedule add import --file import.toml
                                                 as under [schedules.NAME];
                                                 also JSON, - for stdin
  pixmill schedule edit nightly --cron '0 3 * * *'
  pixmill schedule list
  pixmill schedule show nightly --json
  pixmill schedule pause nightly --note 'share is down'
  pixmill schedule run nightly                   now, beside its own times
  pixmill schedule backfill nightly --from 2026-11-01T00Z --to 2026-11-08T00Z

Schedules are kept in the store (--data-dir), and services see changes within two seconds. Those of the configuration are \
shown and can be paused, but are changed in the configuration. --json prints one document.

Exit code: 0 done, 1 something was not found or failed, 2 called wrongly.";

/// Work that comes by the clock: pixmill schedule add NAME --cron '0 1 * * *' --prefix incoming/
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
    /// Show all schedules, the service's own included
    List,
    /// Show one schedule, its next ten times and its last hundred records
    Show { name: String },
    /// Make a schedule
    Add {
        name: String,
        /// The API key that its groups belong to, by name [default: none, and every key sees them]
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
        #[command(flatten)]
        written: Box<Written>,
    },
    /// Change a schedule; what is not named stays
    Edit {
        name: String,
        #[command(flatten)]
        written: Box<Written>,
    },
    /// Let a schedule skip its times
    Pause {
        name: String,
        /// Why, for people
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Let a schedule fire again; what passed meanwhile is not caught up
    Resume { name: String },
    /// Fire a schedule now
    Run { name: String },
    /// Fire the times of a span of the past once more, at most 100
    Backfill {
        name: String,
        /// The first instant included
        #[arg(long, value_name = "TIME")]
        from: Timestamp,
        /// The first instant after them
        #[arg(long, value_name = "TIME")]
        to: Timestamp,
    },
    /// Remove a schedule; what has fired goes on
    Remove { name: String },
    /// Show when a schedule would fire
    Preview {
        #[command(flatten)]
        written: Box<Written>,
    },
}

/// A schedule, or parts of it.
#[derive(Debug, clap::Args)]
struct Written {
    /// The whole schedule as TOML or JSON; flags change it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Five fields, six with the seconds first, or such as @daily
    #[arg(long, value_name = "PATTERN", group = "timing")]
    cron: Option<String>,
    /// An interval such as 90s, counted from 1970
    #[arg(long, value_name = "TIME", group = "timing")]
    every: Option<String>,
    /// One instant, such as 2027-01-01T08:00:00Z
    #[arg(long, value_name = "TIME", group = "timing")]
    at: Option<String>,
    /// A time zone such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// Every file below a folder of sources.folder
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// A file below sources.folder; may be repeated
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// A URL that sources.urls allows; may be repeated
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// A preset's name, or a list of operations as JSON
    #[arg(long, value_name = "PRESET|JSON")]
    operations: Option<String>,
    /// As `options` of POST /api/groups, as JSON
    #[arg(long, value_name = "JSON")]
    options: Option<String>,
    /// Which missed times still fire: none, latest, all
    #[arg(long, value_name = "WHICH")]
    catch_up: Option<String>,
    /// Times that are later than this are skipped [default: 24h]
    #[arg(long, value_name = "TIME")]
    catch_up_window: Option<String>,
    /// While the last group runs: `skip`, `queue_one`, `allow`, `cancel`
    #[arg(long, value_name = "WHAT")]
    overlap: Option<String>,
    /// Pause when a group fails
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pause_on_failure: Option<bool>,
    /// Put each firing off by up to this long
    #[arg(long, value_name = "TIME")]
    jitter: Option<String>,
    /// Not before
    #[arg(long, value_name = "TIME")]
    starts: Option<String>,
    /// Not from then on
    #[arg(long, value_name = "TIME")]
    ends: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Does not fire until it is resumed
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    paused: Option<bool>,
}

pub(super) fn run(args: &Args, file: Option<&Path>) -> Result<ExitCode> {
    let config = Config::load(file, args.place.flags())?;
    if let Order::Preview { written } = &args.order {
        preview(written, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    config.watermark.folders().provide()?;
    let is_new = matches!(args.order, Order::Add { .. });
    let storage = if is_new { app::open_storage(&config.data_dir)? } else { app::visit_storage(&config)? };
    let shelf = app::shelf(&config, &storage)?;
    tokio::runtime::Runtime::new()?.block_on(carry_out(args, &config, &storage, &shelf))
}

async fn carry_out(args: &Args, config: &Config, storage: &Storage, shelf: &Shelf) -> Result<ExitCode> {
    let (json, now) = (args.json, Timestamp::now());
    let done = match &args.order {
        Order::List => return list(config, shelf, json).await,
        Order::Show { name } => {
            let broker = app::visit_broker(config).await?;
            let sweeps = Sweep::all(&config.retention, &config.queue);
            let document = match sweeps.iter().find(|sweep| sweep.name == name) {
                Some(sweep) => view::of_sweep(&broker, sweep, Extent::Whole, now).await?,
                None => view::of_entry(&broker, &known(shelf, name)?, Extent::Whole, now).await?,
            };
            show(json, &document, &described(&document));
            return Ok(ExitCode::SUCCESS);
        }
        Order::Add { name, owner, written } => {
            let document = read(&written.over(Map::new())?)?;
            shelf.create(name, document, owner.clone(), now).map(|entry| ("is made", entry))
        }
        Order::Edit { name, written } => {
            let entry = known(shelf, name)?;
            let Ok(Value::Object(before)) = serde_json::to_value(&entry.document) else {
                bail!("schedule {name} cannot be read");
            };
            let tag = entry.tag;
            let document = read(&written.over(before)?)?;
            shelf.replace(name, &document, move |now| now == tag, now).map(|entry| ("is changed", entry))
        }
        Order::Pause { name, note } => shelf.pause(name, note, now).map(|entry| ("is paused", entry)),
        Order::Resume { name } => shelf.resume(name, now).map(|entry| ("fires again", entry)),
        Order::Remove { name } => match shelf.remove(name, |_| true) {
            Ok(entry) => {
                firing::forget(&app::visit_broker(config).await?, &entry).await?;
                show(json, &json!({"name": name, "removed": true}), &format!("schedule {name} is removed\n"));
                return Ok(ExitCode::SUCCESS);
            }
            Err(fault) => Err(fault),
        },
        Order::Run { name } => {
            let (broker, entry) = (app::visit_broker(config).await?, known(shelf, name)?);
            let definition = entry.definition.as_ref().map_err(|said| anyhow::anyhow!("{said}"))?;
            let group = firing::run_now((storage, &broker), (&entry, definition), shelf.settings(), now).await?;
            return Ok(fired(json, name, &[(now, group)]));
        }
        Order::Backfill { name, from, to } => {
            let (broker, entry) = (app::visit_broker(config).await?, known(shelf, name)?);
            let definition = entry.definition.as_ref().map_err(|said| anyhow::anyhow!("{said}"))?;
            let slots = past_slots(definition, *from, *to, now).map_err(Usage)?;
            let filled =
                firing::fill_in((storage, &broker), (&entry, definition), shelf.settings(), &slots, now).await?;
            return Ok(fired(json, name, &filled));
        }
        Order::Preview { written } => {
            preview(written, json)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    match done {
        Ok((what, entry)) => {
            told(json, what, &entry, now);
            Ok(ExitCode::SUCCESS)
        }
        Err(Fault::Invalid(said)) => Err(Usage(said).into()),
        Err(fault) => Err(fault.into()),
    }
}

fn known(shelf: &Shelf, name: &str) -> Result<Entry> {
    shelf.get(name)?.with_context(|| format!("there is no schedule `{name}`; `pixmill schedule list` shows them"))
}

fn read(fields: &Map<String, Value>) -> Result<Document> {
    Document::read(&Value::Object(fields.clone())).map_err(|said| Usage(said).into())
}

fn preview(written: &Written, json: bool) -> Result<()> {
    let document = view::preview(&read(&written.over(Map::new())?)?, Timestamp::now()).map_err(Usage)?;
    let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    show(json, &document, &format!("{}\n{}", text("description"), lines(&document["next"])));
    Ok(())
}

async fn list(config: &Config, shelf: &Shelf, json: bool) -> Result<ExitCode> {
    let (broker, now) = (app::visit_broker(config).await?, Timestamp::now());
    let listing = shelf.list()?;
    for (file, reason) in &listing.damaged {
        eprintln!("{file} is not taken for a schedule: {reason}");
    }
    let documents = all(&broker, config, &listing.entries, now).await?;
    let rows = documents.iter().map(|document| {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let state = match (&document["fault"], &document["paused"]) {
            (Value::String(_), _) => "faulty",
            (_, Value::Object(_)) => "paused",
            _ => "active",
        };
        let last = &document["records"][0];
        let last = last["outcome"].as_str().map_or("-".into(), |outcome| format!("{outcome} {}", text(&last["slot"])));
        let [name, origin, description] = ["name", "origin", "description"].map(|field| text(&document[field]));
        [name, origin, description, text(&document["next"][0]), last, state.to_owned()]
    });
    let text = table(["name", "from", "when", "next", "last", "state"], rows.collect());
    show(json, &documents.clone().into(), &text);
    Ok(if listing.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn all(broker: &Broker, config: &Config, entries: &[Entry], now: Timestamp) -> queue::Result<Vec<Value>> {
    let mut documents = Vec::new();
    for entry in entries {
        documents.push(view::of_entry(broker, entry, Extent::Line, now).await?);
    }
    for sweep in Sweep::all(&config.retention, &config.queue) {
        documents.push(view::of_sweep(broker, &sweep, Extent::Line, now).await?);
    }
    Ok(documents)
}

/// One schedule for people.
fn described(document: &Value) -> String {
    let mut text = String::new();
    for field in ["name", "origin", "description", "owner", "fault", "last_group_id"] {
        if let Some(value) = document[field].as_str() {
            let _ = writeln!(text, "{field}: {value}");
        }
    }
    if document["paused"].is_object() {
        let _ = writeln!(text, "paused: {}", document["paused"]["note"].as_str().unwrap_or_default());
    }
    let _ = write!(text, "schedule: {}\nnext:\n{}", document["schedule"], lines(&document["next"]));
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let rows = document["records"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|record| [&record["slot"], &record["outcome"], &record["reason"], &record["group_id"]].map(word));
    text + &table(["slot", "outcome", "reason", "group"], rows.collect())
}

fn lines(slots: &Value) -> String {
    slots.as_array().into_iter().flatten().fold(String::new(), |mut text, slot| {
        let _ = writeln!(text, "  {}", slot.as_str().unwrap_or_default());
        text
    })
}

fn told(json: bool, what: &str, entry: &Entry, now: Timestamp) {
    let definition = entry.definition.as_ref().ok();
    let next = definition.and_then(|definition| definition.next(now));
    let when = definition.map_or_else(String::new, |definition| format!(": {}", definition.timing));
    let document = json!({"name": entry.name, "etag": entry.tag, "schedule": entry.document, "paused": entry.paused,
        "next": next});
    let coming = next.map_or_else(String::new, |next| format!("; next at {next}"));
    show(json, &document, &format!("schedule {} {what}{when}{coming}\n", entry.name));
}

fn fired(json: bool, name: &str, firings: &[(Timestamp, queue::GroupId)]) -> ExitCode {
    let document: Vec<Value> = firings.iter().map(|(slot, group)| json!({"slot": slot, "group_id": group})).collect();
    let head = format!("schedule {name} fired {}\n", count(firings.len() as u64, "time"));
    let text = firings.iter().fold(head, |mut text, (slot, group)| {
        let _ = writeln!(text, "  {slot}  group {group}");
        text
    });
    show(json, &json!({"firings": document}), &text);
    ExitCode::SUCCESS
}

impl Written {
    /// These parts over what is there already.
    fn over(&self, mut fields: Map<String, Value>) -> Result<Map<String, Value>> {
        if let Some(file) = &self.file {
            fields = whole(file)?;
        }
        for (name, value) in [("cron", &self.cron), ("every", &self.every), ("at", &self.at)] {
            if let Some(value) = value {
                for other in ["cron", "every", "at"] {
                    fields.remove(other);
                }
                fields.insert(name.into(), value.clone().into());
            }
        }
        for (name, value) in [
            ("zone", &self.zone),
            ("catch_up", &self.catch_up),
            ("catch_up_window", &self.catch_up_window),
            ("overlap", &self.overlap),
            ("jitter", &self.jitter),
            ("starts", &self.starts),
            ("ends", &self.ends),
            ("note", &self.note),
        ] {
            if let Some(value) = value {
                fields.insert(name.into(), value.clone().into());
            }
        }
        for (name, value) in [("pause_on_failure", self.pause_on_failure), ("paused", self.paused)] {
            if let Some(value) = value {
                fields.insert(name.into(), value.into());
            }
        }
        self.over_run(&mut fields)?;
        Ok(fields)
    }

    fn over_run(&self, fields: &mut Map<String, Value>) -> Result<()> {
        let mut run = match fields.get("run") {
            Some(Value::Object(run)) => run.clone(),
            _ => Map::new(),
        };
        if self.prefix.is_some() || !self.keys.is_empty() || !self.urls.is_empty() {
            for name in ["prefix", "keys", "urls", "sources"] {
                run.remove(name);
            }
            run.extend(self.prefix.clone().map(|prefix| ("prefix".into(), prefix.into())));
            for (name, list) in [("keys", &self.keys), ("urls", &self.urls)] {
                if !list.is_empty() {
                    run.insert(name.into(), list.clone().into());
                }
            }
        }
        if let Some(text) = &self.operations {
            let value =
                if text.trim_start().starts_with('[') { parse("--operations", text)? } else { text.clone().into() };
            run.insert("operations".into(), value);
        }
        if let Some(text) = &self.options {
            run.insert("options".into(), parse("--options", text)?);
        }
        if !run.is_empty() {
            fields.insert("run".into(), run.into());
        }
        Ok(())
    }
}

fn parse(flag: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Usage(format!("{flag}: is not JSON: {error}")).into())
}

/// A whole schedule from a file.
fn whole(file: &Path) -> Result<Map<String, Value>> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        text
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    let value = if text.trim_start().starts_with('{') {
        serde_json::from_str::<Value>(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str::<Value>(&text).map_err(|error| error.to_string())
    };
    match value {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Usage(format!("--file {}: is not an object", file.display())).into()),
        Err(said) => Err(Usage(format!("--file {}: {said}", file.display())).into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        written: Written,
    }

    fn over(flags: &[&str], before: &Value) -> Value {
        let line = Line::try_parse_from(std::iter::once(&"x").chain(flags)).unwrap();
        line.written.over(before.as_object().unwrap().clone()).unwrap().into()
    }

    #[test]
    fn flags_make_a_schedule() {
        let flags =
            ["--cron", "@daily", "--prefix", "in/", "--operations", "card", "--pause-on-failure", "--jitter", "5m"];
        let expected = json!({"cron": "@daily", "run": {"prefix": "in/", "operations": "card"},
            "pause_on_failure": true, "jitter": "5m"});
        assert_eq!(over(&flags, &json!({})), expected);
        Document::read(&expected).unwrap();
    }

    #[test]
    fn flags_change_what_they_name() {
        let before =
            json!({"cron": "@daily", "zone": "UTC", "paused": true, "run": {"prefix": "in/", "operations": "card"}});
        let every = over(&["--every", "1h", "--paused", "false"], &before);
        assert_eq!(every, json!({"every": "1h", "zone": "UTC", "paused": false, "run": before["run"]}));
        let keys = over(&["--key", "a", "--key", "b"], &before);
        assert_eq!(keys["run"], json!({"keys": ["a", "b"], "operations": "card"}));
        let listed = over(&["--operations", r#"[{"type": "flip"}]"#], &before);
        assert_eq!(listed["run"]["operations"], json!([{"type": "flip"}]));
    }
}
