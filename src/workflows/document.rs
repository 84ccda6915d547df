//! A workflow's document: its input, its labels, and its steps in an order in which each is behind those that it comes after.
//!
//! It is checked whole when it is parsed. What remains for later is what only earlier steps can tell.

use std::collections::{BTreeMap, BTreeSet};

use queue::GroupId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::graph;
use super::reference::{Part, Pointer};
use super::rules::{Refusal, Rules, invalid, is_word, object, only, shown};
use super::steps::{Fan, Step};

pub const MOST_STEPS: usize = 32;
const MOST_LABELS: usize = 16;
/// Characters of a workflow's name, and of a label's value.
const MOST_NAME: usize = 128;

const FIELDS: [&str; 4] = ["name", "input", "labels", "steps"];
/// Of a document that names a template.
const FIELDS_BY_NAME: [&str; 3] = ["workflow", "input", "labels"];

/// A document that can be carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub name: Option<String>,
    /// An object.
    pub input: Value,
    pub labels: BTreeMap<String, String>,
    /// Each is behind those that it comes after.
    pub steps: Vec<Step>,
}

/// The workflows of the settings, by name. Each can be carried out as soon as its input is there.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    documents: BTreeMap<String, Value>,
}

/// The id of a step's group: always the same for the same workflow and step.
///
/// It is a UUID of version 8 made as one of version 5, because a group of version 5 is one that the service made for itself,
/// see [`GroupId::is_scheduled`].
pub fn group_of(workflow: Uuid, step: &str) -> GroupId {
    let named = Uuid::new_v5(&workflow, step.as_bytes());
    uuid::Builder::from_custom_bytes(named.into_bytes()).into_uuid().into()
}

impl Document {
    /// Parses and checks a whole document, or one that names a template: `{"workflow": "NAME", "input": {…}}`.
    ///
    /// # Errors
    /// `invalid-workflow`; or the code of a part: `invalid-sources`, `invalid-operation`, `invalid-options`, `unknown-preset`,
    /// `invalid-url`, `url-forbidden`. The sentence names the step, the field, the value and the limit.
    pub fn parse(value: &Value, templates: &Templates, rules: Rules<'_>) -> Result<Self, Refusal> {
        let fields = object(value, "the workflow")?;
        if !fields.contains_key("workflow") {
            return Self::of(fields, true, rules);
        }
        only(fields, &FIELDS_BY_NAME, "the workflow, which names a template (`workflow`)")?;
        Self::of(&templates.fill(fields)?, true, rules)
    }

    /// `has_input` is false for a template, whose input comes later.
    fn of(fields: &Map<String, Value>, has_input: bool, rules: Rules<'_>) -> Result<Self, Refusal> {
        only(fields, &FIELDS, "the workflow")?;
        let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let name = field("name").map(name_of).transpose()?;
        let input = match field("input") {
            None => Value::Object(Map::new()),
            Some(input) => Value::Object(object(input, "input")?.clone()),
        };
        let labels = field("labels").map(labels_of).transpose()?.unwrap_or_default();
        let listed = object(field("steps").ok_or_else(|| invalid("steps: is missing"))?, "steps")?;
        if listed.is_empty() || listed.len() > MOST_STEPS {
            return Err(invalid(format!("steps: {} are not 1 to {MOST_STEPS}", listed.len())));
        }
        let known = has_input.then_some(&input);
        let steps = listed.iter().map(|(name, value)| Step::parse(name, value, known, rules));
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        let order = graph::order(&named(&steps)).map_err(invalid)?;
        let steps: Vec<Step> = order.into_iter().map(|i| steps[i].clone()).collect();
        check_references(&steps)?;
        Ok(Self { name, input, labels, steps })
    }

    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }
}

fn named(steps: &[Step]) -> Vec<(&str, &[String])> {
    steps.iter().map(|step| (step.name.as_str(), step.after.as_slice())).collect()
}

