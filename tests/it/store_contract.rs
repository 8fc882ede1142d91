//! What every store promises, tested on each of them with the same cases.

mod atomic;
pub(crate) mod backend;
mod batches;
mod catalogue;
mod forgetting;
mod ledger;
mod listing;
mod meeting;
mod notes;
mod once;
mod order;
mod origin;
mod postgres_backend;
mod rejects;
mod sqlite_meeting;
mod sqlite_only;

/// Makes a test of every case for an engine that can do no more with COPY than this.
macro_rules! contract_with {
    ($name:ident, $copying:ident; $($module:ident::$case:ident),+ $(,)?) => {
        mod $name {
            use super::postgres_backend::PostgresBackend;

            $(
                #[tokio::test]
                async fn $case() {
                    super::$module::$case(&PostgresBackend::start_with(super::postgres_backend::$copying).await).await;
                }
            )+
        }
    };
}

/// What depends on how rows are copied: each way into the table, out of a refusal, and not twice. What
/// such an engine is sent: `postgres::engines`.
macro_rules! contract_of_copying {
    ($($name:ident: $copying:ident;)+) => {
        $(
            contract_with! {
                $name, $copying;
                batches::values_come_back_as_they_were_sent,
                batches::unset_columns_get_their_defaults,
                batches::large_batches_arrive_whole,
                rejects::mapping_rejects_are_kept_beside_the_rows,
                rejects::deferred_foreign_keys_are_attributed_to_rows,
                rejects::rows_that_a_trigger_swallows_are_rejected,
                rejects::every_bad_row_of_a_large_batch_is_found,
                once::receipt_is_repeated_without_writing,
                once::older_session_is_fenced,
                once::dropped_write_leaves_nothing,
                once::reject_limit_is_exact_with_two_writers,
                meeting::update_keeps_the_last_of_rows_with_a_key,
                atomic::keys_repeat_across_the_batches_of_a_transaction,
            }
        )+
    };
}

contract_of_copying! {
    copy_as_text: COPY_AS_TEXT;
    no_copy: NO_COPY;
    no_copy_behind_savepoints: NO_COPY_BEHIND_SAVEPOINTS;
}

/// Makes a test of every case for every database.
macro_rules! contract {
    ($($module:ident::$case:ident),+ $(,)?) => {
        mod sqlite {
            use crate::support::sqlite::SqliteBackend;

            $(
                #[tokio::test]
                async fn $case() {
                    super::$module::$case(&SqliteBackend::start().await).await;
                }
            )+
        }

        mod postgres {
            use super::postgres_backend::PostgresBackend;

            $(
                #[tokio::test]
                async fn $case() {
                    super::$module::$case(&PostgresBackend::start().await).await;
                }
            )+
        }
    };
}

