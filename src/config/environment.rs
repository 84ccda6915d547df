//! Settings from environment variables: `PIXMILL__SERVER__LISTEN` is `server.listen`, `PIXMILL__AUTH__KEYS__0__NAME` the
//! name of the first of `auth.keys`. With `_FILE` at its end, a variable names a file that holds the value.
//!
//! The names have only letters, digits and underscores, because systemd, bash and Kubernetes accept no others.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::nearest::nearest;

const PREFIX: &str = "PIXMILL__";
/// Variables that are not settings: those of the command line, of the project's own tools and of docker-compose.yml.
/// Tests and benchmarks also use variables that begin with `PIXMILL_TEST_` and `PIXMILL_BENCH_`.
const OTHERS: [&str; 10] = [
    "PIXMILL_CONFIG",
    "PIXMILL_API_KEY",
    "PIXMILL_BIN",
    "PIXMILL_CORPUS",
    "PIXMILL_DUMP",
    "PIXMILL_KEY_NAME",
    "PIXMILL_KEY_SHA256",
    "PIXMILL_OPERATIONS",
    "PIXMILL_SEED",
    "PIXMILL_TELL",
];

/// Whether the user chooses the names in a section.
pub(super) fn is_named_by_user(section: &str) -> bool {
    matches!(section, "presets" | "schedules" | "workflows")
}

/// A setting as the environment has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub name: String,
    /// The parts of the setting's name; a number is an index into a list.
    pub path: Vec<String>,
    pub text: String,
}

/// The settings among `variables`, and the faults of the others. The settings are sorted, so that the items of a list
/// are in order. `known` are the dotted names of all settings.
pub(super) fn read(
    variables: impl Iterator<Item = (OsString, OsString)>,
    known: &[String],
) -> (Vec<Variable>, Vec<String>) {
    let mut found: BTreeMap<Vec<Part>, Variable> = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("PIXMILL_")) else { continue };
        let ours = OTHERS.contains(&name) || name.starts_with("PIXMILL_TEST_") || name.starts_with("PIXMILL_BENCH_");
        if ours || is_service_link(name) {
            continue;
        }
        match variable(name, value, known) {
            Ok(variable) => {
                let order = variable.path.iter().map(|part| Part::of(part)).collect();
                if let Some(other) = found.insert(order, variable) {
                    faults.push(format!("{name} and {} are the same setting: leave one out", other.name));
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    (found.into_values().collect(), faults)
}

/// A part of a name. In this order, item 10 of a list follows item 9.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Index(usize),
    Name(String),
}

impl Part {
    fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Index)
    }
}

fn variable(name: &str, value: OsString, known: &[String]) -> Result<Variable, String> {
    let Some(rest) = name.strip_prefix(PREFIX) else { return Err(unknown(name, known)) };
    let mut path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
    if let Some((start, index)) = rest.split_once('[') {
        let index = index.replacen(']', "", 1);
        return Err(format!("{name}: write an index as a part of its own: {PREFIX}{start}__{index}"));
    }
    if path.iter().any(String::is_empty) {
        return Err(unknown(name, known));
    }
    let Ok(mut text) = value.into_string() else { return Err(format!("{name}: the value is not UTF-8")) };
    let last = path.last_mut().expect("split gives one part at least");
    if let Some(plain) = last.strip_suffix("_file") {
        *last = plain.to_owned();
        let content = std::fs::read_to_string(&text);
        let content = content.map_err(|error| format!("{name}: cannot read {}: {error}", text.escape_debug()))?;
        content.trim_end_matches(['\r', '\n']).clone_into(&mut text);
    }
    if !is_known(&path, known) {
        return Err(unknown(name, known));
    }
    Ok(Variable { name: name.to_owned(), path, text })
}

/// Whether `path` is a setting, a part of a list or table, or a section.
fn is_known(path: &[String], known: &[String]) -> bool {
    let path = path.join(".");
    known.iter().any(|setting| {
        path.strip_prefix(setting.as_str())
            .is_some_and(|rest| rest.is_empty() || is_named_by_user(setting) && rest.starts_with('.') || is_item(rest))
    })
}

/// Whether `rest`, the part after a setting's name, is an item of a list: `.0`, `.0.name`.
fn is_item(rest: &str) -> bool {
    rest.strip_prefix('.').and_then(|rest| rest.split('.').next()).is_some_and(|index| index.parse::<usize>().is_ok())
}

