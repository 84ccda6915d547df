//! A step of a workflow that is made of pictures.

use super::manifest::Then;
use super::{Asked, Circumstances, Error, Meta, Rejected, Submission, Wanted};
use crate::config;
use crate::kinds::Context;

/// The pictures of a step, and what is to be done with them.
pub(crate) struct PictureStep {
    pub(crate) group: queue::GroupId,
    pub(crate) meta: Meta,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) asked: Asked,
    pub(crate) then: Then,
}

/// What became of a step.
pub(crate) enum Begun {
    Enqueued,
    /// No source of it can be taken.
    Rejected(Vec<Rejected>),
}

impl PictureStep {
    /// Takes the sources and enqueues the step's group. Carried out twice, it makes the same group.
    ///
    /// # Errors
    /// As for a submission.
    pub(crate) async fn begin(
        self,
        context: &Context,
        settings: &config::Queue,
        max_files: usize,
    ) -> Result<Begun, Error> {
        let Context { broker, storage, sources, limits, .. } = context;
        let Self { group, meta, wanted, asked, then } = self;
        let owner = meta.owner.clone();
        let sees = |other: &Meta| other.owner.is_none() || other.owner == owner;
        let mut submission = Submission::begin_as(group, storage.clone(), limits.clone(), meta);
        // A late attempt that is given up takes nothing from the one that made the group.
        submission.owed = true;
        let bounds = (max_files, wanted.len() == 1);
        for source in &wanted {
            submission.take(source, sources, broker, &sees, bounds).await?;
        }
        if submission.is_hopeless() {
            return Ok(Begun::Rejected(std::mem::take(&mut submission.rejected)));
        }
        let Asked { operations, options } = &asked;
        let terms = options.terms(operations.clone(), settings);
        let listed = submission.listed.take();
        let listed = listed.map(|keys| super::Listed::new(keys, terms.clone(), options.chunk(), settings));
        let mut meta = std::mem::take(&mut submission.meta);
        meta.rejected = std::mem::take(&mut submission.rejected);
        meta.listed = listed.as_ref().map(|listed| listed.keys.len() as u32);
        let circumstances = Circumstances {
            eta: options.eta,
            expires: options.expires,
            keep: options.retention.unwrap_or_default(),
            listed,
            then: Some(then),
            ..Circumstances::default()
        };
        submission.submit(broker, meta, &terms, circumstances).await?;
        Ok(Begun::Enqueued)
    }
}
