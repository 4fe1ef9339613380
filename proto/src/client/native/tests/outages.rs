//! What a member does when broadcasters fall silent, forget and come back again, more than once (PROTOCOL.md, section 7.1).

use super::turning::{again, in_pool_of};
use super::*;

/// It is said to be unknown, and asks for its place.
fn forgotten(rig: &mut Rig) -> Sent {
    rig.until("ping");
    rig.unknown();
    let resume = rig.last();
    assert_eq!(resume.text, "resume");
    resume
}

/// Three pings are not answered.
fn silent(rig: &mut Rig) -> Sent {
    let ping = rig.until("ping");
    rig.until("resume");
    ping
}

#[test]
fn each_outage_is_told_and_each_end_of_one() {
    let (mut rig, _) = in_pool_of(&[0, 1]);
    for _ in 0..2 {
        let ping = silent(&mut rig);
        assert_eq!(rig.news(), ["Unreachable"]);
        rig.notice(server(0), HANDLE, News::Pong { count: ping.count });
        assert_eq!(rig.news(), ["Restored"]);
        rig.live(10_000);
    }
    assert_eq!(rig.news(), [] as [&str; 0]);
}

#[test]
fn who_is_known_after_all_is_believed_when_it_is_forgotten_later() {
    let (mut rig, _) = in_pool_of(&[0]);
    let ping = rig.until("ping");
    rig.challenge(&ping, None);
    rig.until("resume");
    rig.notice(server(0), HANDLE, News::Pong { count: ping.count });
    assert_eq!(forgotten(&mut rig).to, server(0));
}

#[test]
fn a_pool_that_is_coming_back_is_not_there_yet_when_its_broadcaster_is_heard_again() {
    let (mut rig, now) = in_pool_of(&[0]);
    let resume = forgotten(&mut rig);
    rig.answer(&resume, Reply::Joined(again()));
    let ping = rig.until("ping");
    rig.pong();
    let latest = silent(&mut rig);
    assert_eq!((latest.handle, rig.news()), (ping.handle, vec!["Unreachable".to_string()]));
    rig.notice(server(0), again().handle, News::Pong { count: latest.count });
    assert_eq!(rig.news(), [] as [&str; 0]);
    rig.until("ping");
    rig.roster(&Pool { era: 10, generation: 1, ..now });
    assert_eq!(rig.news(), ["Restored"]);
}

#[test]
fn who_is_forgotten_where_it_has_come_to_asks_there() {
    let (mut rig, _) = in_pool_of(&[0, 1]);
    let probe = rig.until("probe");
    rig.answer(&probe, Reply::Cookie(Cookie::new(6).unwrap()));
    let resume = rig.until("resume");
    rig.answer(&resume, Reply::Joined(again()));
    rig.until("ping");
    rig.unknown();
    let resume = rig.until("resume");
    assert_eq!((resume.to, resume.cookie), (server(1), Cookie::new(6)));
}

#[test]
fn who_is_asked_to_wait_again_waits_again() {
    let (mut rig, _) = in_pool_of(&[0]);
    let mut resume = forgotten(&mut rig);
    for _ in 0..3 {
        rig.refuse(&resume, Refusal::Recovering { wait: 3_000 });
        rig.sent.clear();
        rig.wait(2_900);
        assert_eq!(rig.said(), [] as [&str; 0]);
        resume = rig.until("resume");
    }
}

#[test]
fn what_happens_in_the_pause_behind_a_round_does_not_end_it() {
    let (mut rig, _) = in_pool_of(&[0]);
    let resume = forgotten(&mut rig);
    // It is not wanted, and there is no other.
    rig.refuse(&resume, Refusal::TooManyMembers);
    rig.sent.clear();
    for _ in 0..22 {
        rig.now += 100;
        let now = rig.time();
        rig.client.handle_timeout(now);
    }
    assert_eq!(rig.said(), [] as [&str; 0], "an interval, shorter by a quarter at most");
    assert!(rig.until("resume").at <= resume.at + 3_750);
}

#[test]
fn a_place_of_another_member_is_not_taken() {
    let (mut rig, _) = in_pool_of(&[0]);
    let resume = forgotten(&mut rig);
    rig.answer(&resume, Reply::Joined(Joined { member: member(3), ..again() }));
    rig.sent.clear();
    rig.wait(1_500);
    assert!(rig.said().iter().all(|said| said == "resume"));
}

#[test]
fn what_nobody_waits_for_while_it_turns_is_unexpected_and_strangers_are_not_heard() {
    let (mut rig, _) = in_pool_of(&[0, 1]);
    let resume = forgotten(&mut rig);
    rig.refuse(&Sent { tx: Tx::new(resume.tx.unwrap().get() ^ 1), ..resume.clone() }, Refusal::Stale);
    rig.refuse(&Sent { to: server(5), ..resume }, Refusal::Stale);
    let stats = rig.client.stats();
    assert_eq!((stats.unexpected, stats.foreign, stats.forged), (1, 1, 0));
    assert_eq!(rig.news(), [] as [&str; 0]);
}

#[test]
fn a_broadcaster_speaks_for_its_own_sessions_alone() {
    let mut rig = Rig::with_several();
    rig.join(2, &pool(&[(1, "a"), (2, "me")]));
    let ping = rig.until("ping");
    rig.sent.clear();
    rig.challenge(&Sent { to: server(1), ..ping }, None);
    rig.notice(server(1), HANDLE, News::Ended(EndReason::Kicked));
    assert_eq!((rig.said(), rig.news(), rig.client.stats().unexpected), (vec![], vec![], 2));
}

#[test]
fn any_answer_in_the_old_session_ends_the_search_but_none_that_was_taken_before() {
    for done in [false, true] {
        let (mut rig, now) = in_pool_of(&[0, 1]);
        let first = rig.until("ping");
        rig.notice(server(0), HANDLE, News::Pong { count: first.count });
        rig.client.set_about(rig.time(), id(), b"new").unwrap();
        let about = rig.last();
        let ping = silent(&mut rig);
        assert_eq!(rig.news(), ["Unreachable"]);
        rig.notice(server(0), HANDLE, News::Pong { count: first.count });
        rig.page_at(&first, &now, None, &now.members, false);
        assert_eq!(rig.news(), [] as [&str; 0], "a copy");
        if done {
            rig.notice(server(0), HANDLE, News::Done { count: about.count, outcome: Ok(()) });
            assert_eq!(rig.news(), ["Restored", "Done"]);
        } else {
            rig.page_at(&ping, &now, None, &now.members, false);
            assert_eq!(rig.news(), ["Restored"]);
        }
        rig.sent.clear();
        rig.wait(2_500);
        assert!(rig.said().iter().all(|said| said.starts_with("ping") || said.starts_with("about")));
    }
}

#[test]
fn who_turns_does_not_say_where_it_is() {
    let (mut rig, _) = in_pool_of(&[0]);
    let ping = rig.until("ping");
    rig.challenge(&ping, None);
    rig.sent.clear();
    rig.challenge(&ping, Cookie::new(9));
    rig.wait(200);
    assert_eq!((rig.said(), rig.client.stats().unexpected), (vec![], 1));
}
