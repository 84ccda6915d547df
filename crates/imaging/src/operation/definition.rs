//! What an operation's file says about it, for the parser, the schema, messages and the command line.

use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::flag::Flag;
use super::{Action, LIST, Save, schema};
use crate::{Limits, Result};

/// An operation as clients see it.
pub struct Definition {
    /// The `type` of its entries.
    pub name: &'static str,
    /// One sentence for the schema.
    pub(super) about: &'static str,
    /// Its own fields and their schemas.
    pub(super) fields: fn(&Limits) -> Vec<(&'static str, Value)>,
    /// The fields without which an entry is refused.
    pub(super) required: &'static [&'static str],
    /// Takes the same fields from an entry.
    pub(super) parse: fn(&mut Fields, &Limits) -> Result<Action>,
    /// In the order of `--help`: its own flags, and flags of several operations that are shown after it.
    pub flags: &'static [Flag],
}

impl Definition {
    /// The definition of a `type`.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        LIST.iter().copied().find(|definition| definition.name == name)
    }

    /// The schema of an entry.
    pub(super) fn schema(&self, limits: &Limits) -> Value {
        let mut properties = Map::from_iter([("type".to_owned(), json!({"const": self.name}))]);
        let mut add = |fields: Vec<(&str, Value)>| {
            properties.extend(fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
        };
        add((self.fields)(limits));
        // Its answer has no file to write, and is about the upright picture.
        if self.name != "info" {
            add(vec![("auto_orient", schema::flag(true, "Turn the picture upright first, as its EXIF says"))]);
            add(Save::schema());
        }
        let required = [&["type"], self.required].concat();
        json!({
            "title": self.name,
            "description": self.about,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }
}
