use queue::Policy;

use super::*;

fn with(name: &'static str, value: impl Into<toml::Value>) -> Result<Config> {
    Config::load(None, vec![(name, value.into())])
}

/// The settings with these environment variables, and optionally a file.
fn from_environment(file: Option<&str>, variables: &[(&str, &str)]) -> Result<Config> {
    let variables: Vec<_> = variables.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    let on_disk = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(on_disk.path(), file.unwrap_or_default()).unwrap();
    layers::read(file.map(|_| on_disk.path()), variables.into_iter(), vec![])
}

#[test]
fn embedded_defaults_are_valid_and_match_the_library() {
    let config = Config::load(None, vec![]).unwrap();
    assert_eq!(config.limits.imaging(), imaging::Limits::default());
    assert_eq!(config.queue.policy(), Policy::default());
}

#[test]
fn printed_settings_read_back() {
    let printed = Config::load(None, vec![]).unwrap().to_toml().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &printed).unwrap();
    assert_eq!(Config::load(Some(file.path()), vec![]).unwrap().to_toml().unwrap(), printed);
}

#[test]
fn password_is_not_printed() {
    let config = with("broker.redis", "redis://:sesame@127.0.0.1:6379/0").unwrap();
    let printed = config.to_toml().unwrap();
    assert!(!printed.contains("sesame") && printed.contains("127.0.0.1:6379"), "{printed}");
}

#[test]
fn secret_of_calls_is_not_printed() {
    let printed = with("calls.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap().to_toml().unwrap();
    assert!(!printed.contains("MfKQ") && printed.contains("secret = \"***\""), "{printed}");
}

#[test]
fn wrong_settings_of_calls_are_refused_by_name() {
    for (name, value, said) in [
        ("calls.urls", "ftp://a.example", "calls.urls: `ftp://a.example` is not a pattern of URLs"),
        ("calls.allow_private", "10.0.0.0/40", "calls.allow_private: `10.0.0.0/40` is not a network"),
        ("calls.secret", "whsec_c2hvcnQ=", "calls.secret: the secret has 5 bytes"),
        ("calls.timeout", "0s", "calls.timeout: 0s is no time"),
    ] {
        let fault = with(name, value).unwrap_err().to_string();
        assert!(fault.contains(said), "{name}: {fault}");
    }
    let long = "[worker]\nsoft_time_limit = \"30s\"\n[calls]\nurls = [\"pay.example\"]\ntimeout = \"26s\"";
    let fault = from_file(long).unwrap_err().to_string();
    assert!(fault.contains("calls.timeout: 26s exceeds worker.soft_time_limit less the 5s"), "{fault}");
    assert!(from_file(&long.replace("26s", "25s")).is_ok());
    assert!(from_file(&long.replace("pay.example", "").replace("\"\"", "")).is_ok(), "nobody is called");
}

fn from_file(text: &str) -> Result<Config> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load(Some(file.path()), vec![])
}

#[test]
fn key_without_scopes_submits_and_reads() {
    let sha256 = "0".repeat(64);
    let config = from_file(&format!("[auth]\nkeys = [{{ name = \"shop\", sha256 = \"{sha256}\" }}]")).unwrap();
    assert_eq!(config.auth.keys[0].scopes, [Scope::Submit, Scope::Read]);
}

#[test]
fn faulty_keys_are_refused_by_their_place() {
    let key = |fields: &str| {
        let keys = format!("[auth]\nkeys = [{{ sha256 = \"{}\", {fields} }}]", "0".repeat(64));
        format!("{:#}", from_file(&keys).unwrap_err())
    };
    assert!(key("name = \"\"").contains("auth.keys[0].name"));
    assert!(key("name = \"a\\nb\"").contains("auth.keys[0].name"));
    assert!(key("name = \"a\", scopes = []").contains("auth.keys[0].scopes"));
    let unknown = key("name = \"a\", scopes = [\"write\"]");
    assert!(unknown.contains("write") && unknown.contains("admin"), "{unknown}");
}

#[test]
fn origins_are_as_browsers_write_them() {
    let with_origins = |origins: &[&str]| with("server.cors_origins", origins.to_vec());
    for good in [&["https://shop.example"][..], &["http://localhost:3000", "https://a.example"], &["*"]] {
        assert!(with_origins(good).is_ok(), "{good:?}");
    }
    for bad in
        [&["shop.example"][..], &["https://shop.example/"], &["https://Shop.example"], &["https://a.example", "*"]]
    {
        let fault = with_origins(bad).unwrap_err().to_string();
        assert!(fault.contains("server.cors_origins"), "{bad:?}: {fault}");
    }
}

