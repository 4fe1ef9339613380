//! What guests can do whom a former member lets in before those come who stayed (PROTOCOL.md, section 7.2).

use core::slice::from_mut;
use core::time::Duration;

use super::former::{guest, keeps, of_a_former_host};
use super::lobby::*;
use super::recovery::{another, back, joined, lost, page_at_once};
use crate::wire::native::*;

// Rule 2: what is offered to a member to come back falls with it, and nothing else of its number.
#[test]
fn guests_void_nothing_that_is_offered_to_those_who_have_their_numbers() {
    for leaves in [false, true] {
        let mut before = lobby(|_| {});
        let (mut former, mut others) = of_a_former_host(&mut before);
        let pool = former.joined.unwrap().pool;
        let mut lobby = another(&before);
        back(&mut lobby, &mut former);
        lobby.meet(from_mut(&mut former));
        let mut guests = [8, 9].map(|port| guest(&mut lobby, port, pool));
        assert_eq!([guests[0].member(), guests[1].member()], [2, 3]);
        for other in &mut others {
            joined(&lobby.resume(other));
        }
        for guest in &mut guests {
            if leaves {
                lobby.act(guest, Act::Leave);
            } else {
                lobby.got(guest);
                joined(&lobby.resume(guest));
                lobby.act(guest, Act::Ping(None));
            }
        }
        for other in &mut others {
            let got = lobby.ping(other);
            assert!(!matches!(got[..], [Got::Unknown(..)]), "{got:?}");
        }
        page_at_once(&mut lobby, &mut others);
        assert_eq!(agreed(&others), [2, 3]);
    }
}

// `Limits`: a recovery keeps so much for each member.
#[test]
fn guests_that_come_and_go_leave_nothing() {
    let mut before = lobby(|_| {});
    let mut host = keeps(&before.host(1, &spec(8)));
    let pool = host.joined.unwrap().pool;
    let mut lobby = lobby_of(11, |config| config.limits.requests_in_a_row = 10_000);
    lobby.now = before.now;
    back(&mut lobby, &mut host);
    let mut client = Client::new(9);
    for round in 0..2_000 {
        client.tx = 10_000 + round;
        joined(&lobby.join(&mut client, pool));
        let sent = client.message(1, Act::Ping(None));
        lobby.hand_in(client.from, &sent);
        lobby.drain();
        lobby.mail.clear();
        lobby.events.clear();
    }
    let native = lobby.machine.native.as_mut().unwrap();
    let place = native.pools.find(GAME, pool).unwrap();
    assert_eq!(native.recovery_of(place).unwrap().size(), 2, "the host, and the guest that is there");
}

// Rule 4: of tickets of one member and session the latest is served.
#[test]
fn who_asks_anew_by_its_ticket_has_one_offer() {
    let (mut all, mut lobby) = lost(3);
    back(&mut lobby, &mut all[0]);
    let ours = lobby.machine.native.as_ref().unwrap().places.taken();
    for port in 20..30 {
        let mut again = Client { from: address(port), cookie: None, tx: port.into(), ..all[1].clone() };
        joined(&lobby.resume(&mut again));
        assert_eq!(lobby.machine.native.as_ref().unwrap().places.taken(), ours + 1);
    }
    lobby.now = lobby.now + Duration::from_secs(9);
    back(&mut lobby, &mut all[1]);
}
