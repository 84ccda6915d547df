//! API keys: what each may do, and those that `pixmill keys` has created, as they lie in the store.
//!
//! A created key is a file `keys/<id>.json` of the data folder and not in the broker, whose loss would lock everybody
//! out or let revoked keys in. It never changes; revoking it renames it to `keys/<id>.revoked`, so that a service that
//! has had keys stays closed when the last one goes. Kept is the SHA-256: a key is 256 random bits, which nobody finds
//! by trying, so a slow hash would protect nothing and cost something at every request.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::config::{ApiKey, Scope};
use crate::storage::{self, Storage};

/// How long what was read of the folder is believed, and so how long a revoked key may still be taken.
const FRESH: Duration = Duration::from_secs(1);
/// What every created key begins with, for those who search code and logs for secrets.
pub const PREFIX: &str = "pxm_";
/// Random characters behind it: 62^43 is just above 2^256.
const RANDOM_CHARS: usize = 43;
const ID_CHARS: usize = 16;

/// A key as it is known: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The first digits of `sha256`.
    pub id: String,
    /// Groups belong to it: keys of one name are one caller, so that a key can be exchanged for another.
    pub name: String,
    /// Hexadecimal digits, small ones.
    pub sha256: String,
    pub scopes: Vec<Scope>,
    /// None for one from the configuration.
    pub created_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// Instead of `limits.requests_per_minute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Instead of `limits.uploads_per_minute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploads_per_minute: Option<u32>,
}

impl Key {
    /// One from `auth.keys`.
    pub fn configured(key: &ApiKey) -> Self {
        let sha256 = key.sha256.to_ascii_lowercase();
        Self {
            id: sha256[..ID_CHARS].into(),
            name: key.name.clone(),
            sha256,
            scopes: key.scopes.clone(),
            created_at: None,
            expires_at: None,
            requests_per_minute: key.requests_per_minute,
            uploads_per_minute: key.uploads_per_minute,
        }
    }

    /// Whether it may do what needs this scope.
    pub fn allows(&self, needed: Scope) -> bool {
        self.scopes.iter().any(|&scope| scope >= needed)
    }

    /// Whether `pixmill keys` has created it: 256 random bits, and not what somebody thought of.
    pub fn is_created(&self) -> bool {
        self.created_at.is_some()
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// The SHA-256 of a key in hexadecimal digits.
pub fn digest(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a key is created with.
#[derive(Debug)]
pub struct NewKey {
    pub name: String,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<Timestamp>,
    pub requests_per_minute: Option<u32>,
    pub uploads_per_minute: Option<u32>,
}

/// Creates a key; answers what is kept of it, and the key itself, which nobody can tell again. Blocks on the disk.
///
/// # Errors
/// When the store fails.
pub fn create(storage: &Storage, new: NewKey, now: Timestamp) -> storage::Result<(Key, String)> {
    let secret = random().map_err(|error| storage::Error::Failed(format!("no randomness for a key: {error}")))?;
    let sha256 = digest(&secret);
    let key = Key {
        id: sha256[..ID_CHARS].into(),
        name: new.name,
        sha256,
        scopes: new.scopes,
        created_at: Some(now),
        expires_at: new.expires_at,
        requests_per_minute: new.requests_per_minute,
        uploads_per_minute: new.uploads_per_minute,
    };
    let text = serde_json::to_vec_pretty(&key).expect("strings and times always serialise");
    if storage.create_private(&format!("keys/{}.json", key.id), &text)? {
        Ok((key, secret))
    } else {
        Err(storage::Error::Failed(format!("there is a key {} already; try again", key.id)))
    }
}

fn random() -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut key = PREFIX.to_owned();
    while key.len() < PREFIX.len() + RANDOM_CHARS {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes)?;
        // 248 is the largest multiple of 62 in a byte: what is above would make some characters likelier.
        let even = bytes.iter().filter(|&&byte| byte < 248).map(|&byte| char::from(ALPHABET[usize::from(byte % 62)]));
        key.extend(even.take(PREFIX.len() + RANDOM_CHARS - key.len()));
    }
    Ok(key)
}

/// Whether a service on this data folder has ever had a created key.
pub fn any(data_dir: &Path) -> bool {
    std::fs::read_dir(data_dir.join("keys")).is_ok_and(|mut entries| {
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(|name| parse(name).is_some())))
    })
}

