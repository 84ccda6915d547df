//! API keys: their rights, and the storage of keys that `pixmill keys` created.
//!
//! A created key is a file `keys/<id>.json` in the data folder. It is not in the broker, because the loss of the broker
//! would lock everybody out or let revoked keys in. The file never changes. Revoking the key renames it to
//! `keys/<id>.revoked`, so that a service which once had keys stays closed when the last one is revoked. The file has
//! the SHA-256 of the key. A key is 256 random bits, which cannot be guessed, so a slow hash would cost time at every
//! request and protect nothing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::{error, warn};

use crate::config::{ApiKey, Scope};
use crate::storage::{self, Storage};

/// How long a listing of the folder is used, and therefore how long a revoked key may still be accepted.
const FRESH: Duration = Duration::from_secs(1);
/// How long a listing is used while the folder cannot be read.
const BELIEVED: Duration = Duration::from_mins(1);
/// Prefix of every created key, by which secret scanners find keys in code and logs.
pub const PREFIX: &str = "pxm_";
/// Random characters after the prefix: 62^43 is just above 2^256.
const RANDOM_CHARS: usize = 43;
const ID_CHARS: usize = 16;

/// An API key as the service knows it: its hash and never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The first digits of `sha256`.
    pub id: String,
    /// The owner of groups. Keys with the same name are the same caller, so that a key can be replaced by another.
    pub name: String,
    /// Hexadecimal digits in lower case.
    pub sha256: String,
    pub scopes: Vec<Scope>,
    /// `None` for a key in the configuration.
    pub created_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// Replaces `limits.requests_per_minute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Replaces `limits.uploads_per_minute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploads_per_minute: Option<u32>,
}

impl Key {
    /// A key of `auth.keys`.
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

    /// Whether the key allows what needs this scope.
    pub fn allows(&self, needed: Scope) -> bool {
        self.scopes.iter().any(|&scope| scope >= needed)
    }

    /// Whether `pixmill keys` created the key. Such a key is 256 random bits, and was not chosen by a person.
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

/// The fields of a new key.
#[derive(Debug)]
pub struct NewKey {
    pub name: String,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<Timestamp>,
    pub requests_per_minute: Option<u32>,
    pub uploads_per_minute: Option<u32>,
}

/// Creates a key. Returns its record and the key itself, which cannot be recovered later. Blocks on the disk.
///
/// # Errors
/// If the store fails.
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
    if storage.create_private(&format!("{FOLDER}/{}.json", key.id), &text)? {
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
        // 248 is the largest multiple of 62 in a byte. Larger values would make some characters more likely.
        let even = bytes.iter().filter(|&&byte| byte < 248).map(|&byte| char::from(ALPHABET[usize::from(byte % 62)]));
        key.extend(even.take(PREFIX.len() + RANDOM_CHARS - key.len()));
    }
    Ok(key)
}

/// Whether the data folder has, or ever had, a created key.
pub fn any(data_dir: &Path) -> bool {
    Storage::visit(data_dir)
        .is_ok_and(|store| store.is_some_and(|store| names(&store).is_ok_and(|names| !names.is_empty())))
}

/// The file names of all keys, including revoked keys.
fn names(storage: &Storage) -> storage::Result<Vec<String>> {
    Ok(storage.private_names(FOLDER)?.into_iter().filter(|name| is_ours(name)).collect())
}

/// All created keys. Blocks on the disk.
///
/// # Errors
/// If the folder cannot be read.
pub fn list(storage: &Storage) -> storage::Result<Listing> {
    look(storage, &Listing::default())
}

/// Revokes the key with this id; returns whether it existed. Blocks on the disk.
///
/// # Errors
/// If the store fails.
pub fn revoke(storage: &Storage, id: &str) -> storage::Result<bool> {
    storage.rename_private(&format!("{FOLDER}/{id}.json"), &format!("{FOLDER}/{id}{REVOKED}"))
}

/// The folder of keys in the store.
const FOLDER: &str = "keys";
/// Ending of a revoked key's file name.
const REVOKED: &str = ".revoked";

