//! Tasks that run beside the server and the workers, until these end.

use std::time::Duration;

use queue::Broker;
use tokio::time::sleep;
use tracing::{debug, error};

use crate::config::Config;
use crate::storage::Storage;

/// Time between two checks which store the queue's jobs belong to. A flushed queue is bound to its store again within
/// this time.
const STORE_WATCH: Duration = Duration::from_secs(1);
/// Time between two checks of the ballast.
const BALLAST_LOOK: Duration = Duration::from_secs(5);

/// Logs an ERROR when the queue gets bound to another store while this process runs, or when the store disappears.
pub(super) async fn watch_store(config: Config, storage: Storage, broker: Broker) {
    let folder = config.data_dir.display();
    let (mut mine, mut said) = (None, false);
    loop {
        let Some(id) = mine else {
            mine = storage.identity().ok();
            sleep(STORE_WATCH).await;
            continue;
        };
        let wrong = match (storage.identity_if_any(), broker.store_or(id).await) {
            (Ok(None), _) => Some(format!("the store in {folder} (data_dir) is gone: is its disk still mounted?")),
            (Ok(Some(other)), _) if other != id => Some(format!(
                "{folder} (data_dir) now holds the store {other}, and this process is at work on the store {id}: is its \
                 disk still mounted?"
            )),
            (_, Ok(theirs)) if theirs != id => Some(format!(
                "{broker} now has the jobs of the store {theirs}, and this process is at work on the store {id}: end it"
            )),
            (_, Ok(_)) => None,
            // Nothing is known about it at present.
            (_, Err(_)) => {
                sleep(STORE_WATCH).await;
                continue;
            }
        };
        storage.set_wrong(wrong.is_some());
        if let Some(wrong) = &wrong
            && !said
        {
            error!("{wrong}");
        }
        said = wrong.is_some();
        sleep(STORE_WATCH).await;
    }
}

/// Creates the ballast, and creates it again after it was used, as soon as there is room.
pub(super) async fn keep_ballast(storage: Storage) {
    loop {
        let kept = storage.clone();
        let kept = tokio::task::spawn_blocking(move || kept.keep_ballast());
        if let Err(error) = kept.await.expect("making a file does not panic") {
            debug!("the ballast cannot be made: {error}");
        }
        sleep(BALLAST_LOOK).await;
    }
}