/// References to other steps: only to those that have ended when the step begins, and to what there is of them.
fn check_references(steps: &[Step]) -> Result<(), Refusal> {
    let ancestors = graph::ancestors(&named(steps));
    for step in steps {
        let before: &BTreeSet<&str> = &ancestors[step.name.as_str()];
        step.each_pointer(&mut |_, pointer| {
            let Pointer::Step { name, part, .. } = pointer else { return Ok(()) };
            let Some(other) = steps.iter().find(|other| other.name == name) else {
                return Err(format!("there is no step `{}`", name.escape_debug().take(64).collect::<String>()));
            };
            if !before.contains(name.as_str()) {
                let own = &step.name;
                return Err(format!(
                    "`{own}` does not come after `{name}`: name `{name}` in `after`, or a step behind it"
                ));
            }
            let part_of = format!("/steps/{name}/{}", part.as_str());
            match (part, &other.fan) {
                (Part::Counts, _)
                | (Part::Result, Fan::One)
                | (Part::Results | Part::ResultsUrl, Fan::Sources | Fan::Each { .. } | Fan::Shards(_)) => Ok(()),
                (Part::Result, _) => {
                    Err(format!("`{part_of}` is of a step that is one job, and `{name}` is many: take `results`"))
                }
                (_, Fan::One) => {
                    Err(format!("`{part_of}` is of a step that is many jobs, and `{name}` is one: take `result`"))
                }
            }
        })?;
    }
    Ok(())
}

fn name_of(value: &Value) -> Result<String, Refusal> {
    let name = value.as_str().filter(|name| is_line(name));
    let name = name.ok_or_else(|| {
        invalid(format!("name: {} has not 1 to {MOST_NAME} characters without control characters", shown(value)))
    })?;
    Ok(name.to_owned())
}

fn is_line(text: &str) -> bool {
    (1..=MOST_NAME).contains(&text.chars().count()) && !text.contains(char::is_control)
}

fn labels_of(value: &Value) -> Result<BTreeMap<String, String>, Refusal> {
    let fields = object(value, "labels")?;
    if fields.len() > MOST_LABELS {
        return Err(invalid(format!("labels: {} are more than {MOST_LABELS}", fields.len())));
    }
    let label = |(name, value): (&String, &Value)| {
        if !is_word(name) {
            let name: String = name.escape_debug().take(64).collect();
            return Err(invalid(format!(
                "labels: `{name}` is not a name of 1 to 64 letters, digits, `-` and `_` that begins with a letter"
            )));
        }
        match value.as_str() {
            Some(text) if is_line(text) => Ok((name.clone(), text.to_owned())),
            _ => Err(invalid(format!(
                "labels.{name}: {} is not a text of 1 to {MOST_NAME} characters without control characters",
                shown(value)
            ))),
        }
    };
    fields.iter().map(label).collect()
}

impl Templates {
    /// Checks the workflows of the settings, but for what their input decides.
    ///
    /// # Errors
    /// A sentence that names the template, the step and the field.
    pub fn parse(documents: &BTreeMap<String, Value>, rules: Rules<'_>) -> Result<Self, String> {
        for (name, document) in documents {
            if !is_word(name) {
                let name: String = name.escape_debug().take(64).collect();
                return Err(format!(
                    "workflows: `{name}` is not a name of 1 to 64 letters, digits, `-` and `_` that begins with a letter"
                ));
            }
            let checked = object(document, "the workflow").and_then(|fields| Document::of(fields, false, rules));
            checked.map_err(|(_, detail)| format!("workflows.{name}: {detail}"))?;
        }
        Ok(Self { documents: documents.clone() })
    }

    /// The template that a document names, with the document's input and labels over its own.
    fn fill(&self, fields: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
        let name = &fields["workflow"];
        let found = name.as_str().and_then(|name| Some((name, self.documents.get(name)?)));
        let Some((name, template)) = found else {
            let known: Vec<&str> = self.documents.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none (workflows)".to_owned() } else { known.join(", ") };
            return Err(invalid(format!("workflow: unknown workflow {}; known: {known}", shown(name))));
        };
        let mut filled = object(template, "the workflow")?.clone();
        if !filled.contains_key("name") {
            filled.insert("name".into(), name.into());
        }
        for part in ["input", "labels"] {
            let Some(given) = fields.get(part).filter(|value| !value.is_null()) else { continue };
            let own = filled.entry(part).or_insert_with(|| Value::Object(Map::new()));
            let mut merged = own.as_object().cloned().unwrap_or_default();
            merged.extend(object(given, part)?.clone());
            *own = Value::Object(merged);
        }
        Ok(filled)
    }
}
