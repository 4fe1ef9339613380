//! A broadcaster's driver, where there is one.

use std::time::Duration;

use poolmesh_proto::BroadcasterConfig;
use poolmesh_proto::wire::Request;

use super::{Check, check};
use crate::driver::SocketId;
use crate::driver::stage::{Play, Stage, WATCH, request};

pub(super) const CHECKS: &[Check] = &[
    check("serving::requests_are_answered_at_once", requests_are_answered_at_once),
    check("serving::a_pool_ends_on_time", a_pool_ends_on_time),
    check("serving::pings_keep_a_pool", pings_keep_a_pool),
    check("serving::nonsense_stops_nothing", nonsense_stops_nothing),
    check("serving::a_closed_port_stops_nothing", a_closed_port_stops_nothing),
];

const STEP: Duration = Duration::from_millis(100);

fn serve(play: &dyn Play, ping_timeout: Duration) -> Option<Stage> {
    let mut config = BroadcasterConfig::default().with_classic();
    config.ping_timeout = ping_timeout;
    let stage = play.serve(config);
    if stage.is_none() {
        super::skip("drives no broadcaster");
    }
    stage
}

fn ask(stage: &mut Stage, from: SocketId, datagram: &[u8]) -> Vec<u8> {
    let server = stage.server();
    stage.world.send(from, server, datagram);
    stage.until("it answers", |stage| stage.world.receive(from)).0
}

/// Has a pool made, and answers its name's bytes.
fn create(stage: &mut Stage, from: SocketId) -> Vec<u8> {
    let answer = ask(stage, from, &request(&Request::Create));
    assert_eq!(answer[0], 3, "{}", answer.escape_ascii());
    answer[5..].split(|byte| *byte == b' ').next().unwrap().to_vec()
}

fn requests_are_answered_at_once(play: &dyn Play) {
    let Some(mut stage) = serve(play, Duration::from_secs(3_600)) else { return };
    let askers = [stage.broadcaster, stage.world.open_udp()];
    stage.settle();
    let start = stage.now();
    let pools = askers.map(|asker| create(&mut stage, asker));
    assert_ne!(pools[0], pools[1]);
    let listed = ask(&mut stage, askers[0], &request(&Request::List));
    assert_eq!(listed.len(), 5 + pools[0].len() + 1 + pools[1].len());
    assert!(stage.world.script().is_none() || stage.now() == start, "answers wait in the machine");
}

/// Though nothing comes in.
fn a_pool_ends_on_time(play: &dyn Play) {
    let Some(mut stage) = serve(play, STEP) else { return };
    let host = stage.broadcaster;
    let start = stage.now();
    create(&mut stage, host);
    let (notice, _) = stage.until("the notice comes", |stage| stage.world.receive(host));
    assert_eq!(notice, [5]);
    stage.took(start, STEP, "the notice");
}

/// The deadline moves with what comes in.
fn pings_keep_a_pool(play: &dyn Play) {
    // So long that no busy machine makes a ping late.
    let Some(mut stage) = serve(play, STEP * 15) else { return };
    let host = stage.broadcaster;
    let pool = create(&mut stage, host);
    let (server, len) = (stage.server(), u32::try_from(pool.len()).unwrap().to_le_bytes());
    let ping = [&[1][..], &len, &pool].concat();
    let mut last = stage.now();
    for _ in 0..20 {
        stage.pass(STEP);
        last = stage.now();
        stage.world.send(host, server, &ping);
    }
    let told = stage.world.receive(host);
    assert!(told.is_none(), "it has ended: {told:?}");
    stage.until("the notice comes", |stage| stage.world.receive(host));
    stage.took(last, STEP * 15, "the notice");
}

fn nonsense_stops_nothing(play: &dyn Play) {
    let Some(mut stage) = serve(play, Duration::from_secs(3_600)) else { return };
    let (asker, server) = (stage.broadcaster, stage.server());
    stage.world.send(asker, server, &[]);
    stage.pass(WATCH);
    assert!(stage.world.receive(asker).is_none(), "an empty datagram is not answered");
    for nonsense in [&[99, 1][..], &[3, 0xff, 0xff, 0xff, 0xff], &[1, 2, 0, 0, 0, b'x']] {
        assert_eq!(ask(&mut stage, asker, nonsense)[0], 4);
    }
    // Cut to the limit it would be a good request to list.
    assert_eq!(ask(&mut stage, asker, &[2; 1_025])[0], 4, "a request that is too long was cut");
    assert_eq!(ask(&mut stage, asker, &request(&Request::List))[0], 2);
}

/// An answer meets nobody, and the system says so: by an error of a later receive or send, which is none of theirs.
fn a_closed_port_stops_nothing(play: &dyn Play) {
    let Some(mut stage) = serve(play, STEP) else { return };
    let (gone, other) = (stage.broadcaster, stage.world.open_udp());
    create(&mut stage, gone);
    stage.world.close_udp(gone);
    stage.pass(STEP * 2);
    for _ in 0..3 {
        assert_eq!(ask(&mut stage, other, &request(&Request::List))[0], 2);
    }
}
