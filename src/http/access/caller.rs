use std::sync::Arc;

use jiff::Timestamp;

use crate::auth::keys::{self, Key};
use crate::config::Scope;
use crate::submission::Meta;

/// The sender of a request: a key, or a program of this machine if there are no keys.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    key: Option<Arc<Key>>,
    /// When the login ends, if the key came by a login.
    login_end: Option<Timestamp>,
}

impl Caller {
    pub(super) fn local() -> Self {
        Self { key: None, login_end: None }
    }

    pub(super) fn with(key: Arc<Key>) -> Self {
        Self { key: Some(key), login_end: None }
    }

    pub(super) fn logged_in(key: Arc<Key>, end: Timestamp) -> Self {
        Self { key: Some(key), login_end: Some(end) }
    }

    pub(super) fn key(&self) -> Option<&Key> {
        self.key.as_deref()
    }

    pub(super) fn is_logged_out(&self, now: Timestamp) -> bool {
        self.login_end.is_some_and(|end| end <= now)
    }

    pub(in crate::http) fn allows(&self, needed: Scope) -> bool {
        self.key().is_none_or(|key| key.allows(needed))
    }

    /// Its scopes, as text for people.
    pub(in crate::http) fn scopes(&self) -> String {
        let scopes = self.key().map_or(&[][..], |key| &key.scopes);
        scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The name that its groups belong to.
    pub(in crate::http) fn owner(&self) -> Option<&str> {
        self.key().map(|key| key.name.as_str())
    }

    /// Whether it may see a group.
    pub(in crate::http) fn sees(&self, meta: &Meta) -> bool {
        self.sees_owned_by(meta.owner.as_deref())
    }

    /// Whether it may see what belongs to `owner`. Everybody may see what has no owner.
    pub(in crate::http) fn sees_owned_by(&self, owner: Option<&str>) -> bool {
        self.sees_all() || owner.is_none() || owner == self.owner()
    }

    /// Whether it may change a group. Only `admin` may change a group without an owner.
    pub(in crate::http) fn owns(&self, meta: &Meta) -> bool {
        self.sees_all() || meta.owner.as_deref() == self.owner()
    }

    /// Whether it may see everything, so that owners need not be looked up.
    pub(in crate::http) fn sees_all(&self) -> bool {
        self.allows(Scope::Admin)
    }

    /// A word that is the same for all keys of one name and reveals nothing about them.
    pub(in crate::http) fn word(&self) -> String {
        self.owner().map_or_else(|| "local".into(), |name| keys::digest(name)[..16].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ApiKey;
    use queue::Group;
    use queue::GroupId;

    fn caller(name: &str, scopes: &[Scope]) -> Caller {
        Caller::with(Arc::new(Key::configured(&ApiKey {
            name: name.into(),
            sha256: keys::digest("sesame"),
            scopes: scopes.to_vec(),
            requests_per_minute: None,
            uploads_per_minute: None,
        })))
    }

    #[test]
    fn groups_are_seen_by_keys_of_their_owners_name_and_by_admin() {
        let owned = Meta { owner: Some("shop".into()), ..Meta::default() };
        assert!(caller("shop", &[Scope::Read]).sees(&owned) && caller("shop", &[Scope::Submit]).sees(&owned));
        assert!(!caller("blog", &[Scope::Submit, Scope::Read]).sees(&owned));
        assert!(caller("blog", &[Scope::Admin]).sees(&owned) && Caller::local().sees(&owned));
    }

    #[test]
    fn what_was_made_without_keys_is_seen_by_all_and_changed_by_admin() {
        let (nobodys, blog) = (Meta::default(), caller("blog", &[Scope::Submit, Scope::Read]));
        assert!(blog.sees(&nobodys) && !blog.owns(&nobodys));
        assert!(caller("ops", &[Scope::Admin]).owns(&nobodys) && Caller::local().owns(&nobodys));
        let own = Meta { owner: Some("blog".into()), ..Meta::default() };
        assert!(blog.owns(&own) && !caller("shop", &[Scope::Submit]).owns(&own));
    }

    #[test]
    fn what_the_service_does_for_itself_and_what_says_nothing_readable_is_for_admin() {
        let group = |meta: &'static str| {
            Meta::of(&Group {
                id: GroupId::new(),
                total: 1,
                pending: 1,
                succeeded: 0,
                failed: 0,
                cancelled: 0,
                sealed: true,
                meta: meta.into(),
                created_at: Timestamp::UNIX_EPOCH,
                finished_at: None,
                cancelling: false,
                then: None,
                fired: false,
            })
        };
        for meta in [Meta::service(), group(""), group("{"), group(r#"{"owner": 7}"#)] {
            assert!(!caller("blog", &[Scope::Submit, Scope::Read]).sees(&meta), "{meta:?}");
            assert!(caller("ops", &[Scope::Admin]).sees(&meta) && Caller::local().sees(&meta), "{meta:?}");
        }
        assert!(caller("blog", &[Scope::Read]).sees(&group("{}")), "made without keys");
    }

    #[test]
    fn keys_of_one_name_share_their_word() {
        assert_eq!(caller("shop", &[Scope::Read]).word(), caller("shop", &[Scope::Admin]).word());
        assert_ne!(caller("shop", &[]).word(), caller("blog", &[]).word());
        assert_ne!(caller("local", &[]).word(), Caller::local().word());
    }
}