fn unknown(name: &str, known: &[String]) -> String {
    let as_variable = |setting: &String| format!("{PREFIX}{}", setting.replace('.', "__").to_ascii_uppercase());
    let names = known.iter().map(as_variable).chain(OTHERS[..2].iter().map(|&other| other.to_owned()));
    match nearest(name, names) {
        Some(meant) => format!("{name}: there is no such setting; did you mean {meant}?"),
        None => format!("{name}: there is no such setting; `pixmill config print --defaults` shows all"),
    }
}

/// Whether Kubernetes sets this variable for a service whose name is or begins with `pixmill`: `PIXMILL_SERVICE_HOST`,
/// `PIXMILL_PORT_8080_TCP_ADDR`, `PIXMILL_REDIS_PORT`.
fn is_service_link(name: &str) -> bool {
    let rest = name.strip_prefix("PIXMILL").unwrap_or(name);
    if rest.starts_with("__") {
        return false;
    }
    let of_port = |rest: &str| {
        let mut parts = rest.split('_');
        let number = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
        let protocol = matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"));
        number && protocol && matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR")) && parts.next().is_none()
    };
    rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_PORT")
        || rest.contains("_SERVICE_PORT_")
        || rest.match_indices("_PORT_").any(|(at, found)| of_port(&rest[at + found.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<Variable, String> {
        let known = ["server.listen", "auth.keys", "broker.redis", "presets"].map(str::to_owned);
        let (mut variables, mut faults) = read(std::iter::once((name.into(), value.into())), &known);
        variables.pop().ok_or_else(|| faults.pop().unwrap_or_default())
    }

    #[test]
    fn names_that_every_shell_takes_reach_lists_and_tables() {
        let path = |name: &str| one(name, "x").unwrap().path.join(".");
        assert_eq!(path("PIXMILL__SERVER__LISTEN"), "server.listen");
        assert_eq!(path("PIXMILL__AUTH__KEYS__0__NAME"), "auth.keys.0.name");
        assert_eq!(path("PIXMILL__PRESETS__CARD"), "presets.card");
    }

    #[test]
    fn near_misses_are_named() {
        for (name, meant) in [
            ("PIXMILL_SERVER_LISTEN", "PIXMILL__SERVER__LISTEN?"),
            ("PIXMILL__SERVER__LISTN", "PIXMILL__SERVER__LISTEN?"),
            ("PIXMILL_APIKEY", "PIXMILL_API_KEY?"),
            ("PIXMILL__AUTH__KEYS[0]__NAME", "PIXMILL__AUTH__KEYS__0__NAME"),
        ] {
            let fault = one(name, "x").unwrap_err();
            assert!(fault.starts_with(name) && fault.ends_with(meant), "{fault}");
        }
        assert!(one("PIXMILL_ZZZ", "x").unwrap_err().contains("there is no such setting"));
        assert!(one("PIXMILL__SERVER____LISTEN", "x").unwrap_err().contains("did you mean"));
        assert!(one("PIXMILL__SERVER__LISTEN__X", "x").is_err());
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_of_this_name_is_left_alone() {
        for name in [
            "PIXMILL_SERVICE_HOST",
            "PIXMILL_SERVICE_PORT",
            "PIXMILL_SERVICE_PORT_HTTP",
            "PIXMILL_PORT",
            "PIXMILL_PORT_8080_TCP",
            "PIXMILL_PORT_8080_TCP_ADDR",
            "PIXMILL_REDIS_PORT_6379_TCP_PROTO",
        ] {
            assert_eq!(one(name, "x"), Err(String::new()), "{name}");
        }
        assert!(one("PIXMILL_PORT_8080", "x").unwrap_err().contains("no such setting"));
    }

    #[test]
    fn value_comes_from_the_file_that_a_variable_names() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "redis://:s3cret@10.0.0.1/\n").unwrap();
        let variable = one("PIXMILL__BROKER__REDIS_FILE", file.path().to_str().unwrap()).unwrap();
        assert_eq!(
            (variable.path.join("."), variable.text.as_str()),
            ("broker.redis".into(), "redis://:s3cret@10.0.0.1/")
        );
        let fault = one("PIXMILL__BROKER__REDIS_FILE", "/no/such").unwrap_err();
        assert!(fault.starts_with("PIXMILL__BROKER__REDIS_FILE: cannot read /no/such"), "{fault}");
        let both = [("PIXMILL__BROKER__REDIS", "a"), ("PIXMILL__BROKER__REDIS_FILE", file.path().to_str().unwrap())];
        let (_, faults) =
            read(both.map(|(name, value)| (name.into(), value.into())).into_iter(), &["broker.redis".into()]);
        assert!(faults[0].contains("are the same setting"), "{faults:?}");
    }
}
