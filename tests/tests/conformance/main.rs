//! The conformance suite: every scenario on every runtime, and on both together.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::wildcard_enum_match_arm,
    reason = "tests: a panic is how they fail, and they name what they look for"
)]

mod serving;
mod smol_only;
mod std_only;
#[cfg(target_os = "linux")]
mod threads;

/// A module of tests: each scenario on the given runtimes.
macro_rules! tests {
    ($name:ident on $runtimes:tt: $($theme:ident { $($scenario:ident)* })*) => {
        mod $name {
            $(mod $theme {
                $(tests!(@one $runtimes $theme $scenario);)*
            })*
        }
    };
    (@one [$($runtime:ident),*] $theme:ident $scenario:ident) => {
        #[test]
        fn $scenario() {
            use poolmesh_testkit::{conformance, patience, runtime};
            patience::guarded(conformance::$theme::$scenario::<$(runtime::$runtime),*>);
        }
    };
}

/// Each scenario on each runtime, in the native dialect.
macro_rules! on_each {
    ($($scenarios:tt)*) => {
        tests! { on_std on [Std]: $($scenarios)* }
        tests! { on_smol on [Smol]: $($scenarios)* }
    };
}

/// The same in the classic dialect.
macro_rules! on_each_in_classic {
    ($($scenarios:tt)*) => {
        tests! { on_std_in_classic on [ClassicStd]: $($scenarios)* }
        tests! { on_smol_in_classic on [ClassicSmol]: $($scenarios)* }
    };
}

/// Each scenario between two runtimes, in the native dialect.
macro_rules! on_each_pair {
    ($($scenarios:tt)*) => {
        tests! { std_with_std on [Std, Std]: $($scenarios)* }
        tests! { smol_with_smol on [Smol, Smol]: $($scenarios)* }
        tests! { std_with_smol on [Std, Smol]: $($scenarios)* }
        tests! { smol_with_std on [Smol, Std]: $($scenarios)* }
    };
}

/// The same in the classic dialect.
macro_rules! on_each_pair_in_classic {
    ($($scenarios:tt)*) => {
        tests! { std_with_std_in_classic on [ClassicStd, ClassicStd]: $($scenarios)* }
        tests! { smol_with_smol_in_classic on [ClassicSmol, ClassicSmol]: $($scenarios)* }
        tests! { std_with_smol_in_classic on [ClassicStd, ClassicSmol]: $($scenarios)* }
        tests! { smol_with_std_in_classic on [ClassicSmol, ClassicStd]: $($scenarios)* }
    };
}

on_each! {
    astray {
        everything_is_sent_again
        doubled_datagrams
        late_datagrams
        answers_from_strangers
    }
    calls {
        concurrent_calls
        unknown_pool_is_refused_in_words
        no_broadcaster
        too_many
        closing_ends_calls
    }
    closing {
        disconnect_writes_what_is_queued
        disconnect_from_one_who_stays
        disconnect_from_one_who_does_not_read
        remote_close
        remote_reset
        cut_within_a_frame
        a_frame_too_long
        a_port_is_free_at_once
        a_mapped_address_reads_as_ipv4
        empty_and_malformed_frames
    }
    connecting {
        broadcaster_by_name
        broadcaster_by_ipv4_address
        lobby_over_ipv6
        unresolvable_name
    }
    dialects {
        the_classic_one_is_not_spoken_unasked
        what_the_classic_one_lacks
    }
    hosting {
        a_pool_lives_until_released
        dropping_the_client_ends_its_pools
        the_host_is_told_of_the_end
        a_released_pool_is_not_told
        close_frees_everything
        drop_frees_everything
        links_outlive_the_client
    }
    listing {
        pages_hold_all
        filters
        applications_stay_apart
    }
    meshing {
        listens_at_the_clients_port
        a_late_listener_is_reached
        an_unreachable_peer
        a_peer_that_does_not_answer
        one_link_for_one_address
        accept_as_call_and_as_event
        listening_elsewhere
        a_port_that_is_taken
        as_many_links_as_allowed
        a_closed_mesh
        a_second_mesh_of_one_client
    }
    pressure {
        a_flood_keeps_nobody_waiting
        a_peer_that_does_not_read
        others_go_on
        the_rest_of_what_went_to_all
        disconnecting_unread
        waiting_senders_are_told_of_the_end
        shared_memory
    }
    sending {
        to_all
    }
}