#[test]
fn faulty_proxies_sessions_and_addresses_are_refused_by_name() {
    for (name, value) in [
        ("server.base_path", "pixmill"),
        ("server.base_path", "/"),
        ("server.base_path", "/pixmill/"),
        ("server.base_path", "/a//b"),
        ("server.base_path", "/a/../b"),
        ("server.base_path", "/a b"),
        ("server.base_path", "/api"),
        ("server.base_path", "/files/x"),
        ("server.public_url", "pictures.example"),
        ("server.public_url", "https://pictures.example/under"),
        ("auth.session", "30s"),
    ] {
        let fault = with(name, value).unwrap_err().to_string();
        assert!(fault.contains(name) && fault.contains(value), "{fault}");
    }
    let fault = format!("{:#}", with("server.trusted_proxies", vec!["10.0.0.0/33"]).unwrap_err());
    assert!(fault.contains("10.0.0.0/33"), "{fault}");
}

#[test]
fn servers_limits_are_refused_by_name_and_bound() {
    for (name, value, told) in [
        ("server.idle_timeout", "100ms", "server.idle_timeout: 100ms is less than 1s"),
        ("server.keep_alive", "0s", "server.keep_alive: 0s is less than 1s"),
        ("server.max_connections", "0", "server.max_connections: 0 is not within 1 to 1000000"),
        ("server.link_lifetime", "0s", "server.link_lifetime: 0s is not within 1s"),
        ("server.link_lifetime", "9000h", "server.link_lifetime: 9000h is not within 1s and 8760h"),
    ] {
        let fault = with(name, value).unwrap_err().to_string();
        assert!(fault.contains(told), "{fault}");
    }
}

#[test]
fn workers_address_and_the_budget_of_bodies_are_refused_by_name() {
    for (text, told) in [
        ("[worker]\nlisten = \"nowhere\"", "worker.listen: `nowhere` is not an address such as 127.0.0.1:8080"),
        ("[limits]\nmax_buffered_bytes = 1000", "limits.max_buffered_bytes: 1000 is below 1048576"),
        ("[limits]\nmax_body_bytes = 200000000", "below twice limits.max_body_bytes (200000000)"),
    ] {
        let fault = format!("{:#}", from_file(text).unwrap_err());
        assert!(fault.contains(told), "{fault}");
    }
    assert_eq!(from_file("[worker]\nlisten = \"[::1]:9\"").unwrap().worker.address(), Ok("[::1]:9".parse().ok()));
}

#[test]
fn lease_shorter_than_three_beats_is_refused() {
    let fault = with("queue.lease", "10s").unwrap_err().to_string();
    assert!(fault.contains("queue.lease") && fault.contains("10s"), "{fault}");
}

#[test]
fn wrong_sources_are_refused_by_name() {
    for (name, value, said) in [
        ("sources.urls", "ftp://a.example", "sources.urls: `ftp://a.example` is not a pattern of URLs"),
        ("sources.allow_private", "10.0.0.0/40", "sources.allow_private: `10.0.0.0/40` is not a network"),
    ] {
        let fault = with(name, vec![value]).unwrap_err().to_string();
        assert!(fault.contains(said), "{fault}");
    }
    let fault = with("sources.folder", "pictures").unwrap_err().to_string();
    assert!(fault.contains("sources.folder: pictures is not an absolute path"), "{fault}");
    let fault = with("sources.timeout", "0s").unwrap_err().to_string();
    assert!(fault.contains("sources.timeout: 0s"), "{fault}");
}

#[test]
fn presets_are_parsed_and_wrong_ones_refused_by_name() {
    let presets = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let config = Config::load(Some(file.path()), vec![]).unwrap();
        let printed = config.to_toml().unwrap();
        std::fs::write(file.path(), printed).unwrap();
        Config::load(Some(file.path()), vec![]).unwrap().presets()
    };
    let both =
        presets("[presets]\nCard = [{ type = \"resize\", width = 80 }]\nnone = [{ type = \"flip\" }]\n").unwrap();
    assert_eq!(both.keys().collect::<Vec<_>>(), ["Card", "none"]);
    let fault = presets("[presets]\ncard = [{ type = \"resize\", width = 0 }]\n").unwrap_err().to_string();
    assert!(fault.starts_with("presets.card: operations[0].width: 0"), "{fault}");
    let fault = presets("[presets]\n\"a card\" = [{ type = \"flip\" }]\n").unwrap_err().to_string();
    assert!(fault.contains("`a card` is not a name"), "{fault}");
}

#[test]
fn unknown_setting_is_refused_by_name() {
    let fault = format!("{:#}", with("server.lisen", "127.0.0.1:1").unwrap_err());
    assert!(fault.contains("lisen"), "{fault}");
}

