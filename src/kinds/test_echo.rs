//! `test.echo`: returns its text. It shows what a kind needs, and exists only in tests.

use serde::{Deserialize, Serialize};

use super::{Context, Done, Kind, Run};
use crate::errors::Failure;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestEcho {
    /// The job fails for good if the text is `wrong`.
    pub text: String,
}

impl Kind for TestEcho {
    const QUEUE: &str = "default";
}

impl Run for TestEcho {
    async fn run(&self, _: &Context) -> Result<Done, Failure> {
        if self.text == "wrong" {
            return Err(Failure::permanent("internal", "there is nothing to echo"));
        }
        Ok(Done::with(self))
    }
}

#[cfg(test)]
mod tests {
    use queue::{Broker, Policy};

    use super::*;
    use crate::kinds::Payload;
    use crate::metrics::Metrics;
    use crate::net::Calls;
    use crate::sources::Places;
    use crate::storage::Storage;

    #[tokio::test]
    async fn echo_is_read_back_and_carried_out() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context {
            broker: Broker::open_sqlite(&folder.path().join("queue.db"), Policy::default()).unwrap(),
            storage: Storage::local(folder.path()).unwrap(),
            sources: Places::default(),
            limits: imaging::Limits::default(),
            calls: Calls::default(),
            workflows: None,
            metrics: Metrics::default(),
            job: queue::JobId::new(),
            request_id: None,
        };
        for (text, wanted) in [("hello", Ok(r#"{"success":true,"text":"hello"}"#)), ("wrong", Err("internal"))] {
            let payload = Payload::TestEcho(TestEcho { text: text.into() });
            let read = Payload::from_bytes(&payload.to_bytes(None)).unwrap();
            assert_eq!((read.kind(), read.default_queue()), ("test.echo", "default"));
            match (read.run(&context).await, wanted) {
                (Ok(Done::Result(result)), Ok(wanted)) => assert_eq!(result, wanted),
                (Err(failure), Err(code)) => assert_eq!(failure.code, code),
                (outcome, wanted) => panic!("{outcome:?} instead of {wanted:?}"),
            }
        }
    }
}
