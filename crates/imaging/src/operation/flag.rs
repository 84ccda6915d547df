//! Flags of the command line: an operation's file lists its own. Their text becomes the JSON fields that HTTP clients send.

use serde_json::{Map, Value};

/// A flag: what it is called, what it takes, what it sets, and its line of help.
#[derive(Clone, Copy)]
pub struct Flag {
    /// Without the hyphens before it.
    pub name: &'static str,
    /// What `--help` calls the text behind it; empty for a flag that takes no text.
    pub value: &'static str,
    /// The types of entries that it sets fields of. Empty: it begins an entry.
    pub of: &'static [&'static str],
    /// Whether the text may begin with a hyphen.
    pub hyphens: bool,
    pub help: &'static str,
    sets: Sets,
}

/// The fields that a text stands for; or why it is not understood, with the forms that the flag takes.
pub type FromText = Result<Map<String, Value>, String>;

/// Which fields a flag sets, and how they are read from its text.
#[derive(Clone, Copy)]
pub enum Sets {
    Nothing,
    To(&'static str, bool),
    Number(&'static str),
    Text(&'static str),
    /// A field with a notation of its own. Text that is not understood is kept, for the parser to refuse.
    Value(&'static str, fn(&str) -> Value),
    /// Several fields. Text that is not understood is refused here.
    Fields(fn(&str) -> FromText),
}

impl Flag {
    pub const fn new(name: &'static str, value: &'static str, sets: Sets, help: &'static str) -> Self {
        Self { name, value, of: &[], hyphens: false, help, sets }
    }

    /// The same flag for fields of the last entry of one of these types before it.
    pub(super) const fn of(self, types: &'static [&'static str]) -> Self {
        Self { of: types, ..self }
    }

    /// The same flag for texts that may begin with a hyphen, such as `-90`.
    pub(super) const fn with_hyphens(self) -> Self {
        Self { hyphens: true, ..self }
    }

    /// The fields that it sets.
    ///
    /// # Errors
    /// For a text that is not understood, naming the flag and the forms that it takes.
    pub fn fields(&self, text: &str) -> FromText {
        let (name, value) = match self.sets {
            Sets::Nothing => return Ok(Map::new()),
            Sets::Fields(read) => return read(text),
            Sets::To(name, value) => (name, value.into()),
            Sets::Number(name) => (name, number(text)),
            Sets::Text(name) => (name, text.into()),
            Sets::Value(name, read) => (name, read(text)),
        };
        Ok(Map::from_iter([(name.to_owned(), value)]))
    }
}

/// A number; text that is not one is kept, for the parser to refuse.
pub(super) fn number(text: &str) -> Value {
    let json = serde_json::from_str(text).ok().filter(Value::is_number);
    // As people write them, `.5` or `+2`; JSON has no infinite numbers.
    let number = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from);
    json.or_else(number).unwrap_or_else(|| text.into())
}

/// Whole numbers under these names. `None` if one of the texts is not a whole number.
pub(super) fn wholes(named: &[(&str, &str)]) -> Option<Map<String, Value>> {
    named.iter().map(|(name, text)| Some(((*name).to_owned(), text.parse::<u64>().ok()?.into()))).collect()
}

/// The two sides of a size such as `800x600`; one may be empty.
pub(super) fn sides(text: &str) -> Option<(&str, &str)> {
    text.split_once(['x', 'X', '×'])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (written, value) in [(".5", json!(0.5)), ("5.", json!(5.0)), ("12", json!(12)), ("-1e1", json!(-10.0))] {
            assert_eq!(number(written), value);
        }
        for text in ["", "nan", "inf", "5%", "1,5"] {
            assert_eq!(number(text), text);
        }
    }
}
