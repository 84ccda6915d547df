//! One conformance suite for both brokers, and what only one of them can suffer.
//!
//! A case is an `async fn` over a [`World`](world::World). The macro stamps it for every backend; a case that is not
//! listed is dead code, which the lints refuse.

#![allow(clippy::unchecked_time_subtraction, reason = "a panic is how a test fails")]

mod alone;
mod cancelling;
mod chains;
mod claiming;
mod cursors;
mod enqueueing;
mod events;
mod expiring;
mod follow_ups;
mod keys;
mod leases;
mod listing;
mod lists;
mod mail_and_workers;
mod queues;
mod random;
mod redis_only;
mod retention;
mod set_back;
mod settling;
mod sqlite_only;
mod stores;
mod waiting;
pub mod world;

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
        refusal_of_a_later_chunk_leaves_nothing_to_run,
        cap_counts_delayed_jobs_and_no_running_ones,
        group_that_comes_in_parts_is_open_until_the_last,
        part_that_is_refused_may_come_later,
        parts_that_come_to_a_cancelled_group_are_cancelled,
        abandoned_group_ends_as_it_is,
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
        next_stage_waits_in_its_own_line_with_fresh_attempts,
        next_stage_of_a_cancelled_job_does_not_come,
        results_come_by_index_in_pages,
        counters_count_the_results_that_are_read_with_them,
        group_that_has_grown_since_it_was_read_is_read_whole;
    leases:
        beat_renews_a_lease,
        beat_tells_lost_leases,
        expired_lease_returns_job_to_queue,
        zombie_cannot_settle_after_recovery,
        third_stall_alone_fails_the_job_as_poison,
        released_job_is_first_in_line_and_blameless,
        released_token_never_comes_back,
        job_that_the_broker_had_lost_gets_tokens_of_its_own,
        released_jobs_keep_their_order,
        released_for_later_is_delayed_and_blameless,
        leases_that_expire_together_are_all_recovered;
    alone:
        crashed_jobs_run_next_alone_and_first,
        expired_job_runs_next_alone_and_is_not_blamed,
        third_crash_alone_fails_the_job_as_poison,
        crashes_and_expiries_alone_count_together,
        death_among_neighbours_never_counts,
        repeated_crash_is_committed_again,
        crash_of_a_lost_lease_changes_nothing,
        release_keeps_a_job_alone;
    cancelling:
        job_that_waits_or_is_delayed_is_cancelled_at_once,
        running_job_is_asked_to_stop_by_its_heartbeat,
        success_and_failure_of_a_cancelled_attempt_stand,
        whatever_would_run_a_cancelled_job_again_ends_it,
        worker_may_settle_as_cancelled_unasked,
        cancelling_finished_jobs_changes_nothing,
        cancelled_group_ends_what_waits_and_asks_what_runs,
        attempts_of_a_cancelled_group_do_not_run_again,
        long_group_that_nobody_works_on_is_cancelled,
        cancelling_a_group_again_ends_nothing_more,
        cancelling_one_job_leaves_the_rest_of_its_group,
        group_cancelled_among_racing_workers_ends_with_true_counters;
    chains:
        held_job_is_delayed_without_being_due,
        success_starts_the_next_one,
        delay_of_a_held_job_begins_with_the_success,
        several_may_follow_one,
        failure_cancels_the_rest_of_the_chain,
        poison_cancels_the_rest_of_the_chain,
        cancelling_cancels_the_chain_behind,
        success_of_a_cancelled_attempt_goes_on_with_the_chain,
        success_in_a_cancelled_group_starts_nothing,
        chain_crosses_queues,
        long_chain_ends_with_its_first_job,
        held_jobs_count_for_the_cap,
        chain_to_a_stranger_or_backwards_is_refused,
        started_follower_outlives_its_delayed_sibling;
    follow_ups:
        follow_up_comes_when_all_have_succeeded,
        follow_up_of_success_is_left_out_otherwise,
        follow_up_of_any_end_always_comes,
        repeated_settlement_fires_once,
        group_of_no_jobs_fires_at_once,
        follow_up_honours_its_delay_and_no_cap,
        follow_up_that_exists_is_not_made_again,
        cancelled_group_is_followed_too,
        poison_and_purge_are_followed_too,
        purge_spares_what_follows_it,
        chain_that_breaks_finishes_its_group_and_fires,
        group_cannot_follow_itself;
    cursors:
        cursor_moves_from_the_expected_value_only,
        work_comes_with_the_move_and_only_with_it,
        sealed_group_is_not_enqueued_again_by_a_move,
        cursor_does_not_move_too_early,
        full_queue_moves_nothing,
        racing_movers_move_a_cursor_once,
        cursor_keeps_its_newest_notes,
        wrong_moves_are_refused;
    expiring:
        job_that_nobody_has_claimed_in_time_is_cancelled,
        job_that_was_claimed_in_time_goes_on,
        jobs_behind_an_expired_one_are_cancelled,
        job_of_a_paused_queue_expires_too;
    queues:
        paused_queue_gives_no_jobs_until_resumed,
        paused_queue_still_promotes_recovers_and_settles,
        queue_is_paused_before_its_first_job,
        wait_does_not_return_for_a_paused_queue,
        resuming_wakes_idle_workers,
        purge_cancels_what_waits_is_delayed_or_held,
        long_paused_queue_is_purged,
        names_that_are_no_words_are_refused;
    keys:
        key_is_reserved_for_one_group,
        enqueued_group_binds_its_key,
        key_has_a_memory_of_its_own,
        key_is_bound_without_a_reservation,
        key_of_a_group_whose_record_is_gone_is_free,
        key_of_another_group_refuses_the_whole_group,
        refused_group_binds_nothing,
        group_that_a_later_chunk_cancels_leaves_its_key_free,
        reservation_is_given_back_by_its_group_alone,
        racing_reservations_are_granted_once,
        keys_of_the_wrong_length_are_refused;
    retention:
        finished_groups_come_by_age_the_oldest_first,
        removed_group_leaves_nothing,
        unfinished_and_unknown_groups_are_not_removed,
        long_group_is_removed_whole;
    set_back:
        lease_of_a_dead_worker_ends_in_time,
        lease_of_a_live_worker_holds,
        retry_and_release_come_in_time,
        first_start_keeps_its_time,
        dead_worker_is_no_longer_listed,
        reservation_lapses_in_time;
    listing:
        delayed_jobs_are_listed_by_due_time,
        active_jobs_are_listed_by_the_end_of_their_lease,
        failed_jobs_are_listed_the_last_death_first,
        poisoned_jobs_are_dead_too,
        copy_takes_the_dead_one_off_the_list;
    events:
        life_of_a_job_is_told_in_order,
        last_job_is_told_before_its_group_and_what_follows,
        group_of_no_jobs_is_enqueued_and_finished,
        cancels_purges_and_poison_are_told,
        events_come_in_pages,
        old_events_are_forgotten,
        ids_of_no_event_are_refused;
    lists:
        groups_are_listed_the_newest_first,
        groups_of_one_instant_come_once,
        groups_and_jobs_are_of_a_period,
        jobs_are_listed_the_newest_group_and_its_last_job_first,
        pages_give_each_job_once_while_others_come,
        jobs_are_listed_by_state,
        jobs_are_listed_by_queue_kind_and_group,
        groups_and_jobs_are_listed_by_label,
        long_group_is_listed_in_pages,
        many_delayed_jobs_are_listed_too,
        call_looks_at_so_many_and_the_next_goes_on,
        removed_groups_and_follow_ups_are_known_to_the_lists,
        last_event_is_the_one_that_nothing_follows,
        wait_for_an_event_is_ended_by_the_next_one;
    stores:
        queue_keeps_the_first_store_that_asks,
        racing_stores_are_told_of_the_same_one,
        queue_is_moved_to_another_store_on_purpose;
    mail_and_workers:
        letters_are_collected_once_and_in_order,
        collecting_waits_for_the_first_letter,
        letter_to_another_connection_wakes_its_collector,
        empty_mailbox_answers_after_the_timeout,
        racing_collectors_share_the_letters,
        full_mailbox_keeps_the_last_thousand,
        mail_memory_is_long_enough_to_ask_and_answer,
        workers_are_listed_by_session_with_their_last_report,
        silent_worker_is_no_longer_listed,
        worker_that_signs_off_is_gone,
        sessions_that_are_no_words_are_refused;
    waiting:
        wait_returns_at_once_when_work_is_there,
        wait_returns_when_another_connection_enqueues,
        wait_returns_for_an_earlier_retry,
        wait_returns_after_its_timeout,
        every_idle_worker_wakes_for_its_share,
        ping_and_depths_answer;
}