contract! {
    catalogue::columns_are_described_by_the_catalogue,
    catalogue::keys_and_checks_are_described_by_the_catalogue,
    catalogue::names_full_of_quotes_are_harmless,
    catalogue::tables_of_the_ledger_are_hidden,
    catalogue::sample_table_takes_rows,
    batches::rows_arrive_with_every_method,
    batches::values_come_back_as_they_were_sent,
    batches::unset_columns_get_their_defaults,
    batches::large_batches_arrive_whole,
    batches::blank_ordinals_are_counted,
    rejects::mapping_rejects_are_kept_beside_the_rows,
    rejects::repeats_of_a_unique_key_are_rejected,
    rejects::missing_parents_are_rejected,
    rejects::deferred_foreign_keys_are_attributed_to_rows,
    rejects::failed_checks_are_rejected,
    rejects::nulls_in_required_columns_are_rejected,
    rejects::rows_that_a_trigger_swallows_are_rejected,
    rejects::errors_of_triggers_reject_their_row,
    rejects::every_bad_row_of_a_large_batch_is_found,
    rejects::batch_of_bad_rows_only_commits,
    rejects::changed_schema_fails_the_import,
    once::receipt_is_repeated_without_writing,
    once::overlapping_batch_is_refused,
    once::older_session_is_fenced,
    once::newer_session_row_fences_before_the_takeover_is_done,
    once::passed_deadline_writes_nothing,
    once::dropped_write_leaves_nothing,
    once::reject_limit_lets_exactly_so_many_rows_pass,
    once::reject_limit_is_exact_with_two_writers,
    ledger::unknown_import_begins,
    ledger::known_import_with_other_options_is_an_id_conflict,
    ledger::live_import_is_busy,
    ledger::suspended_import_has_to_be_resumed,
    ledger::resume_of_an_unknown_import_begins_it,
    ledger::resume_takes_a_live_import_over,
    ledger::ended_import_is_replayed,
    ledger::failed_import_without_a_row_begins_anew,
    ledger::failed_import_with_a_row_is_replayed,
    ledger::watermark_waits_for_the_first_gap,
    ledger::position_is_that_of_the_last_batch_below_the_watermark,
    ledger::ids_belong_to_their_owner,
    ledger::simultaneous_resumes_leave_one_holder,
    ledger::heartbeat_renews_the_lease,
    ledger::heartbeat_tells_of_fencing,
    ledger::cancel_request_reaches_the_session,
    ledger::cancel_ends_an_import_that_nobody_holds,
    ledger::cancel_of_an_unknown_import_is_none,
    ledger::suspended_session_does_not_come_back_by_heartbeat,
    ledger::end_is_repeatable_and_fenced,
    ledger::store_is_ready_once_migrated,
    listing::imports_are_listed_newest_first_in_pages,
    listing::filters_narrow_the_list,
    listing::pages_of_rejected_rows_add_up,
    listing::pieces_of_rejected_rows_are_bounded,
    listing::counts_obey_the_conservation_law,
    meeting::skip_keeps_the_first_of_rows_with_a_key,
    meeting::update_keeps_the_last_of_rows_with_a_key,
    meeting::blank_cells_keep_what_is_there,
    meeting::defaults_are_set_in_updated_rows_too,
    meeting::insert_only_columns_are_for_new_rows,
    meeting::key_alone_updates_nothing,
    meeting::rows_without_a_match_are_rejected_or_skipped,
    meeting::partial_indexes_leave_other_rows_alone,
    meeting::expression_indexes_tell_which_rows_meet,
    meeting::other_constraints_refuse_rows_that_meet,
    meeting::another_rows_key_refuses_an_update,
    meeting::large_batches_meet_as_small_ones_do,
    order::batches_do_what_single_rows_do,
    atomic::rows_of_a_transaction_show_at_its_commit_only,
    atomic::committed_transaction_is_one_range,
    atomic::import_without_a_row_commits_nothing,
    atomic::rollback_and_drop_leave_nothing,
    atomic::overdrawn_transaction_leaves_nothing,
    atomic::dry_run_keeps_verdicts_and_no_rows,
    atomic::taken_over_import_does_not_commit,
    atomic::keys_repeat_across_the_batches_of_a_transaction,
    atomic::deferred_keys_are_judged_inside_a_transaction,
    atomic::passed_deadline_ends_a_transaction,
    atomic::key_that_is_not_mapped_is_refused_before_a_row,
    notes::noted_file_survives_a_takeover,
    notes::an_announced_file_is_the_only_one_that_takes_over,
    notes::an_announcement_after_rows_is_a_claim,
    notes::a_running_import_has_an_age,
    notes::noted_layout_is_that_of_the_source,
    notes::takeover_finds_hashes_and_positions,
    notes::decided_ranges_are_compacted,
    notes::undecided_rejects_are_forgotten,
    notes::rejected_rows_are_counted_by_code,
    notes::dry_run_without_a_row_leaves_no_range,
    forgetting::values_go_before_ids,
    forgetting::values_are_wiped_in_small_steps,
    forgetting::deleted_imports_keep_their_counts,
    forgetting::imports_that_have_not_ended_are_not_deleted,
    forgetting::expired_ids_are_free,
    forgetting::held_imports_are_not_forgotten,
    forgetting::abandoned_imports_are_forgotten_in_time,
    forgetting::shortest_retention_holds,
    forgetting::values_that_are_not_wanted_are_never_stored,
    forgetting::many_may_forget_at_once,
    origin::earlier_imports_are_found_in_their_scope,
    origin::tenant_and_labels_are_set_once,
}
