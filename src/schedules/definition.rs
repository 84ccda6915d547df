//! A schedule as it is written: in the configuration, in requests, in the store.
//!
//! [`Document`] is the text's form; [`Definition`] is what it means, checked against the settings.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::timing::Timing;
use crate::config::{self, Presets};
use crate::duration;
use crate::submission::{Asked, Rules, Wanted};

/// Slots that are caught up at the most.
pub const MOST_CAUGHT_UP: usize = 100;
const MOST_WINDOW: Duration = Duration::from_hours(366 * 24);
const MOST_JITTER: Duration = Duration::from_hours(1);
const MOST_NOTE: usize = 500;
/// Bytes of a definition. Each firing carries the sources with it.
const MOST_BYTES: usize = 65_536;

/// A schedule as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(default = "utc")]
    pub zone: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub run: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) workflow: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) report: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) notification: Value,
    #[serde(default)]
    pub catch_up: CatchUp,
    #[serde(default = "day", with = "duration::required")]
    pub catch_up_window: Duration,
    #[serde(default)]
    pub overlap: Overlap,
    #[serde(default)]
    pub pause_on_failure: bool,
    /// Up to this long a firing is put off, by a length that follows from the schedule and the slot.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Duration>,
    /// The first instant at which it may fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    /// The first instant at which it may not fire any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    #[serde(default)]
    pub paused: bool,
}

/// What becomes of slots that nobody fired in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// They are skipped.
    None,
    /// The last one fires.
    #[default]
    Latest,
    /// Each fires, the earliest first.
    All,
}

/// What becomes of a slot while the group of the one before has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// It waits. A newer one takes its place.
    QueueOne,
    /// It fires.
    Allow,
    /// It fires, and the other group is cancelled.
    Cancel,
}

/// What the settings allow a schedule.
#[derive(Debug, Clone)]
pub struct Settings {
    pub queue: config::Queue,
    pub retention: config::Retention,
    pub presets: Presets,
    pub limits: config::Limits,
}

/// A schedule that was checked.
#[derive(Debug, Clone)]
pub struct Definition {
    pub timing: Timing,
    pub policy: Policy,
    pub run: Run,
}

/// Which slots fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub catch_up: CatchUp,
    pub catch_up_window: Duration,
    pub overlap: Overlap,
    pub pause_on_failure: bool,
    pub jitter: Duration,
    pub starts: Option<Timestamp>,
    pub ends: Option<Timestamp>,
}

/// The submission that a slot makes.
#[derive(Debug, Clone)]
pub struct Run {
    /// As in `POST /api/groups`.
    pub sources: Value,
    pub asked: Asked,
}

fn utc() -> String {
    "UTC".into()
}

fn day() -> Duration {
    Duration::from_hours(24)
}