/// All created keys, oldest first, and whether each is revoked. Blocks on the disk.
///
/// # Errors
/// When the store fails, or a file in it is no key.
pub fn list(storage: &Storage) -> storage::Result<Vec<(Key, bool)>> {
    let folder = storage.path("keys");
    let mut keys = Vec::new();
    for name in names(&folder).map_err(|error| failed(&folder, &error))? {
        let revoked = matches!(parse(&name), Some(Standing::Revoked));
        keys.push((read(&folder.join(&name)).map_err(|error| failed(&folder.join(&name), &error))?, revoked));
    }
    keys.sort_by_key(|(key, _)| key.created_at);
    Ok(keys)
}

/// Revokes a key by its id; answers whether it was there. Blocks on the disk.
///
/// # Errors
/// When the store fails.
pub fn revoke(storage: &Storage, id: &str) -> storage::Result<bool> {
    let folder = storage.path("keys");
    let file = |ending: &str| folder.join(format!("{id}.{ending}"));
    match std::fs::rename(file("json"), file("revoked")) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(&folder, &error)),
    }
    let synced = File::open(&folder).and_then(|folder| folder.sync_all());
    synced.map(|()| true).map_err(|error| failed(&folder, &error))
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Valid,
    Revoked,
}

/// What a file's name says; nothing of drafts and of what is not ours.
fn parse(name: &str) -> Option<Standing> {
    let (id, ending) = name.split_once('.')?;
    let is_id = id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    match ending {
        "json" if is_id => Some(Standing::Valid),
        "revoked" if is_id => Some(Standing::Revoked),
        _ => None,
    }
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok().filter(|name| parse(name).is_some()));
    }
    Ok(names)
}

fn read(file: &Path) -> io::Result<Key> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

fn failed(path: &Path, error: &io::Error) -> storage::Error {
    storage::Error::Failed(format!("{}: {error}", path.display()))
}

/// The created keys as a running service knows them, at most a second behind the folder.
#[derive(Debug)]
pub struct Keyring {
    folder: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    looked: Instant,
    listing: Arc<Listing>,
    /// Files that could not be read, told of once.
    told: HashSet<String>,
}

/// What lies in the folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// By file name.
    valid: BTreeMap<String, Arc<Key>>,
    /// There are keys, or have been, valid or not.
    any: bool,
}

impl Listing {
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.valid.values()
    }

    pub fn any(&self) -> bool {
        self.any
    }
}

