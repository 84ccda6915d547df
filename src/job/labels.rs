//! Labels: names and values that a submitter gives a group, and by which lists are filtered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Largest number of labels of a group.
pub(crate) const MOST: usize = 16;
/// Largest number of bytes of a name, and of a value.
pub(crate) const LONGEST_NAME: usize = 63;
pub(crate) const LONGEST_VALUE: usize = 128;

/// The labels of a group: each name has one value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Reads labels from a JSON object whose values are strings; `path` is where it is in the request.
    ///
    /// # Errors
    /// One sentence that names the label and the limit.
    pub fn parse(value: &Value, path: &str) -> Result<Self, String> {
        let Some(fields) = value.as_object() else {
            return Err(format!("{path}: is not an object of strings, such as {{\"order\": \"A-17\"}}"));
        };
        if fields.len() > MOST {
            return Err(format!("{path}: {} labels exceed {MOST}", fields.len()));
        }
        let label = |(name, value): (&String, &Value)| {
            let path = format!("{path}.{}", name.escape_debug());
            let value = value.as_str().ok_or_else(|| format!("{path}: its value is not a string"))?;
            check(name, value).map_err(|wrong| format!("{path}: {wrong}"))?;
            Ok((name.clone(), value.to_owned()))
        };
        fields.iter().map(label).collect::<Result<_, String>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `name:value` of each, as the broker lists groups by them.
    pub(crate) fn words(&self) -> Vec<String> {
        self.0.iter().map(|(name, value)| format!("{name}:{value}")).collect()
    }
}

/// A label as filters name it, `name:value`; `None` if no group can have it.
pub(crate) fn word(text: &str) -> Option<String> {
    let (name, value) = text.split_once(':')?;
    check(name, value).is_ok().then(|| text.to_owned())
}

fn check(name: &str, value: &str) -> Result<(), String> {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_word || !(1..=LONGEST_NAME).contains(&name.len()) {
        return Err(format!("a label's name is a word of 1 to {LONGEST_NAME} letters, digits and any of `._-`"));
    }
    if !(1..=LONGEST_VALUE).contains(&value.len()) {
        return Err(format!("its value has {} bytes; it takes 1 to {LONGEST_VALUE}", value.len()));
    }
    if value.chars().any(char::is_control) {
        return Err("its value has a control character".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_read_from_an_object_of_strings() {
        let labels = Labels::parse(&json!({"order": "A-17: b", "shop.id_2": "é"}), "options.labels").unwrap();
        assert_eq!(labels.words(), ["order:A-17: b", "shop.id_2:é"]);
        assert_eq!(word("order:A-17: b").as_deref(), Some("order:A-17: b"));
        assert!(Labels::parse(&json!({}), "options.labels").unwrap().is_empty());
    }

    #[test]
    fn wrong_labels_are_refused_by_name() {
        let many: serde_json::Map<_, _> = (0..17).map(|n| (format!("n{n}"), json!("x"))).collect();
        for (wrong, said) in [
            (json!([]), "options.labels: is not an object"),
            (json!(many), "options.labels: 17 labels exceed 16"),
            (json!({"order": 17}), "options.labels.order: its value is not a string"),
            (json!({"a b": "x"}), "options.labels.a b: a label's name is a word"),
            (json!({"": "x"}), "options.labels.: a label's name is a word"),
            (json!({"n": ""}), "options.labels.n: its value has 0 bytes"),
            (json!({"n": "é".repeat(65)}), "options.labels.n: its value has 130 bytes; it takes 1 to 128"),
            (json!({"n": "a\nb"}), "options.labels.n: its value has a control character"),
        ] {
            let refused = Labels::parse(&wrong, "options.labels").unwrap_err();
            assert!(refused.starts_with(said), "{refused}");
        }
        assert_eq!([word("order"), word(":x"), word("a b:x"), word("order:")], [None, None, None, None]);
    }
}
