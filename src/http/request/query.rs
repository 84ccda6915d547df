//! The query of a request. [`Parameters`] reads it parameter by parameter, and refuses what is unknown, repeated or wrong by
//! its name; [`query`] is for queries that are read as a type.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::Uri;
use serde::Deserialize;
use url::form_urlencoded;

use crate::http::problem::Problem;

/// A parameter that is `true` or `false`; `1` and `0` mean the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(in crate::http) enum Flag {
    #[serde(rename = "true", alias = "1")]
    Yes,
    #[default]
    #[serde(rename = "false", alias = "0")]
    No,
}

/// The query of a route without parameters. An unknown parameter is refused, or its sender would believe that it counts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NoQuery {}

/// A query that is read as `T`. [`query`] makes a problem of the refusal.
pub(in crate::http) type QueryOf<T> = Result<Query<T>, QueryRejection>;

pub(in crate::http) fn query<T>(asked: QueryOf<T>) -> Result<T, Problem> {
    match asked {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(Problem::bad_request("invalid-query", error.body_text())),
    }
}

/// All parameters of a query, each of which is there once.
#[derive(Debug)]
pub(in crate::http) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of `uri`. Unknown and repeated ones are refused.
    pub(in crate::http) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .try_fold(Self(Vec::new()), |given, (name, value)| given.and(name.into_owned(), value.into_owned(), known))
    }

    /// Adds a parameter, which must be known and not be there yet.
    pub(in crate::http) fn and(mut self, name: String, value: String, known: &[&str]) -> Result<Self, Problem> {
        if !known.contains(&name.as_str()) {
            let known = if known.is_empty() { "none is taken".into() } else { format!("known: {}", known.join(", ")) };
            return Err(wrong(format!("Unknown parameter `{name}`; {known}.")));
        }
        if self.0.iter().any(|(other, _)| *other == name) {
            return Err(wrong(format!("The parameter `{name}` is there twice.")));
        }
        self.0.push((name, value));
        Ok(self)
    }

    /// The parameter `name`, if it is there. `takes` describes the values that `parse` accepts, as in "it takes a
    /// word".
    pub(in crate::http) fn get<T>(
        &self,
        name: &str,
        takes: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some((_, value)) = self.0.iter().find(|(given, _)| given == name) else { return Ok(None) };
        match parse(value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(wrong(format!("The parameter `{name}` is `{value}`; it takes {takes}."))),
        }
    }

    /// The parameters as a sentence shows them, without the cursor.
    pub(in crate::http) fn shown(&self) -> String {
        let named = self.0.iter().filter(|(name, _)| name != "cursor");
        named.map(|(name, value)| format!("{name}={}", value.escape_debug())).collect::<Vec<_>>().join(" ")
    }

    /// The same query with another value for `name`.
    pub(in crate::http) fn with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(given, _)| given != name);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(others).append_pair(name, value).finish()
    }
}

fn wrong(detail: String) -> Problem {
    Problem::bad_request("invalid-query", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Parameters, Problem> {
        Parameters::of(&format!("/api/jobs?{query}").parse().unwrap(), &["limit", "queue"])
    }

    fn said(problem: &Problem) -> String {
        format!("{problem:?}")
    }

    #[test]
    fn unknown_and_repeated_parameters_are_named() {
        let unknown = said(&of("limit=1&colour=red").unwrap_err());
        assert!(unknown.contains("`colour`") && unknown.contains("limit, queue"), "{unknown}");
        assert!(said(&of("limit=1&limit=2").unwrap_err()).contains("`limit` is there twice"));
        let none = said(&Parameters::of(&"/?a".parse().unwrap(), &[]).unwrap_err());
        assert!(none.contains("`a`; none is taken"), "{none}");
    }

    #[test]
    fn wrong_value_is_named_with_what_is_taken() {
        let asked = of("limit=x").unwrap();
        let wrong = asked.get("limit", "a number", |limit| limit.parse::<u8>().ok()).unwrap_err();
        assert!(said(&wrong).contains("`limit` is `x`; it takes a number."), "{wrong:?}");
        assert_eq!(asked.get("queue", "", |queue| Some(queue.to_owned())).unwrap(), None);
    }

    #[test]
    fn query_is_written_again_with_another_value() {
        let asked = of("queue=a%26b&limit=3").unwrap();
        assert_eq!(asked.with("limit", "5 6"), "queue=a%26b&limit=5+6");
        assert_eq!(of("").unwrap().with("limit", "1"), "limit=1");
    }
}
