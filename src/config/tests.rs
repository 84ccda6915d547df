use super::*;
use crate::queue::Policy;

fn with(name: &'static str, value: impl Into<config::Value>) -> Result<Config> {
    Config::load(None, vec![(name, value.into())])
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
    let config = with("broker.redis", "redis://:secret@127.0.0.1:6379/0").unwrap();
    let printed = config.to_toml().unwrap();
    assert!(!printed.contains("secret") && printed.contains("127.0.0.1:6379"), "{printed}");
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
        ("server.keep_alive", "0s", "server.keep_alive: 0ns is less than 1s"),
        ("server.max_connections", "0", "server.max_connections: 0 is not within 1 to 1000000"),
        ("server.link_lifetime", "0s", "server.link_lifetime: 0ns is not within 1s"),
        ("server.link_lifetime", "9000h", "server.link_lifetime: 32400000s is not within 1s and 8760h"),
    ] {
        let fault = with(name, value).unwrap_err().to_string();
        assert!(fault.contains(told), "{fault}");
    }
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