/// Whether a schedule may be called so.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl Document {
    /// Reads a schedule. Unknown fields are refused.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn read(value: &Value) -> Result<Self, String> {
        if !value.is_object() {
            return Err("the schedule is not an object".into());
        }
        let bytes = value.to_string().len();
        if bytes > MOST_BYTES {
            return Err(format!("the schedule has {bytes} bytes, more than {MOST_BYTES}"));
        }
        serde_path_to_error::deserialize(value).map_err(|error| {
            let (path, said) = (error.path().to_string(), error.inner().to_string());
            if path == "." || said.starts_with("unknown field") { said } else { format!("{path}: {said}") }
        })
    }

    /// What it means.
    ///
    /// # Errors
    /// A sentence that names the field, its value and the limit.
    pub fn check(&self, settings: &Settings) -> Result<Definition, String> {
        let (timing, policy) = self.timing()?;
        Ok(Definition { timing, policy, run: Run::read(&self.run, settings)? })
    }

    /// When it fires, whatever it does then.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub fn timing(&self) -> Result<(Timing, Policy), String> {
        let timing = Timing::parse(self.cron.as_deref(), self.every.as_deref(), self.at.as_deref(), &self.zone)?;
        for (name, value) in
            [("workflow", &self.workflow), ("report", &self.report), ("notification", &self.notification)]
        {
            if !value.is_null() {
                return Err(format!("{name}: schedules cannot start one yet; `run` is what there is"));
            }
        }
        let jitter = self.jitter.unwrap_or_default();
        let most = timing.interval().map_or(MOST_JITTER, |every| every.min(MOST_JITTER));
        if jitter > most {
            return Err(format!("jitter: {} is longer than {}", duration::show(jitter), duration::show(most)));
        }
        if self.catch_up_window > MOST_WINDOW {
            return Err(format!("catch_up_window: {} is longer than 366d", duration::show(self.catch_up_window)));
        }
        if let (Some(starts), Some(ends)) = (self.starts, self.ends)
            && starts >= ends
        {
            return Err(format!("ends: {ends} is not after starts ({starts})"));
        }
        let chars = self.note.chars().count();
        if chars > MOST_NOTE || self.note.contains(|c: char| c.is_control() && c != '\n') {
            return Err(format!("note: {chars} characters, at most {MOST_NOTE} without control characters"));
        }
        let policy = Policy {
            catch_up: self.catch_up,
            catch_up_window: self.catch_up_window,
            overlap: self.overlap,
            pause_on_failure: self.pause_on_failure,
            jitter,
            starts: self.starts,
            ends: self.ends,
        };
        Ok((timing, policy))
    }

    /// As [`check`](Self::check), of one that is new: it must fire at least once.
    ///
    /// # Errors
    /// As for `check`; and if no slot comes after `now`.
    pub fn check_new(&self, settings: &Settings, now: Timestamp) -> Result<Definition, String> {
        let definition = self.check(settings)?;
        if definition.next(now).is_some() { Ok(definition) } else { Err(self.never(now)) }
    }

    /// Says that no slot comes after `now`.
    pub(super) fn never(&self, now: Timestamp) -> String {
        let (field, value) = match (&self.cron, &self.every, &self.at) {
            (Some(cron), ..) => ("cron", cron),
            (_, Some(every), _) => ("every", every),
            (.., Some(at)) => ("at", at),
            _ => return "the schedule never comes".into(),
        };
        let bounds = match self.ends {
            Some(ends) => format!(" before ends ({ends})"),
            None => String::new(),
        };
        format!("{field}: `{}` never comes after {now:.0}{bounds}", value.escape_debug())
    }
}

impl Definition {
    /// The first slot after an instant, within `starts` and `ends`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.policy.next(&self.timing, after)
    }

    /// The first slots after an instant.
    pub fn upcoming(&self, after: Timestamp, most: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next(after), |&slot| self.next(slot)).take(most).collect()
    }
}

impl Policy {
    pub(super) fn next(&self, timing: &Timing, after: Timestamp) -> Option<Timestamp> {
        timing.next(self.begin(after)).filter(|slot| self.ends.is_none_or(|ends| *slot < ends))
    }

    /// The latest instant of these two: `after`, and the one just before the schedule starts.
    pub(super) fn begin(&self, after: Timestamp) -> Timestamp {
        match self.starts.and_then(|starts| starts.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()) {
            Some(starts) => after.max(starts),
            None => after,
        }
    }
}

impl Settings {
    fn rules<'s>(&'s self, limits: &'s imaging::Limits) -> Rules<'s> {
        Rules { queues: &self.queue.names, retention: &self.retention, presets: &self.presets, limits }
    }
}

impl Run {
    fn read(value: &Value, settings: &Settings) -> Result<Self, String> {
        const KNOWN: [&str; 6] = ["prefix", "keys", "urls", "sources", "operations", "options"];
        let fields = match value {
            Value::Null => return Err("run: is missing; it says what is to be done".into()),
            Value::Object(fields) => fields,
            _ => return Err("run: is not an object".into()),
        };
        if let Some(other) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!("run: unknown field `{}`; known: {}", other.escape_debug(), KNOWN.join(", ")));
        }
        let sources = sources(fields)?;
        let wanted = Wanted::parse_all(&sources).map_err(|said| format!("run.{said}"))?;
        let most = settings.limits.max_files;
        if wanted.is_empty() {
            return Err("run: names no picture: give prefix, keys, urls or sources".into());
        }
        if wanted.len() > most {
            return Err(format!("run: {} sources are more than limits.max_files ({most})", wanted.len()));
        }
        let limits = settings.limits.imaging();
        let asked = Asked::parse(fields.get("operations"), fields.get("options"), settings.rules(&limits));
        let asked = asked.map_err(|(_, said)| format!("run.{said}"))?;
        if asked.options.eta.is_some() {
            return Err("run.options.eta: the schedule says when".into());
        }
        if asked.options.then.is_some() {
            return Err("run.options.then: schedules cannot have a group follow yet".into());
        }
        Ok(Self { sources, asked })
    }
}

