use super::{Fetcher, Signer, Turns};

/// How calls are made, as the settings say.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// `None` where `calls.urls` is empty: no calls are made.
    pub fetcher: Option<Fetcher>,
    pub turns: Turns,
    /// `None` where calls are not signed.
    pub signer: Option<Signer>,
}