#[test]
fn environment_gives_numbers_lists_and_keys() {
    let sha256 = "0".repeat(64);
    let config = from_environment(
        None,
        &[
            ("PIXMILL__WORKER__CPU", "3"),
            ("PIXMILL__LIMITS__MIN_FREE_DISK", "0"),
            ("PIXMILL__WORKER__QUEUES", "critical, default"),
            ("PIXMILL__SOURCES__URLS", r#"["cdn.example.com"]"#),
            ("PIXMILL__BROKER__REDIS", "redis://:1234@10.0.0.1/"),
            ("PIXMILL__RETENTION__RECORDS", "7d"),
            ("PIXMILL__SERVER__LISTEN", ":9000"),
            ("PIXMILL__AUTH__KEYS__0__NAME", "123"),
            ("PIXMILL__AUTH__KEYS__0__SHA256", &sha256),
            ("PIXMILL__AUTH__KEYS__0__SCOPES", "read,submit"),
            ("PIXMILL__AUTH__KEYS__0__REQUESTS_PER_MINUTE", "60"),
            ("PIXMILL__QUEUE__ROUTES", r#"[{"kind": "image.*", "queue": "critical"}]"#),
            ("PIXMILL__PRESETS__CARD", r#"[{ type = "resize", width = 80 }]"#),
        ],
    )
    .unwrap();
    assert_eq!(config.worker.cpu, 3);
    assert_eq!(config.worker.queues, ["critical", "default"]);
    assert_eq!(config.sources.urls, ["cdn.example.com"]);
    assert_eq!(config.broker.redis, "redis://:1234@10.0.0.1/");
    assert_eq!(config.retention.records.as_secs(), 7 * 86_400);
    assert_eq!(config.server.listen, "0.0.0.0:9000".parse().unwrap());
    let key = &config.auth.keys[0];
    assert_eq!((key.name.as_str(), key.requests_per_minute), ("123", Some(60)));
    assert_eq!(key.scopes, [Scope::Read, Scope::Submit]);
    assert_eq!(config.queue.routes[0].queue, "critical");
    assert_eq!(config.presets().unwrap().keys().collect::<Vec<_>>(), ["card"]);
}

#[test]
fn items_of_a_list_from_the_environment_are_the_whole_list() {
    let file = "[server]\ncors_origins = [\"https://a.example\", \"https://b.example\"]";
    let variables = [("PIXMILL__SERVER__CORS_ORIGINS__0", "https://c.example")];
    assert_eq!(from_environment(Some(file), &variables).unwrap().server.cors_origins, ["https://c.example"]);
    let eleven: Vec<String> = (0..=10).map(|i| format!("PIXMILL__SERVER__CORS_ORIGINS__{i}")).collect();
    let variables: Vec<_> = eleven.iter().map(|name| (name.as_str(), "https://c.example")).collect();
    assert_eq!(from_environment(None, &variables).unwrap().server.cors_origins.len(), 11);
    let gap = [("PIXMILL__SERVER__CORS_ORIGINS__1", "https://c.example")];
    let fault = from_environment(None, &gap).unwrap_err().to_string();
    assert!(fault.contains("server.cors_origins.1: the list has no item 0"), "{fault}");
}

#[test]
fn all_faults_are_named_at_once_with_their_origins() {
    let file =
        "colour = 1\n[server]\nlisten = 5\nkeep_alives = \"1s\"\n[worker]\nniceness = 30\n[log]\nformat = \"xml\"";
    let variables = [
        ("PIXMILL__WORKER__CPU", "four"),
        ("PIXMILL__WORKER__IO", "20000"),
        ("PIXMILL_WORKER_QUEUES", "default"),
        ("PIXMILL__RETENTION__OUTPUTS", "1y"),
    ];
    let said = from_environment(Some(file), &variables).unwrap_err().to_string();
    for part in [
        "colour: there is no such setting (in ",
        "server.listen: invalid type: integer `5`",
        "server.keep_alives: there is no such setting; did you mean server.keep_alive? (in ",
        "worker.niceness: 30 is not within 0 to 19 (in ",
        "log.format: unknown variant `xml`",
        "worker.cpu: invalid type: string \"four\", expected usize (PIXMILL__WORKER__CPU)",
        "worker.io: 20000 exceeds 10000 (PIXMILL__WORKER__IO)",
        "PIXMILL_WORKER_QUEUES: there is no such setting; did you mean PIXMILL__WORKER__QUEUES?",
        "retention.outputs: `1y` has months or years",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(said.starts_with("9 settings are wrong:\n"), "{said}");
}

#[test]
fn file_that_an_editor_began_with_a_byte_order_mark_is_read() {
    assert_eq!(from_file("\u{feff}[worker]\ncpu = 2").unwrap().worker.cpu, 2);
}
