//! Waits in a request for the end of a group.

use queue::{EventKind, GroupId};
use tokio::time::Instant;

use super::feed::Heard;
use crate::http::{Services, groups};

/// Whether a group ends before `until`; returns as soon as it has ended. `false` also if the service shuts down first,
/// or if the broker does not say.
pub(in crate::http) async fn ends_before(services: &Services, group: GroupId, until: Instant) -> bool {
    let Ok(mut news) = services.feed.subscribe().await else { return false };
    loop {
        match groups::standing(services, group).await {
            Ok(Some((standing, _))) if standing.is_final() => return true,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return false,
        }
        loop {
            match news.next(until).await {
                Heard::News(events) => {
                    if events.iter().any(|event| event.group == group && event.kind == EventKind::Finished) {
                        break;
                    }
                }
                Heard::Gap => break,
                Heard::Silence | Heard::End => return false,
            }
        }
    }
}
