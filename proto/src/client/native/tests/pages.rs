//! Rosters of many pages (PROTOCOL.md, section 5).

use super::turning::in_pool_of;
use super::*;

/// A client that has the first page of a roster of so many, each with one member, and the question that it has sent for the rest.
fn of_many(pages: u32) -> (Rig, Pool, Sent) {
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    let members: Vec<_> = (1..=pages).map(|number| (number, "")).collect();
    let all = pool(&members);
    rig.page(&all, None, &members[..1], true);
    let asked = rig.last();
    assert_eq!(asked.text, "ask 2");
    rig.sent.clear();
    (rig, all, asked)
}

/// Answers a question by these pages, from the first to the last.
fn draws(rig: &mut Rig, all: &Pool, asked: &Sent, pages: impl IntoIterator<Item = u32>) {
    for page in pages {
        let at = page as usize;
        rig.page_at(asked, all, Some(page), &all.members[at - 1..at], at < all.members.len());
    }
}

#[test]
fn the_pages_that_a_question_draws_are_taken_and_the_rest_is_asked_for_at_once() {
    let (mut rig, all, asked) = of_many(12);
    draws(&mut rig, &all, &asked, 2..=8);
    assert_eq!(rig.said(), Vec::<String>::new(), "one more is on its way");
    draws(&mut rig, &all, &asked, 9..=9);
    assert_eq!(rig.last().text, "ask 10");
    let asked = rig.last();
    draws(&mut rig, &all, &asked, 10..=12);
    let Outcome::Joined(info) = rig.outcome() else { panic!() };
    assert_eq!(info.members().len(), 12);
    // What was drawn is all there: more of it is no news.
    draws(&mut rig, &all, &asked, 11..=12);
    assert_eq!(rig.client.stats().unexpected, 2);
}

#[test]
fn a_page_that_is_lost_is_asked_for_soon_and_the_last_after_a_second() {
    let (mut rig, all, asked) = of_many(12);
    draws(&mut rig, &all, &asked, [2, 3, 5, 6, 7, 8]);
    rig.wait(99);
    assert_eq!(rig.said(), Vec::<String>::new(), "it may come still");
    rig.wait(1);
    let again = rig.last();
    assert_eq!(again.text, "ask 4", "by what came behind it");
    // What came meanwhile needn't come again.
    rig.sent.clear();
    draws(&mut rig, &all, &again, [4]);
    rig.wait(700);
    assert!(!rig.said().contains(&"ask 9".into()), "the others are on their way");
    rig.wait(600);
    let asked = rig.take_sent().into_iter().rfind(|sent| sent.text == "ask 9").expect("they were lost");
    draws(&mut rig, &all, &asked, 9..=12);
    let Outcome::Joined(info) = rig.outcome() else { panic!() };
    assert_eq!(info.members().len(), 12);
}

#[test]
fn pages_that_change_places_or_come_twice_are_taken_and_ask_for_nothing() {
    let places = [[2, 3, 4, 5, 6, 7, 8, 9], [9, 8, 7, 6, 5, 4, 3, 2], [3, 2, 5, 4, 7, 6, 9, 8]];
    for order in places {
        let (mut rig, all, asked) = of_many(12);
        draws(&mut rig, &all, &asked, order.iter().flat_map(|page| [*page; 2]).take(14));
        assert_eq!(rig.said(), Vec::<String>::new(), "{order:?}: one is still to come");
        draws(&mut rig, &all, &asked, order[7..].iter().copied());
        assert_eq!(rig.last().text, "ask 10", "{order:?}");
        let asked = rig.last();
        draws(&mut rig, &all, &asked, [12, 11, 10]);
        let Outcome::Joined(info) = rig.outcome() else { panic!() };
        assert!(info.members().iter().map(|member| member.number.get()).eq(1..=12), "{order:?}");
    }
}

#[test]
fn a_change_that_is_told_twice_voids_no_question_and_pages_of_before_it_do_no_harm() {
    let (mut rig, mut all, asked) = of_many(12);
    let before = all.clone();
    draws(&mut rig, &before, &asked, [2, 3, 5]);
    all.number += 1;
    let change = [Change::About { member: member(1), about: About::new(b"new").unwrap() }];
    for _ in 0..2 {
        rig.changed(&all, &change);
    }
    assert_eq!(rig.said(), Vec::<String>::new());
    draws(&mut rig, &before, &asked, [4, 6, 7, 8, 9]);
    assert_eq!(rig.last().text, "ask 4", "none is on its way");
    let asked = rig.last();
    draws(&mut rig, &all, &asked, 4..=11);
    let asked = rig.last();
    draws(&mut rig, &all, &asked, [12]);
    let Outcome::Joined(info) = rig.outcome() else { panic!() };
    assert_eq!((info.members().len(), &info.members()[0].about[..]), (12, &b"new"[..]));
}

#[test]
fn a_page_that_comes_twice_asks_for_nothing_and_one_behind_a_later_answer_counts() {
    let (mut rig, all, asked) = of_many(5);
    draws(&mut rig, &all, &asked, [2, 2, 3, 2, 3]);
    assert_eq!(rig.said(), Vec::<String>::new());
    // The answer of a later ping overtakes the last ones.
    let ping = rig.until("ping");
    assert!(ping.count > asked.count);
    let asked = rig.take_sent().into_iter().rfind(|sent| sent.text == "ask 4").unwrap_or(asked);
    rig.notice(ping.to, HANDLE, News::Pong { count: ping.count });
    draws(&mut rig, &all, &asked, 4..=5);
    let Outcome::Joined(info) = rig.outcome() else { panic!() };
    assert_eq!(info.members().len(), 5);
}

#[test]
fn a_page_that_comes_again_ends_no_search() {
    let (mut rig, mut all) = in_pool_of(&[0, 1]);
    all.members.push((3, "c"));
    all.number += 5;
    rig.changed(&all, &[]);
    let asked = rig.last();
    assert_eq!(asked.text, "ask 0");
    rig.page_at(&asked, &all, None, &all.members[..1], true);
    rig.page_at(&asked, &all, Some(2), &all.members[1..2], true);
    // From here on the broadcaster is silent, but somebody says its last page again and again.
    rig.until("resume");
    rig.sent.clear();
    for _ in 0..100 {
        rig.page_at(&asked, &all, Some(2), &all.members[1..2], true);
        rig.wait(50);
    }
    assert!(rig.sent.iter().any(|sent| sent.to == server(1)), "the next one is asked");
}
