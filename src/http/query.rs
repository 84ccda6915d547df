//! The query of a request, parameter by parameter: what is unknown, repeated or wrong is refused by its name.

use axum::http::Uri;
use url::form_urlencoded;

use super::Problem;

#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Of the request for `uri`, none of them unknown and each there once.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .try_fold(Self(Vec::new()), |given, (name, value)| given.and(name.into_owned(), value.into_owned(), known))
    }

    /// With one more, which must be known and not be there yet.
    pub(super) fn and(mut self, name: String, value: String, known: &[&str]) -> Result<Self, Problem> {
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

    /// The parameter `name`, if it is there. `takes` says what `parse` does not refuse, as in "it takes a word".
    pub(super) fn get<T>(
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

    /// The same query with another value for `name`.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
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
