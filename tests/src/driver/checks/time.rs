//! Deadlines: kept though nothing comes in, looked at anew after each input, counted from the time it is.

use std::time::Duration;

use poolmesh_proto::wire::Request;
use poolmesh_proto::{CallFailed, CloseReason, PoolId};

use super::{Check, check};
use crate::driver::Told;
use crate::driver::stage::{Play, Stage, plain, pool};

pub(super) const CHECKS: &[Check] = &[
    check("time::a_request_is_sent_again", a_request_is_sent_again),
    check("time::a_call_is_given_up", a_call_is_given_up),
    check("time::pings_go_out_by_themselves", pings_go_out_by_themselves),
    check("time::an_input_moves_the_deadline", an_input_moves_the_deadline),
    check("time::the_clock_is_read_for_each_input", the_clock_is_read_for_each_input),
    check("time::a_stall_causes_no_burst", a_stall_causes_no_burst),
    check("time::with_nothing_to_do_it_sleeps", with_nothing_to_do_it_sleeps),
];

const STEP: Duration = Duration::from_millis(60);

fn id() -> PoolId {
    "mine".parse().unwrap()
}

fn a_request_is_sent_again(play: &dyn Play) {
    let mut stage = play.stage(&|client, _| client.resend_after = STEP);
    let start = stage.now();
    stage.driver().list();
    for steps in [0, 1, 3] {
        stage.expect(&Request::List);
        stage.took(start, STEP * steps, "the request");
    }
}

fn a_call_is_given_up(play: &dyn Play) {
    let mut stage = play.stage(&|client, _| client.call_timeout = STEP);
    let start = stage.now();
    stage.driver().list();
    match stage.told() {
        Told::Failed(CallFailed::TimedOut { sent: 1, .. }) => stage.took(start, STEP, "giving up"),
        other => panic!("not given up: {other:?}"),
    }
}

fn expect_pings(stage: &mut Stage, count: u32) {
    let start = stage.now();
    for ping in 0..count {
        stage.expect(&Request::Ping(id()));
        stage.took(start, STEP * ping, "a ping");
    }
}

/// One at once, then one an interval, and nothing comes in meanwhile.
fn pings_go_out_by_themselves(play: &dyn Play) {
    let mut stage = play.stage(&|client, _| client.ping_interval = STEP);
    let start = stage.now();
    stage.host("mine");
    for ping in 0..5 {
        stage.expect(&Request::Ping(id()));
        stage.took(start, STEP * ping, "a ping");
    }
}

/// A driver that sleeps for half an hour, and is given a reason to wake up earlier: by a datagram, by its program.
fn an_input_moves_the_deadline(play: &dyn Play) {
    let mut stage = play.stage(&|client, mesh| {
        client.ping_interval = STEP;
        mesh.link.close_timeout = STEP;
    });
    stage.driver().list();
    stage.expect(&Request::List);
    stage.settle();
    // The answer to create is what has the pings begin.
    let start = stage.now();
    stage.host("mine");
    for ping in 0..3 {
        stage.expect(&Request::Ping(id()));
        stage.took(start, STEP * ping, "a ping");
    }

    let mut stage = play.stage(&|_, mesh| mesh.link.close_timeout = STEP);
    let (peer, _stream) = stage.dialed();
    stage.driver().list();
    stage.expect(&Request::List);
    stage.settle();
    let start = stage.now();
    stage.driver().disconnect(peer);
    assert_eq!(stage.disconnected(peer), CloseReason::Local);
    stage.took(start, STEP, "the end of a link whose peer stays");
}

/// Who hands in a time from before it slept has everything due at once.
fn the_clock_is_read_for_each_input(play: &dyn Play) {
    let mut stage = play.stage(&|client, mesh| {
        (client.resend_after, client.ping_interval) = (STEP, STEP);
        mesh.link.close_timeout = STEP;
    });
    let (peer, _stream) = stage.dialed();
    stage.doze(STEP * 5);
    // A call.
    let start = stage.now();
    stage.driver().list();
    for steps in [0, 1] {
        stage.expect(&Request::List);
        stage.took(start, STEP * steps, "the request");
    }
    // A link that is closed.
    stage.doze(STEP * 5);
    while stage.world.receive(stage.broadcaster).is_some() {}
    let start = stage.now();
    stage.driver().disconnect(peer);
    assert_eq!(stage.disconnected(peer), CloseReason::Local);
    stage.took(start, STEP, "the end of a link whose peer stays");

    // A datagram.
    let mut stage = play.stage(&|client, _| client.ping_interval = STEP);
    stage.driver().create();
    stage.expect(&Request::Create);
    stage.doze(STEP * 5);
    let you = stage.client.unwrap();
    let start = stage.now();
    stage.reply(&pool("mine", you, you));
    for ping in 0..3 {
        stage.expect(&Request::Ping(id()));
        stage.took(start, STEP * ping, "a ping");
    }
}

/// A driver that was late for long makes up for nothing: what it says is the time, not the deadline it has missed.
fn a_stall_causes_no_burst(play: &dyn Play) {
    let mut stage = play.stage(&|client, _| client.ping_interval = STEP);
    stage.host("mine");
    expect_pings(&mut stage, 1);
    stage.world.stall(STEP * 20);
    // Of a driver with threads of its own, which has not stalled.
    while stage.world.receive(stage.broadcaster).is_some() {}
    let start = stage.now();
    stage.pass(STEP * 2);
    let mut pings = 0;
    while stage.world.receive(stage.broadcaster).is_some() {
        pings += 1;
    }
    let intervals = stage.now().saturating_duration_since(start).as_micros() / STEP.as_micros();
    assert!((1..=intervals + 2).contains(&pings), "{pings} pings within {intervals} intervals");
}

/// The world fails a driver that goes on and on without need; here there is none.
fn with_nothing_to_do_it_sleeps(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let address = stage.listening();
    let (peer, stream) = stage.accepted(address);
    let _other = stage.dialed();
    stage.pass(Duration::from_millis(100));
    stage.expect_silence("nothing has happened");
    stage.expect_no_request("nothing was asked");
    stage.driver().send(peer, "still", bytes::Bytes::from_static(b"here")).unwrap();
    stage.read(stream, 17, 17);
}
