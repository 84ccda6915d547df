//! Chooses the queue of a job.

use glob::Pattern;

use crate::config::Route;
use crate::kinds::{ImageProcess, Kind};

/// The queue of the first rule that fits, or else the requested queue.
pub fn queue<'a>(routes: &'a [Route], kind: &str, asked: &'a str, priority: u8) -> &'a str {
    // A setting with an invalid glob is refused at the start.
    let fits = |glob: &Option<String>, word: &str| {
        glob.as_ref().is_none_or(|glob| Pattern::new(glob).is_ok_and(|glob| glob.matches(word)))
    };
    let rule = routes.iter().find(|rule| {
        fits(&rule.kind, kind) && fits(&rule.asked, asked) && rule.min_priority.is_none_or(|least| priority >= least)
    });
    rule.map_or(asked, |rule| &rule.queue)
}

/// The queue of pictures whose submission names neither a queue nor a priority.
pub fn of_plain_uploads(routes: &[Route]) -> &str {
    queue(routes, ImageProcess::NAME, ImageProcess::QUEUE, 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: Option<&str>, asked: Option<&str>, min_priority: Option<u8>, queue: &str) -> Route {
        Route { kind: kind.map(Into::into), asked: asked.map(Into::into), min_priority, queue: queue.into() }
    }

    #[test]
    fn without_a_rule_that_fits_a_job_goes_where_it_asked_to() {
        assert_eq!(queue(&[], "image.process", "cpu_intensive", 5), "cpu_intensive");
        let rules = [rule(Some("notify.*"), None, None, "io_intensive")];
        assert_eq!(queue(&rules, "image.process", "default", 5), "default");
    }

    #[test]
    fn first_rule_that_fits_counts() {
        let rules = [
            rule(Some("image.*"), None, Some(8), "critical"),
            rule(None, Some("cpu_*"), Some(6), "priority"),
            rule(None, None, None, "default"),
        ];
        let routed = |kind, asked, priority| queue(&rules, kind, asked, priority);
        assert_eq!(routed("image.process", "cpu_intensive", 8), "critical");
        assert_eq!(routed("image.process", "cpu_intensive", 7), "priority");
        assert_eq!(routed("image.process", "cpu_intensive", 5), "default");
        assert_eq!(routed("report.generate", "cpu_intensive", 10), "priority");
        assert_eq!(routed("report.generate", "scheduled", 10), "default");
    }
}
