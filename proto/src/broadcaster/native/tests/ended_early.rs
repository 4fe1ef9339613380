//! Pools that end while their recovery lasts, before all have come who stayed (PROTOCOL.md, section 7.2, rules 3 and 5).

use alloc::vec::Vec;
use core::slice::from_mut;
use core::time::Duration;

use super::former::guest;
use super::lobby::*;
use super::recovery::{another, back, forget, joined, page_at_once};
use crate::broadcaster::native::recovery::ERAS;
use crate::wire::native::*;

#[test]
fn what_has_ended_before_keeps_nobody_out_of_a_recovery() {
    let mut before = lobby(|_| {});
    let mut all = before.pool(2, &spec(8));
    let pool = all[0].joined.unwrap().pool;
    let mut left = all.clone();
    let mut stayed = [5, 6, 7].map(|port| guest(&mut before, port, pool));
    for client in &mut all {
        before.act(client, Act::Leave);
    }
    before.meet(&mut stayed);
    forget(&mut left);
    forget(&mut stayed);
    let mut lobby = another(&before);
    for client in &mut left {
        back(&mut lobby, client);
    }
    page_at_once(&mut lobby, &mut left);
    lobby.act(&mut left[0], Act::Close);
    lobby.mail.clear();
    // Those who stayed come 5 s later, and 10 s after that, when the recovery in which it was closed is over.
    lobby.wait(5_000);
    back(&mut lobby, &mut stayed[0]);
    lobby.stay(&mut stayed[..1], 5_000);
    lobby.stay(&mut stayed[..1], 5_000);
    back(&mut lobby, &mut stayed[1]);
    joined(&lobby.resume(&mut stayed[2]));
}

#[test]
fn who_was_sent_away_in_a_recovery_brings_nothing_back() {
    for ends in 0..3 {
        let mut before = lobby(|_| {});
        let mut all = before.pool(3, &spec(8));
        let mut lobby = lobby_of(11, |config| {
            config.limits.interval = Duration::from_millis(1_000);
            config.limits.timeout = Duration::from_millis(4_000);
        });
        lobby.now = before.now;
        forget(&mut all);
        let sent_away = all[1].clone();
        let mut third = all[2].clone();
        let again = |tx| Client { tx, ..sent_away.clone() };
        back(&mut lobby, &mut all[0]);
        back(&mut lobby, &mut all[1]);
        lobby.wait(2_000);
        page_at_once(&mut lobby, &mut all[..2]);
        lobby.act(&mut all[0], Act::Kick(Member::new(2).unwrap()));
        assert_eq!(lobby.got(&mut all[1]).last(), Some(&Got::Ended(EndReason::Kicked)));
        assert_eq!(lobby.resume(&mut again(900)), Got::Refused(Refusal::Stale));
        match ends {
            0 => drop(lobby.act(&mut all[0], Act::Close)),
            1 => drop(lobby.act(&mut all[0], Act::Leave)),
            _ => lobby.wait(4_500),
        }
        assert_eq!(lobby.machine.pool_count(), 0);
        assert_eq!(
            lobby.resume(&mut again(901)),
            Got::Refused(Refusal::Stale),
            "{ends}: it makes the pool again"
        );
        // Nor when another has.
        back(&mut lobby, &mut third);
        assert_eq!(lobby.resume(&mut again(902)), Got::Refused(Refusal::Stale), "{ends}: it comes, too");
        lobby.wait(2_000);
        page_at_once(&mut lobby, from_mut(&mut third));
        assert_eq!((agreed(from_mut(&mut third)), third.state.unwrap().purged), ([3].to_vec(), 1));
        assert_eq!(lobby.resume(&mut again(903)), Got::Refused(Refusal::Stale), "{ends}: it comes later");
    }
}

#[test]
fn of_eras_that_end_one_behind_the_other_the_latest_are_remembered() {
    let mut before = lobby(|_| {});
    let mut all = before.pool(1, &spec(8));
    let mut lobby = lobby_of(11, |config| {
        config.limits.interval = Duration::from_millis(1_000);
        config.limits.timeout = Duration::from_millis(3_000);
    });
    lobby.now = before.now;
    let mut eras = Vec::new();
    for _ in 0..2 * ERAS {
        forget(&mut all);
        back(&mut lobby, &mut all[0]);
        page_at_once(&mut lobby, &mut all);
        eras.push(all[0].clone());
        // It falls silent, and comes back to that era while the recovery would last still.
        lobby.wait(3_500);
        assert_eq!(lobby.machine.pool_count(), 0);
    }
    let holds = eras
        .iter()
        .zip(900..)
        .map(|(client, tx)| matches!(lobby.resume(&mut Client { tx, ..client.clone() }), Got::Joined(_)));
    let holds: Vec<bool> = holds.collect();
    assert_eq!(holds, [[false; ERAS], [true; ERAS]].concat());
}