impl Keyring {
    /// Reads the folder. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(storage: &Storage) -> storage::Result<Self> {
        let folder = storage.path("keys");
        let mut told = HashSet::new();
        let listing = look(&folder, &Listing::default(), &mut told).map_err(|error| failed(&folder, &error))?;
        Ok(Self { folder, known: Mutex::new(Known { looked: Instant::now(), listing: Arc::new(listing), told }) })
    }

    /// What lies in the folder; looked at again when the last look was a second ago.
    pub async fn listing(self: &Arc<Self>) -> Arc<Listing> {
        {
            let mut known = self.lock();
            if known.looked.elapsed() < FRESH {
                return known.listing.clone();
            }
            // Others go on with what is known until this look is through.
            known.looked = Instant::now();
        }
        let ring = self.clone();
        tokio::task::spawn_blocking(move || ring.look_again()).await.expect("looking into a folder does not panic")
    }

    /// What was there at the last look.
    pub fn latest(&self) -> Arc<Listing> {
        self.lock().listing.clone()
    }

    fn look_again(&self) -> Arc<Listing> {
        let (before, mut told) = {
            let known = self.lock();
            (known.listing.clone(), known.told.clone())
        };
        let found = look(&self.folder, &before, &mut told);
        let mut known = self.lock();
        match found {
            Ok(listing) => known.listing = Arc::new(listing),
            Err(error) => warn!("API keys may be out of date: {}: {error}", self.folder.display()),
        }
        known.told = told;
        known.listing.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key's file never changes, so only new ones are read.
fn look(folder: &Path, before: &Listing, told: &mut HashSet<String>) -> io::Result<Listing> {
    let names = names(folder)?;
    // Should the folder vanish under a running service, that does not open it to everybody.
    let mut listing = Listing { valid: BTreeMap::new(), any: before.any || !names.is_empty() };
    for name in names {
        if parse(&name) != Some(Standing::Valid) {
            continue;
        }
        let key = match before.valid.get(&name) {
            Some(key) => key.clone(),
            None => match read(&folder.join(&name)) {
                Ok(key) => Arc::new(key),
                // Revoked just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    if told.insert(name.clone()) {
                        warn!("{} is not taken for an API key: {error}", folder.join(&name).display());
                    }
                    continue;
                }
            },
        };
        listing.valid.insert(name, key);
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str) -> NewKey {
        let (expires_at, requests_per_minute, uploads_per_minute) = (None, None, None);
        NewKey { name: name.into(), scopes: vec![Scope::Read], expires_at, requests_per_minute, uploads_per_minute }
    }

    fn ids(listing: &Listing) -> Vec<&str> {
        listing.keys().map(|key| key.id.as_str()).collect()
    }

    #[test]
    fn created_keys_are_told_from_other_text_and_never_the_same() {
        let keys: HashSet<String> = (0..100).map(|_| random().unwrap()).collect();
        assert_eq!(keys.len(), 100);
        for key in keys {
            let rest = key.strip_prefix("pxm_").unwrap();
            assert!(rest.len() == 43 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
        }
    }

    #[test]
    fn key_itself_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::local(folder.path()).unwrap();
        let (key, secret) = create(&storage, new("shop"), Timestamp::now()).unwrap();
        assert_eq!(key.sha256, digest(&secret));
        let kept = std::fs::read_to_string(folder.path().join(format!("keys/{}.json", key.id))).unwrap();
        assert!(!kept.contains(&secret[4..]) && kept.contains("shop"), "{kept}");
        assert_eq!(list(&storage).unwrap(), [(key, false)]);
    }

    #[test]
    fn revoked_key_is_gone_and_leaves_the_service_closed() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::local(folder.path()).unwrap();
        let ring = Keyring::open(&storage).unwrap();
        assert!(!ring.look_again().any() && !any(folder.path()));
        let (key, _) = create(&storage, new("shop"), Timestamp::now()).unwrap();
        assert_eq!(ids(&ring.look_again()), [&key.id]);
        assert!(revoke(&storage, &key.id).unwrap());
        assert!(!revoke(&storage, &key.id).unwrap());
        let listing = ring.look_again();
        assert!(ids(&listing).is_empty() && listing.any() && any(folder.path()));
        assert!(Keyring::open(&storage).unwrap().look_again().any(), "after a restart, too");
        std::fs::remove_dir_all(folder.path().join("keys")).unwrap();
        assert!(ring.look_again().any(), "a folder that vanishes opens no running service");
    }

    #[test]
    fn damaged_file_costs_no_other_key() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::local(folder.path()).unwrap();
        let (key, _) = create(&storage, new("shop"), Timestamp::now()).unwrap();
        std::fs::write(folder.path().join("keys/0123456789abcdef.json"), "{").unwrap();
        assert_eq!(ids(&Keyring::open(&storage).unwrap().look_again()), [&key.id]);
    }

    #[test]
    fn scopes_include_the_smaller_ones() {
        let with = |scope| Key { scopes: vec![scope], ..sample() };
        let allowed = |scope| Scope::ALL.map(|needed| with(scope).allows(needed));
        assert_eq!(allowed(Scope::Read), [true, false, false]);
        assert_eq!(allowed(Scope::Submit), [true, true, false]);
        assert_eq!(allowed(Scope::Admin), [true, true, true]);
    }

    fn sample() -> Key {
        Key::configured(&ApiKey {
            name: "shop".into(),
            sha256: digest("sesame"),
            scopes: Vec::new(),
            requests_per_minute: None,
            uploads_per_minute: None,
        })
    }

    #[test]
    fn key_ends_at_its_time() {
        let end: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let key = Key { expires_at: Some(end), ..sample() };
        assert!(key.is_expired(end) && !key.is_expired(end - Duration::from_nanos(1)) && !sample().is_expired(end));
    }
}