on_each_in_classic! {
    calls {
        concurrent_calls
        unknown_pool_is_refused_in_words
        no_broadcaster
        too_many
        closing_ends_calls
    }
    connecting {
        broadcaster_by_name
        broadcaster_by_ipv4_address
        lobby_over_ipv6
    }
    gop2p {
        joining_its_pool
        hosting_it
    }
    hosting {
        a_pool_lives_until_released
        dropping_the_client_ends_its_pools
        the_host_is_told_of_the_end
        a_released_pool_is_not_told
        close_frees_everything
        drop_frees_everything
        links_outlive_the_client
    }
    lossy {
        list_and_join_are_sent_again
        a_lost_answer_to_create
        a_late_double_of_a_create
        create_that_is_never_answered
        doubled_datagrams
        late_answers
        answers_from_strangers
    }
    meshing {
        listens_at_the_clients_port
        a_second_mesh_of_one_client
    }
}

on_each_pair! {
    calls {
        list_create_join
    }
    closing {
        each_side_has_its_reason
        closing_the_mesh_writes_what_is_queued
        dropping_the_mesh_writes_what_is_queued
        closed_from_within
        a_handler_that_panics
    }
    dialects {
        side_by_side
    }
    handlers {
        by_name
        peers_before_meshs
        unwanted_events_are_ignored
        an_event_called_disconnected
        handlers_may_do_anything
    }
    hosts {
        a_host_that_leaves_is_followed
        a_host_that_falls_silent_is_followed
        a_pool_may_end_with_its_host
    }
    listing {
        what_is_listed
        codes_lead_to_what_is_hidden
    }
    meshing {
        partial_success
    }
    orders {
        kick
        lock
        close
        hand_over
        change
        others_may_not
    }
    outage {
        calls_meanwhile
        links_are_not_touched
    }
    pressure {
        an_application_that_does_not_read
        letting_go_of_events_frees_the_sender
        closing_under_pressure
        idle
        a_slow_application_is_not_idle
        a_quiet_link_stays
    }
    returning {
        a_restart_with_the_key
        a_restart_without_the_key
        another_broadcaster
        a_program_that_starts_again
    }
    rosters {
        who_comes_is_told
        leaving_is_told_at_once
        who_falls_silent_is_taken_out
        what_members_say_is_told
        everyone_knows_the_same
    }
    sending {
        batches
        closed_among_many
        both_ways_in_order
        many_senders
        any_bytes
        too_long_and_too_late
        readers_share_events
    }
    together {
        a_pool_of_four
        joining_at_the_same_time
        who_takes_its_place_late
    }
}

on_each_pair_in_classic! {
    calls {
        list_create_join
    }
    meshing {
        partial_success
    }
    outage {
        calls_meanwhile
        links_are_not_touched
    }
    together {
        a_pool_of_four
        joining_at_the_same_time
    }
}

/// What a broadcaster has a part in, with one in several threads.
#[cfg(target_os = "linux")]
macro_rules! in_threads {
    ($($scenarios:tt)*) => {
        tests! { on_std_in_threads on [StdInFour]: $($scenarios)* }
        tests! { on_smol_in_threads on [SmolInFour]: $($scenarios)* }
    };
}

/// The same in the classic dialect.
#[cfg(target_os = "linux")]
macro_rules! in_threads_in_classic {
    ($($scenarios:tt)*) => {
        tests! { on_std_in_threads_in_classic on [ClassicStdInFour]: $($scenarios)* }
        tests! { on_smol_in_threads_in_classic on [ClassicSmolInFour]: $($scenarios)* }
    };
}

#[cfg(target_os = "linux")]
in_threads! {
    astray {
        doubled_datagrams
    }
    calls {
        concurrent_calls
    }
    connecting {
        lobby_over_ipv6
    }
    hosting {
        the_host_is_told_of_the_end
    }
    listing {
        pages_hold_all
    }
}

#[cfg(target_os = "linux")]
in_threads_in_classic! {
    calls {
        concurrent_calls
        unknown_pool_is_refused_in_words
        too_many
    }
    connecting {
        lobby_over_ipv6
    }
    hosting {
        a_pool_lives_until_released
        dropping_the_client_ends_its_pools
        the_host_is_told_of_the_end
        a_released_pool_is_not_told
        close_frees_everything
    }
    lossy {
        doubled_datagrams
        late_answers
    }
    meshing {
        a_late_listener_is_reached
    }
}

#[cfg(target_os = "linux")]
tests! {
    pairs_in_threads on [StdInFour, SmolInFour]:
    dialects {
        side_by_side
    }
    hosts {
        a_host_that_leaves_is_followed
    }
    returning {
        a_restart_with_the_key
    }
    rosters {
        everyone_knows_the_same
    }
    together {
        joining_at_the_same_time
    }
}

#[cfg(target_os = "linux")]
tests! {
    pairs_in_threads_in_classic on [ClassicStdInFour, ClassicSmolInFour]:
    calls {
        list_create_join
    }
    outage {
        calls_meanwhile
    }
    together {
        a_pool_of_four
        joining_at_the_same_time
    }
}