/// Whether a file name is that of a key, and not of a draft or a foreign file.
fn is_ours(name: &str) -> bool {
    let id = name.strip_suffix(".json").or_else(|| name.strip_suffix(REVOKED));
    id.is_some_and(|id| id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Reads a key's file; `None` if it does not exist.
fn read(storage: &Storage, name: &str) -> storage::Result<Option<Key>> {
    let Some(text) = storage.read_private(&format!("{FOLDER}/{name}"))? else { return Ok(None) };
    let key: Key = serde_json::from_slice(&text).map_err(|error| storage::Error::Failed(error.to_string()))?;
    // A key under another file name could not be revoked.
    match name.split_once('.') {
        Some((id, _)) if id == key.id => Ok(Some(key)),
        _ => Err(storage::Error::Failed(format!("it is that of key {}", key.id))),
    }
}

/// The created keys as a running service knows them, at most a second old.
#[derive(Debug)]
pub struct Keyring {
    storage: Storage,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// When the latest reading of the folder began.
    looked: Instant,
    /// When the reading began that returned `listing`.
    from: Instant,
    listing: Arc<Listing>,
    /// When the first of the failed readings since then began.
    failing: Option<Instant>,
}

/// The contents of the folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// All keys by file name, including revoked keys.
    files: BTreeMap<String, Arc<Key>>,
    /// Files that cannot be read, and why.
    damaged: BTreeMap<String, String>,
    /// Whether keys exist or existed, valid or not.
    any: bool,
    lost: bool,
}

impl Listing {
    /// The listing for a folder that cannot be read. It has no keys, because none could be trusted.
    pub fn lost(any: bool) -> Self {
        Self { any, lost: true, ..Self::default() }
    }

    /// The keys that are not revoked.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.all().filter(|(_, revoked)| !revoked).map(|(key, _)| key)
    }

    /// All keys, each with whether it is revoked.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<Key>, bool)> {
        self.files.iter().map(|(name, key)| (key, name.ends_with(REVOKED)))
    }

    /// Files that are not accepted as keys, and why.
    pub fn damaged(&self) -> impl Iterator<Item = (&str, &str)> {
        self.damaged.iter().map(|(file, reason)| (file.as_str(), reason.as_str()))
    }

    pub fn any(&self) -> bool {
        self.any
    }

    /// Whether the folder has been unreadable for so long that revoked keys might be accepted.
    pub fn is_lost(&self) -> bool {
        self.lost
    }
}

