//! One conformance suite for both brokers, and what only one of them can suffer.
//!
//! A case is an `async fn` over a [`World`](world::World). The macro stamps it for every backend; a case that is not
//! listed is dead code, which the lints refuse.

#![allow(clippy::unchecked_time_subtraction, reason = "a panic is how a test fails")]

mod claiming;
mod enqueueing;
mod leases;
mod random;
mod redis_only;
mod settling;
mod sqlite_only;
mod waiting;
mod world;

macro_rules! conformance {
    ($($module:ident: $($case:ident),+ $(,)?;)+) => {
        mod sqlite {
            $(mod $module {
                use super::super::{$module as cases, world::World};
                $(
                    #[tokio::test]
                    async fn $case() {
                        cases::$case(World::sqlite(cases::policy()).await).await;
                    }
                )+
            })+
        }

        mod redis {
            $(mod $module {
                use super::super::{$module as cases, world::World};
                $(
                    #[tokio::test]
                    async fn $case() {
                        cases::$case(World::redis(cases::policy()).await).await;
                    }
                )+
            })+
        }
    };
}

conformance! {
    enqueueing:
        group_is_counted_sealed_and_kept_with_its_meta,
        job_comes_back_as_it_was_enqueued,
        group_of_no_jobs_is_finished_at_once,
        enqueueing_again_changes_nothing,
        long_group_is_enqueued_in_chunks,
        bulky_payloads_come_back_whole,
        full_queue_refuses_the_whole_group,
        full_queue_takes_back_the_chunks_before,
        cap_counts_delayed_jobs_and_no_running_ones,
        wrong_jobs_are_refused;
    claiming:
        jobs_come_by_priority_then_age,
        queues_come_in_the_order_asked_for,
        classes_do_not_mix,
        every_eighth_claim_looks_from_below,
        racing_sessions_share_the_jobs,
        repeated_claim_gets_the_same_answer,
        repeated_claim_leaves_out_lost_leases,
        late_claim_gets_nothing,
        delayed_job_does_not_come_early,
        next_due_is_the_earlier_of_delay_and_lease,
        claim_of_nothing_still_promotes_and_recovers;
    settling:
        success_and_failure_are_terminal,
        group_finishes_with_its_last_job,
        repeated_settlement_is_committed_again,
        wrong_token_changes_nothing,
        retry_honours_its_backoff,
        repeated_retry_is_committed_long_after,
        settling_claims_in_the_same_call,
        answers_stand_in_the_order_of_settlements,
        results_come_by_index_in_pages;
    leases:
        beat_renews_a_lease,
        beat_tells_lost_leases,
        expired_lease_returns_job_to_queue,
        zombie_cannot_settle_after_recovery,
        third_stall_fails_the_job_as_poison,
        released_job_is_first_in_line_and_blameless,
        released_token_never_comes_back,
        released_jobs_keep_their_order;
    waiting:
        wait_returns_at_once_when_work_is_there,
        wait_returns_when_another_connection_enqueues,
        wait_returns_for_an_earlier_retry,
        wait_returns_after_its_timeout,
        every_idle_worker_wakes_for_its_share,
        ping_and_depths_answer;
}
