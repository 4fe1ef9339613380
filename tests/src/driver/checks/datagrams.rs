//! The client and its broadcaster: what goes out, what comes in, and what must not stop the loop.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use poolmesh_proto::PoolId;
use poolmesh_proto::driver::PoolNews;
use poolmesh_proto::wire::{Request, Response};

use super::{Check, check, scripted};
use crate::driver::Told;
use crate::driver::stage::{Play, Stage, answer, plain, pool};

pub(super) const CHECKS: &[Check] = &[
    check("datagrams::a_request_goes_out_at_once", a_request_goes_out_at_once),
    check("datagrams::an_answer_is_told", an_answer_is_told),
    check("datagrams::all_that_came_is_taken_in", all_that_came_is_taken_in),
    check("datagrams::nonsense_stops_nothing", nonsense_stops_nothing),
    check("datagrams::what_is_too_long_is_not_cut", what_is_too_long_is_not_cut),
    check("datagrams::a_closed_port_stops_nothing", a_closed_port_stops_nothing),
    check("datagrams::the_end_of_a_pool_is_told", the_end_of_a_pool_is_told),
    scripted("datagrams::what_cant_be_sent_is_lost", what_cant_be_sent_is_lost),
    scripted("datagrams::errors_of_receiving_pass", errors_of_receiving_pass),
];

fn id(text: &str) -> PoolId {
    text.parse().unwrap()
}

fn pools(ids: &[&str]) -> Vec<u8> {
    answer(&Response::Pools(ids.iter().map(|text| id(text)).collect()))
}

fn expect_listed(stage: &mut Stage, expected: &[&str]) {
    match stage.told() {
        Told::Listed(listed) => assert_eq!(listed, expected.iter().map(|text| id(text)).collect::<Vec<_>>()),
        other => panic!("not the list: {other:?}"),
    }
}

/// Nothing sits in the machine while the driver sleeps: no deadline of this client comes within half an hour.
fn a_request_goes_out_at_once(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    for _ in 0..3 {
        stage.settle();
        let start = stage.now();
        stage.driver().list();
        stage.expect(&Request::List);
        stage.took(start, stage.now().saturating_duration_since(start), "the request");
        assert!(stage.world.script().is_none() || stage.now() == start, "the request waits in the machine");
    }
}

fn an_answer_is_told(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    stage.driver().list();
    stage.expect(&Request::List);
    stage.reply(&pools(&["a", "b"]));
    expect_listed(&mut stage, &["a", "b"]);
    stage.expect_silence("one call was made");
}

/// Twenty answers that are there at once: none is left behind.
fn all_that_came_is_taken_in(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let ids: Vec<String> = (0..20).map(|n| format!("pool-{n:02}")).collect();
    for name in &ids {
        stage.driver().join(id(name));
        stage.expect(&Request::Join(id(name)));
    }
    let you = stage.client.unwrap();
    for name in &ids {
        stage.reply(&pool(name, ([127, 0, 0, 1], 9).into(), you));
    }
    let mut told = BTreeSet::new();
    for _ in &ids {
        match stage.told() {
            Told::Pool(pool) => assert!(told.insert(pool.id()), "told twice"),
            other => panic!("not a pool: {other:?}"),
        }
    }
}

/// Datagrams that are empty, garbage, cut short or from somebody else are ignored, and the loop goes on.
fn nonsense_stops_nothing(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    stage.driver().list();
    stage.expect(&Request::List);
    let client = stage.client.unwrap();
    let stranger = stage.world.open_udp();
    for forged in [pools(&["forged"]), vec![], vec![4, 0, 0, 0, 0]] {
        stage.world.send(stranger, client, &forged);
    }
    for nonsense in [&[][..], &[2], &[2, 0xff, 0xff, 0xff, 0xff], &[99, 1, 2], &[0; 60_000]] {
        stage.reply(nonsense);
        stage.settle();
    }
    stage.expect_silence("no answer has come");
    stage.reply(&pools(&["real"]));
    expect_listed(&mut stage, &["real"]);
}

/// What is longer than the config allows is handed in as too long: cut to the limit it would look like an answer.
fn what_is_too_long_is_not_cut(play: &dyn Play) {
    let mut stage = play.stage(&|client, _| client.max_datagram = 64);
    stage.driver().list();
    stage.expect(&Request::List);
    let mut cut = pools(&[&"x".repeat(59)]);
    assert_eq!(cut.len(), 64);
    for more in [1, 1_000] {
        cut.resize(64 + more, b'x');
        stage.reply(&cut);
    }
    stage.expect_silence("what came is too long");
    stage.reply(&pools(&["real"]));
    expect_listed(&mut stage, &["real"]);
}

/// The broadcaster is gone, and the system says so: by an error of a later receive or send, which is none of theirs.
fn a_closed_port_stops_nothing(play: &dyn Play) {
    let mut stage = play.stage(&|client, _| client.resend_after = Duration::from_millis(40));
    stage.world.close_udp(stage.broadcaster);
    stage.driver().list();
    stage.pass(Duration::from_millis(150));
    stage.world.reopen_udp(stage.broadcaster);
    stage.expect(&Request::List);
    stage.reply(&pools(&["back"]));
    expect_listed(&mut stage, &["back"]);
}

fn the_end_of_a_pool_is_told(play: &dyn Play) {
    let mut stage = play.stage(&|client, _| client.ping_interval = Duration::from_millis(40));
    stage.host("mine");
    stage.expect(&Request::Ping(id("mine")));
    let text = b"ERROR: pool with id mine doesn't exist";
    stage.reply(&[&[4, 38, 0, 0, 0], &text[..]].concat());
    match stage.told() {
        Told::News(PoolNews::Ended { pool, .. }) => assert_eq!(pool, id("mine")),
        other => panic!("not the end of the pool: {other:?}"),
    }
    while stage.world.receive(stage.broadcaster).is_some() {}
    stage.expect_no_request("the pool has ended");
}

/// To the machine, a datagram that can't be sent is one that was lost.
fn what_cant_be_sent_is_lost(play: &dyn Play) {
    let mut stage = play.stage(&|client, _| client.resend_after = Duration::from_millis(50));
    let errors = [ErrorKind::WouldBlock, ErrorKind::NetworkUnreachable];
    stage.script().fail_sends(&errors);
    let start = stage.now();
    stage.driver().list();
    stage.expect(&Request::List);
    stage.took(start, Duration::from_millis(150), "the third attempt");
    stage.reply(&pools(&["a"]));
    expect_listed(&mut stage, &["a"]);
}

/// Interrupted calls, errors about earlier datagrams, a system without memory for a moment.
fn errors_of_receiving_pass(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    for errors in [
        &[ErrorKind::Interrupted, ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset][..],
        &[ErrorKind::OutOfMemory, ErrorKind::NetworkDown],
    ] {
        stage.driver().list();
        stage.expect(&Request::List);
        stage.script().fail_receives(errors);
        stage.reply(&pools(&["a"]));
        expect_listed(&mut stage, &["a"]);
    }
}