impl Keyring {
    /// Reads the folder. Blocks on the disk.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn open(storage: &Storage) -> storage::Result<Self> {
        let (began, listing) = (Instant::now(), list(storage)?);
        warn_of_damaged(&listing, &Listing::default());
        let known = Known { looked: began, from: began, listing: Arc::new(listing), failing: None };
        Ok(Self { storage: storage.clone(), known: Mutex::new(known) })
    }

    /// The contents of the folder, read again if the last reading is more than a second old.
    pub async fn listing(self: &Arc<Self>) -> Arc<Listing> {
        let began = Instant::now();
        {
            let mut known = self.lock();
            if began.saturating_duration_since(known.looked) < FRESH {
                return known.listing.clone();
            }
            // Other requests use the known listing until this reading ends.
            known.looked = began;
        }
        let ring = self.clone();
        tokio::task::spawn_blocking(move || ring.look_again(began)).await.expect("looking into a folder does not panic")
    }

    /// The contents at the last reading.
    pub fn latest(&self) -> Arc<Listing> {
        self.lock().listing.clone()
    }

    fn look_again(&self, began: Instant) -> Arc<Listing> {
        let found = look(&self.storage, &self.latest());
        self.learn(found, began)
    }

    /// Takes the result of a reading.
    fn learn(&self, found: storage::Result<Listing>, began: Instant) -> Arc<Listing> {
        let mut known = self.lock();
        match found {
            // A later reading has ended before this one, and knows better which keys are revoked.
            _ if began < known.from => {}
            Ok(mut listing) => {
                // If the folder disappears under a running service, that must not open the service to everybody.
                listing.any |= known.listing.any;
                warn_of_damaged(&listing, &known.listing);
                (known.from, known.listing, known.failing) = (began, Arc::new(listing), None);
            }
            Err(error) => {
                let since = *known.failing.get_or_insert(began);
                if began.saturating_duration_since(since) < BELIEVED {
                    warn!("API keys may be out of date: {error}");
                } else {
                    error!("created API keys are refused until their folder can be read: {error}");
                    known.listing = Arc::new(Listing::lost(known.listing.any));
                }
            }
        }
        known.listing.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs each damaged file once.
fn warn_of_damaged(listing: &Listing, before: &Listing) {
    for (file, reason) in listing.damaged().filter(|(file, _)| !before.damaged.contains_key(*file)) {
        warn!("{file} is not taken for an API key: {reason}");
    }
}

/// Reads the folder. A key's file never changes, so only new files are read. An unreadable file affects no other key.
fn look(storage: &Storage, before: &Listing) -> storage::Result<Listing> {
    let names = names(storage)?;
    let mut listing = Listing { any: !names.is_empty(), ..Listing::default() };
    for name in names {
        let known = before.files.get(&name).cloned();
        match known.map_or_else(|| read(storage, &name).map(|key| key.map(Arc::new)), |known| Ok(Some(known))) {
            Ok(Some(key)) => drop(listing.files.insert(name, key)),
            // It has just been revoked.
            Ok(None) => {}
            Err(error) => {
                listing.damaged.insert(storage.shown(&format!("{FOLDER}/{name}")), error.to_string());
            }
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
        assert!(list(&storage).unwrap().all().eq([(&Arc::new(key), false)]));
    }

    #[test]
    fn revoked_key_is_gone_and_leaves_the_service_closed() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::local(folder.path()).unwrap();
        let ring = Keyring::open(&storage).unwrap();
        assert!(!ring.look_again(Instant::now()).any() && !any(folder.path()));
        let (key, _) = create(&storage, new("shop"), Timestamp::now()).unwrap();
        assert_eq!(ids(&ring.look_again(Instant::now())), [&key.id]);
        assert!(revoke(&storage, &key.id).unwrap());
        assert!(!revoke(&storage, &key.id).unwrap());
        let listing = ring.look_again(Instant::now());
        assert!(ids(&listing).is_empty() && listing.any() && any(folder.path()));
        assert!(Keyring::open(&storage).unwrap().look_again(Instant::now()).any(), "after a restart, too");
        std::fs::remove_dir_all(folder.path().join("keys")).unwrap();
        assert!(ring.look_again(Instant::now()).any(), "a folder that vanishes opens no running service");
    }

    #[test]
    fn damaged_file_costs_no_other_key() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::local(folder.path()).unwrap();
        let (key, _) = create(&storage, new("shop"), Timestamp::now()).unwrap();
        let path = |id: &str| folder.path().join(format!("keys/{id}.json"));
        std::fs::write(path("0123456789abcdef"), "{").unwrap();
        std::fs::copy(path(&key.id), path("fedcba9876543210")).unwrap();
        assert_eq!(ids(&Keyring::open(&storage).unwrap().look_again(Instant::now())), [&key.id]);
        let listing = list(&storage).unwrap();
        let damaged: Vec<_> = listing.damaged().map(|(file, _)| file.to_owned()).collect();
        assert_eq!(damaged, [path("0123456789abcdef"), path("fedcba9876543210")]);
        assert!(revoke(&storage, &key.id).unwrap());
        assert!(list(&storage).unwrap().all().all(|(_, revoked)| revoked), "a copy of it does not go on");
    }

    #[test]
    fn look_that_was_overtaken_brings_no_revoked_key_back() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::local(folder.path()).unwrap();
        let (key, _) = create(&storage, new("shop"), Timestamp::now()).unwrap();
        let ring = Keyring::open(&storage).unwrap();
        let began = Instant::now();
        let slow = look(&ring.storage, &ring.latest());
        assert!(revoke(&storage, &key.id).unwrap());
        assert!(ids(&ring.look_again(began + FRESH)).is_empty());
        assert!(ids(&ring.learn(slow, began)).is_empty());
    }

    #[test]
    fn keys_in_a_folder_that_cannot_be_read_are_taken_for_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::local(folder.path()).unwrap();
        let (key, _) = create(&storage, new("shop"), Timestamp::now()).unwrap();
        let (ring, start) = (Keyring::open(&storage).unwrap(), Instant::now());
        let look = |seconds| ring.look_again(start + Duration::from_secs(seconds));
        let (there, away) = (folder.path().join("keys"), folder.path().join("away"));
        std::fs::rename(&there, &away).unwrap();
        std::fs::write(&there, "no folder").unwrap();
        for seconds in [3600, 3659] {
            assert_eq!(ids(&look(seconds)), [&key.id]);
        }
        let lost = look(3660);
        assert!(ids(&lost).is_empty() && lost.is_lost() && lost.any(), "{lost:?}");
        std::fs::remove_file(&there).unwrap();
        std::fs::rename(&away, &there).unwrap();
        let again = look(3661);
        assert!(ids(&again) == [&key.id] && !again.is_lost(), "{again:?}");
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