/// All sources in the form of `POST /api/groups`.
fn sources(fields: &Map<String, Value>) -> Result<Value, String> {
    let mut sources = Vec::new();
    match fields.get("prefix") {
        None => {}
        Some(Value::String(prefix)) => sources.push(json!({"prefix": prefix})),
        Some(other) => return Err(format!("run.prefix: {other} is not a text")),
    }
    for (list, kind) in [("keys", "key"), ("urls", "url")] {
        let Some(value) = fields.get(list) else { continue };
        let entries = value.as_array().ok_or_else(|| format!("run.{list}: is not a list"))?;
        for (i, entry) in entries.iter().enumerate() {
            let text = entry.as_str().ok_or_else(|| format!("run.{list}[{i}]: {entry} is not a text"))?;
            sources.push(json!({kind: text}));
        }
    }
    if let Some(value) = fields.get("sources") {
        if !sources.is_empty() {
            return Err("run.sources: stands alone, without prefix, keys and urls".into());
        }
        return Ok(value.clone());
    }
    Ok(sources.into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Config;

    pub(in crate::schedules) fn settings() -> Settings {
        let Config { queue, retention, limits, .. } = Config::default();
        let card = imaging::operation::parse(r#"[{"type": "resize", "width": 400}]"#, &limits.imaging()).unwrap();
        Settings { queue, retention, limits, presets: [("card".into(), card)].into() }
    }

    fn now() -> Timestamp {
        "2026-12-01T12:00:00Z".parse().unwrap()
    }

    fn checked(value: &Value) -> Result<Definition, String> {
        Document::read(value)?.check_new(&settings(), now())
    }

    fn with(more: &Value) -> Value {
        let mut value = json!({"cron": "0 1 * * *", "run": {"prefix": "incoming/"}});
        for (name, field) in more.as_object().unwrap() {
            value[name] = field.clone();
        }
        value
    }

    #[test]
    fn schedule_as_the_configuration_writes_it_is_read() {
        let text = r#"
            cron = "0 1 * * *"
            zone = "Europe/Berlin"
            run = { prefix = "incoming/", operations = "card", options = { priority = 3 } }
            catch_up = "all"
            catch_up_window = "2h"
            overlap = "queue_one"
            jitter = "5m"
            starts = "2027-01-01T00:00:00Z"
        "#;
        let definition = checked(&toml::from_str(text).unwrap()).unwrap();
        assert_eq!(definition.run.sources, json!([{"prefix": "incoming/"}]));
        assert_eq!(definition.run.asked.options.priority, Some(3));
        assert_eq!(definition.policy.catch_up, CatchUp::All);
        assert_eq!(definition.policy.overlap, Overlap::QueueOne);
        assert_eq!(definition.next(now()), Some("2027-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn document_is_written_as_it_was_read() {
        let value =
            with(&json!({"overlap": "cancel", "jitter": "30s", "note": "a\nb", "ends": "2027-01-01T00:00:00Z"}));
        let document = Document::read(&value).unwrap();
        let written = serde_json::to_value(&document).unwrap();
        assert_eq!(Document::read(&written).unwrap(), document);
        assert_eq!((&written["zone"], &written["catch_up_window"]), (&json!("UTC"), &json!("24h")));
    }

    #[test]
    fn sources_are_those_of_a_request() {
        let of = |run: Value| checked(&with(&json!({"run": run}))).map(|definition| definition.run.sources);
        assert_eq!(
            of(json!({"keys": ["a", "b"], "urls": ["https://x.example/c"]})).unwrap().as_array().unwrap().len(),
            3
        );
        let named = json!([{"key": "a", "name": "b"}]);
        assert_eq!(of(json!({"sources": named})).unwrap(), named);
    }

    #[test]
    fn refusals_name_the_field() {
        for (more, said) in [
            (json!({"crom": 1}), "unknown field `crom`"),
            (json!({"every": "1h"}), "cron, every, at: there are several"),
            (json!({"cron": null}), "cron, every, at: none"),
            (json!({"cron": "0 0 31 2 *"}), "cron: `0 0 31 2 *` never comes after 2026-12-01T12:00:00Z"),
            (json!({"cron": null, "at": "2026-12-01T12:00:00Z"}), "at: `2026-12-01T12:00:00Z` never comes"),
            (
                json!({"ends": "2026-12-01T13:00:00Z"}),
                "cron: `0 1 * * *` never comes after 2026-12-01T12:00:00Z before ends",
            ),
            (json!({"zone": "Mars/Olympus"}), "zone: `Mars/Olympus` is not"),
            (json!({"catch_up": "some"}), "catch_up: unknown variant `some`"),
            (json!({"catch_up_window": "400d"}), "catch_up_window: 9600h is longer than 366d"),
            (json!({"catch_up_window": "soon"}), "catch_up_window: `soon` is not a length of time"),
            (json!({"overlap": "queue"}), "overlap: unknown variant `queue`"),
            (json!({"jitter": "2h"}), "jitter: 2h is longer than 1h"),
            (json!({"cron": null, "every": "10s", "jitter": "11s"}), "jitter: 11s is longer than 10s"),
            (
                json!({"starts": "2027-01-01T00:00:00Z", "ends": "2027-01-01T00:00:00Z"}),
                "ends: 2027-01-01T00:00:00Z is not",
            ),
            (json!({"note": "x".repeat(501)}), "note: 501 characters, at most 500"),
            (json!({"workflow": "x"}), "workflow: schedules cannot start one yet"),
            (json!({"report": "x"}), "report: schedules cannot start one yet"),
            (json!({"notification": {}}), "notification: schedules cannot start one yet"),
            (json!({"run": null}), "run: is missing"),
            (json!({"run": "x"}), "run: is not an object"),
            (json!({"run": {}}), "run: names no picture"),
            (json!({"run": {"prefix": 1}}), "run.prefix: 1 is not a text"),
            (json!({"run": {"keys": "a"}}), "run.keys: is not a list"),
            (json!({"run": {"keys": [1]}}), "run.keys[0]: 1 is not a text"),
            (json!({"run": {"prefix": "a", "sources": []}}), "run.sources: stands alone"),
            (json!({"run": {"sources": [{}]}}), "run.sources[0]: has none or several"),
            (json!({"run": {"prefix": "a", "operations": "crad"}}), "run.operations: unknown preset `crad`"),
            (
                json!({"run": {"prefix": "a", "options": {"priority": 11}}}),
                "run.options.priority: 11 is not within 1 to 10",
            ),
            (json!({"run": {"prefix": "a", "options": {"eta": "2027-01-01T00:00:00Z"}}}), "run.options.eta: "),
            (json!({"run": {"prefix": "a", "preset": "card"}}), "run: unknown field `preset`"),
        ] {
            let fault = checked(&with(&more)).map(|_| ()).unwrap_err();
            assert!(fault.starts_with(said), "{more}: {fault}");
        }
        assert!(checked(&json!([])).is_err_and(|said| said.contains("not an object")));
        let long = with(&json!({"run": {"keys": vec!["x".repeat(100); 700]}}));
        assert!(checked(&long).is_err_and(|said| said.contains("more than 65536")));
    }

    #[test]
    fn upcoming_slots_end_with_the_schedule() {
        let definition = checked(&with(&json!({"ends": "2026-12-04T01:00:00Z"}))).unwrap();
        let slots: Vec<String> = definition.upcoming(now(), 10).iter().map(Timestamp::to_string).collect();
        assert_eq!(slots, ["2026-12-02T01:00:00Z", "2026-12-03T01:00:00Z"]);
    }
}
