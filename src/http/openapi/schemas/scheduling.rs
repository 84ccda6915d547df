//! The schemas of schedules.

use serde_json::{Value, json};

use super::{count, text};
use crate::http::operation::{operations_or_preset, reference};

pub(super) fn schemas() -> Value {
    let instant = |about: &str| json!({"type": "string", "format": "date-time", "description": about});
    let perhaps = |about: &str| json!({"type": ["string", "null"], "format": "date-time", "description": about});
    let optional = |about: &str| json!({"type": ["string", "null"], "description": about});
    let definition = json!({
        "cron": optional("Five fields, six with the seconds first, or such as `@daily` or `@every 90s`."),
        "every": optional("An interval such as `90s`, counted from 1970."),
        "at": optional("One instant, such as `2027-01-01T08:00:00Z`."),
        "zone": {"type": "string", "default": "UTC", "description": "A time zone by its IANA name."},
        "run": {
            "type": "object",
            "additionalProperties": false,
            "description": "A submission as to POST /api/groups.",
            "properties": {
                "prefix": text("Every file below a folder of sources.folder."),
                "keys": {"type": "array", "items": {"type": "string"}},
                "urls": {"type": "array", "items": {"type": "string"}},
                "sources": {"type": "array", "minItems": 1, "items": reference("Source"),
                    "description": "Instead of prefix, keys and urls."},
                "operations": operations_or_preset(),
                "options": reference("Options"),
            },
        },
        "catch_up": {"enum": ["none", "latest", "all"], "default": "latest",
            "description": "Which of the slots that nobody fired in time still fire."},
        "catch_up_window": {"type": "string", "default": "24h", "description": "Slots that are later than this are skipped."},
        "overlap": {"enum": ["skip", "queue_one", "allow", "cancel"], "default": "skip",
            "description": "What becomes of a slot while the group of the slot before has not ended."},
        "pause_on_failure": {"type": "boolean", "default": false},
        "jitter": optional("Each firing is put off by up to this long."),
        "starts": perhaps("The first instant at which it may fire."),
        "ends": perhaps("The first instant at which it may not fire any more."),
        "note": {"type": "string", "maxLength": 500},
        "paused": {"type": "boolean", "default": false},
    });
    let mut named = definition.clone();
    named["name"] = json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"});
    let schedule = object(
        &[
            "name",
            "origin",
            "description",
            "schedule",
            "etag",
            "owner",
            "paused",
            "fault",
            "next",
            "last_group_id",
            "records",
            "created_at",
            "updated_at",
        ],
        json!({
            "name": text("Its name."),
            "origin": {"enum": ["configuration", "store", "service"]},
            "description": optional("The timing in plain words."),
            "schedule": {"type": "object", "description": "As it was written; see ScheduleDefinition."},
            "etag": optional("The `ETag` without its quotes."),
            "owner": optional("The name of the API key that made it."),
            "paused": {"type": ["object", "null"], "additionalProperties": false,
                "properties": {"note": text("Why."), "at": instant("Since when.")}},
            "fault": optional("Why it cannot fire: the settings no longer allow what it asks for."),
            "next": {"type": "array", "items": instant("A slot, in the schedule's zone."), "maxItems": 10},
            "last_group_id": optional("The group that its clock fired last."),
            "records": {"type": "array", "items": reference("ScheduleRecord"), "maxItems": 100,
                "description": "What became of its slots, the latest first."},
            "created_at": perhaps("When it was made."),
            "updated_at": perhaps("When it was changed."),
        }),
    );
    let record = object(
        &["slot", "outcome", "recorded_at"],
        json!({
            "slot": instant("The slot."),
            "through": instant("The last slot that the record is about, if it is about several."),
            "outcome": {"enum": ["fired", "late", "skipped", "manual"]},
            "reason": {"enum": ["paused", "overlap", "catch-up"], "description": "Why it was skipped."},
            "group_id": text("The group that was made."),
            "late_s": count("Seconds that it was late by."),
            "recorded_at": instant("When it was decided."),
        }),
    );
    let firing = object(
        &["slot", "group_id", "links"],
        json!({"slot": instant("The slot."), "group_id": text("The group's id."), "links": reference("Links")}),
    );
    let preview = object(
        &["description", "zone", "next"],
        json!({"description": text("In plain words."), "zone": text("Its name."),
            "next": {"type": "array", "items": instant("A slot."), "minItems": 1, "maxItems": 10}}),
    );
    json!({
        "Schedules": object(&["schedules"], json!({"schedules": {"type": "array", "items": reference("Schedule")}})),
        "Schedule": schedule,
        "ScheduleDefinition": object(&[], definition),
        "NewSchedule": object(&["name", "run"], named),
        "ScheduleRecord": record,
        "RemovedSchedule": object(&["name", "removed"], json!({"name": text("Its name."), "removed": {"const": true}})),
        "Firings": object(&["firings"], json!({"firings": {"type": "array", "items": firing, "minItems": 1}})),
        "SchedulePreview": preview,
    })
}

/// An object without further fields.
#[allow(clippy::needless_pass_by_value, reason = "it is made in place")]
fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}
