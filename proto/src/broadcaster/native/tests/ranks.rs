//! Which of two tickets is the higher one, and which still hold of a pool that has ended, as the text has it (PROTOCOL.md,
//! section 7.2, rules 3 and 5).

use alloc::boxed::Box;
use alloc::vec;

use super::lobby::{at, member};
use crate::broadcaster::native::ended::{Early, Ended, Memory};
use crate::broadcaster::native::lineage::{Base, is_later};
use crate::broadcaster::native::sent_away::SentAway;
use crate::wire::native::*;

fn epoch(era: u64, number: u32) -> Epoch {
    Epoch::new(era, number).unwrap()
}

/// Of a pool of five that was never brought back.
fn state(era: u64, number: u32) -> State {
    State {
        epoch: epoch(era, number),
        generation: 0,
        base: None,
        came: 0,
        term: Term::new(1).unwrap(),
        host: member(1),
        next: member(9),
        purged: 0,
        count: Seats::new(5).unwrap(),
        seal: Seal::new([0; 16]),
    }
}

/// Of one that was brought back with so many.
fn brought_back(era: u64, number: u32, base: Epoch, came: u16, generation: u32) -> State {
    State { base: Some(base), came, generation, ..state(era, number) }
}

// Rule 5.
#[test]
fn of_two_tickets_one_is_higher_whichever_comes_first() {
    let of = |count, purged| State { count: Seats::new(count).unwrap(), purged, ..state(1, 5) };
    // Two eras that were brought back. The other has had more epochs, which makes it no higher.
    let one = |base, came, generation| brought_back(2, 1, base, came, generation);
    let other = |base, came, generation| brought_back(3, 7, base, came, generation);
    let all = [
        ("of one era, the higher number", state(1, 6), state(1, 5)),
        ("it has nothing newer", one(epoch(1, 5), 1, 1), state(1, 5)),
        ("more than half have come", one(epoch(1, 3), 3, 1), of(5, 0)),
        ("half have come", of(6, 0), one(epoch(1, 3), 3, 1)),
        ("one has come alone", of(2, 0), one(epoch(1, 3), 1, 1)),
        ("somebody was sent away by then", one(epoch(1, 3), 4, 1), of(5, 3)),
        ("somebody was sent away since", of(5, 4), one(epoch(1, 3), 4, 1)),
        ("the higher base, whatever the generation", one(epoch(1, 5), 1, 1), other(epoch(1, 4), 2, 9)),
        ("of one base, the more have come", one(epoch(1, 5), 3, 1), other(epoch(1, 5), 2, 9)),
        ("of one base and as many, the higher generation", one(epoch(1, 5), 2, 2), other(epoch(1, 5), 2, 1)),
        ("of other eras, the higher generation", one(epoch(8, 1), 1, 2), other(epoch(9, 7), 4, 1)),
        ("of one generation, the more have come", one(epoch(8, 1), 3, 1), other(epoch(9, 7), 2, 1)),
        (
            "of one generation, it was brought back",
            one(epoch(8, 1), 1, 1),
            State { generation: 1, ..state(3, 7) },
        ),
        ("and then the higher number", state(2, 6), state(3, 5)),
    ];
    for (why, higher, lower) in all {
        assert_eq!((is_later(&higher, &lower), is_later(&lower, &higher)), (true, false), "{why}");
    }
    assert!(!is_later(&state(2, 5), &state(3, 5)), "of two that are alike the first to come");
}

// Rule 3. The eras: 5 was brought back here as 7, which has ended.
#[test]
fn of_a_pool_that_has_ended_some_tickets_hold() {
    let name = (Application::POOLMESH, PoolUuid::new([1; 16]));
    let base = Base { epoch: epoch(5, 3), came: 2 };
    let over = Ended { era: 7, generation: 1, base: Some(base), silent: None, early: None };
    let silent = |purged| Ended { silent: Some(purged), ..over.clone() };
    let meanwhile = |away| {
        Some(Box::new(Early {
            base: state(5, 3),
            until: at(10_000),
            away,
            eras: vec![(7, None), (6, Some(2))],
            came: None,
        }))
    };
    let early = Ended { early: meanwhile(None), ..over.clone() };
    let mut away = SentAway::none(state(5, 3));
    away.note((member(2), epoch(5, 3)), member(1));
    let sent_away = Ended { early: meanwhile(Some(away)), ..over.clone() };
    let from = |number| brought_back(9, 1, epoch(7, number), 2, 2);
    let few = State { count: Seats::new(3).unwrap(), ..state(5, 2) };
    let (there, elsewhere) = (true, false);
    let all = [
        ("it was brought back from behind what ended", silent(4), from(4), elsewhere, true),
        ("from before the kick", silent(4), from(3), elsewhere, false),
        ("it has ended, not fallen silent", over.clone(), from(9), elsewhere, false),
        ("of the base itself", silent(0), state(5, 3), elsewhere, true),
        ("though that began here", silent(0), state(5, 3), there, true),
        ("from before the base", silent(0), few, elsewhere, false),
        ("a kick since", silent(1), state(5, 3), elsewhere, false),
        ("another that began here", silent(0), brought_back(9, 1, epoch(8, 1), 2, 9), there, false),
        (
            "that, while others are on their way",
            early.clone(),
            brought_back(9, 1, epoch(8, 1), 2, 9),
            there,
            false,
        ),
        (
            "of the era that fell silent meanwhile",
            Ended { silent: Some(0), ..early.clone() },
            state(7, 1),
            there,
            true,
        ),
        ("one before that, which fell silent", early.clone(), state(6, 2), there, true),
        ("from before the kick in that", early.clone(), state(6, 1), there, false),
        ("a higher base, while others are on their way", early.clone(), state(5, 4), elsewhere, true),
        (
            "another era, which is a higher base",
            early,
            brought_back(9, 1, epoch(8, 1), 2, 9),
            elsewhere,
            true,
        ),
        ("who was sent away meanwhile", sent_away.clone(), state(5, 3), elsewhere, false),
        ("its later ticket of that host", sent_away.clone(), state(5, 4), elsewhere, false),
        ("of another host", sent_away, State { host: member(3), ..state(5, 4) }, elsewhere, true),
    ];
    for (why, ended, ticket, began, holds) in all {
        let mut memory = Memory::new(0);
        memory.note(name, ended);
        let ticket = Ticket {
            application: name.0,
            pool: name.1,
            code: PoolCode::new(7).unwrap(),
            member: member(2),
            session: Session(1),
            state: ticket,
        };
        let allowed = memory.allows(&ticket, began == there, at(9_999));
        assert_eq!(allowed, holds.then_some(1), "{why}");
    }
}
