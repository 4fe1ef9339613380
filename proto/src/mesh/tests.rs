//! The mesh's rules.

use core::time::Duration;

use super::*;
use crate::Fault;

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn mesh(change: impl FnOnce(&mut MeshConfig)) -> Mesh {
    let mut config = MeshConfig::default();
    change(&mut config);
    Mesh::new(config)
}

fn drain(mesh: &mut Mesh) -> (Vec<MeshOutput>, Option<Instant>) {
    let mut outputs = Vec::new();
    loop {
        match mesh.poll_output() {
            MeshOutput::Wait(deadline) => return (outputs, deadline),
            output => outputs.push(output),
        }
    }
}

/// The attempts among the outputs.
fn attempts(outputs: &[MeshOutput]) -> Vec<(DialId, SocketAddr)> {
    let attempt = |output: &MeshOutput| match output {
        MeshOutput::Dial { dial, address, .. } => Some((*dial, *address)),
        _ => None,
    };
    outputs.iter().filter_map(attempt).collect()
}

fn events(outputs: Vec<MeshOutput>) -> Vec<MeshEvent> {
    let event = |output| match output {
        MeshOutput::Event(event) => Some(event),
        _ => None,
    };
    outputs.into_iter().filter_map(event).collect()
}

fn report(events: &[MeshEvent]) -> &ConnectReport {
    match events.last() {
        Some(MeshEvent::Settled(report)) => report,
        other => panic!("no report: {other:?}"),
    }
}

#[test]
fn a_pool_has_everyone_dialed_but_yourself() {
    let mut mesh = mesh(|_| {});
    let pool = PoolInfo::new("p".parse().unwrap(), address(1), address(2), [2, 1, 3].map(address));
    let call = mesh.enter(at(0), &pool).unwrap();
    let (outputs, _) = drain(&mut mesh);
    assert!(outputs.contains(&MeshOutput::Listen { address: "0.0.0.0:2".parse().unwrap() }));
    let dials = attempts(&outputs);
    assert_eq!(dials.iter().map(|(_, address)| *address).collect::<Vec<_>>(), [1, 3].map(address));
    let (peer, _link) = mesh.handle_dialed(at(1), dials[0].0).unwrap();
    mesh.handle_dial_failed(at(1), dials[1].0, Fault::Refused);
    let mut now = at(1);
    let events = loop {
        let (outputs, deadline) = drain(&mut mesh);
        if let [(dial, _)] = attempts(&outputs)[..] {
            mesh.handle_dial_failed(now, dial, Fault::Refused);
            continue;
        }
        let events = events(outputs);
        if matches!(events.last(), Some(MeshEvent::Settled(_))) {
            break events;
        }
        if let Some(deadline) = deadline {
            now = deadline;
            mesh.handle_timeout(now);
        }
    };
    let failure = DialFailure::Failed { fault: Fault::Refused, attempts: 5 };
    assert_eq!(
        *report(&events),
        ConnectReport {
            id: call,
            connected: [(address(1), peer)].to_vec(),
            failed: [(address(3), failure)].to_vec()
        },
        "partial success is success"
    );
    assert!(events.contains(&MeshEvent::PeerUnreachable { address: address(3), failure }));
    assert_eq!(now, at(1 + 100 + 200 + 400 + 800), "backs off");
}

#[test]
fn who_comes_late_is_met_without_a_report() {
    let mut mesh = mesh(|config| config.max_dials = 1);
    mesh.meet(at(0), address(1));
    mesh.meet(at(0), address(2));
    let (outputs, _) = drain(&mut mesh);
    let [(dial, to)] = attempts(&outputs)[..] else { panic!("{outputs:?}") };
    let too_many = DialFailure::TooManyDials;
    assert_eq!(events(outputs), [MeshEvent::PeerUnreachable { address: address(2), failure: too_many }]);
    let (peer, _link) = mesh.handle_dialed(at(1), dial).unwrap();
    mesh.meet(at(2), to);
    let (outputs, deadline) = drain(&mut mesh);
    let connected = MeshEvent::PeerConnected { peer, address: address(1), side: Side::Dialed };
    assert_eq!((events(outputs), deadline), ([connected].to_vec(), None), "it is dialed once");
    mesh.close();
    mesh.meet(at(3), address(2));
    assert!(attempts(&drain(&mut mesh).0).is_empty());
}

#[test]
fn a_host_dials_nobody_and_is_done_at_once() {
    let mut mesh = mesh(|_| {});
    let pool = PoolInfo::new("p".parse().unwrap(), address(1), address(1), [address(1)]);
    mesh.enter(at(0), &pool).unwrap();
    let (outputs, deadline) = drain(&mut mesh);
    assert_eq!((attempts(&outputs), deadline), (Vec::new(), None));
    assert_eq!(report(&events(outputs)).failed, []);
}

#[test]
fn an_attempt_nobody_reports_on_times_out() {
    let mut mesh = mesh(|_| {});
    mesh.connect(at(0), [address(1)]).unwrap();
    let (outputs, deadline) = drain(&mut mesh);
    let (first, _) = attempts(&outputs)[0];
    assert_eq!(deadline, Some(at(2_000)));
    mesh.handle_timeout(at(2_000));
    let (outputs, deadline) = drain(&mut mesh);
    assert_eq!((outputs, deadline), ([MeshOutput::Abandon { dial: first }].to_vec(), Some(at(2_100))));
    assert!(mesh.handle_dialed(at(2_001), first).is_none(), "too late");
    mesh.handle_timeout(at(2_100));
    let (second, _) = attempts(&drain(&mut mesh).0)[0];
    mesh.handle_timeout(at(4_100));
    drain(&mut mesh);
    mesh.handle_timeout(at(4_300));
    let (outputs, deadline) = drain(&mut mesh);
    assert_ne!(attempts(&outputs)[0].0, second);
    assert_eq!(deadline, Some(at(5_000)), "the whole has a deadline");
    mesh.handle_timeout(at(5_000));
    let events = events(drain(&mut mesh).0);
    let failure = DialFailure::Failed { fault: Fault::TimedOut, attempts: 3 };
    assert_eq!(report(&events).failed, [(address(1), failure)]);
}

#[test]
fn only_so_many_are_dialed_at_a_time() {
    let mut mesh = mesh(|config| config.max_dialing = 2);
    mesh.connect(at(0), (1..6).map(address)).unwrap();
    let mut dialed = 0;
    while let [(dial, _), ..] = attempts(&drain(&mut mesh).0)[..] {
        assert!(mesh.dials.under_way() <= 2);
        dialed += 1;
        let _peer = mesh.handle_dialed(at(0), dial).unwrap();
        // The other one of the first two goes unreported; its address is not counted.
    }
    assert_eq!(dialed, 4);
}

#[test]
fn one_address_has_one_link_from_here() {
    let mut mesh = mesh(|_| {});
    mesh.connect(at(0), [address(1), address(1)]).unwrap();
    mesh.connect(at(0), [address(1)]).unwrap();
    let dials = attempts(&drain(&mut mesh).0);
    assert_eq!(dials.len(), 1);
    let (peer, _) = mesh.handle_dialed(at(0), dials[0].0).unwrap();
    assert_eq!(events(drain(&mut mesh).0).len(), 3, "connected, and two reports");
    mesh.connect(at(0), [address(1)]).unwrap();
    let events = events(drain(&mut mesh).0);
    assert_eq!(report(&events).connected, [(address(1), peer)]);
    mesh.handle_closed(at(0), peer, CloseReason::Remote);
    mesh.connect(at(0), [address(1)]).unwrap();
    assert_eq!(attempts(&drain(&mut mesh).0).len(), 1, "gone, it is dialed again");
}

#[test]
fn links_and_untold_links_are_bounded() {
    let mut mesh = mesh(|config| (config.max_links, config.max_pending_accepts) = (3, 2));
    let (first, _) = mesh.handle_accepted(at(0), address(1)).unwrap();
    assert!(mesh.handle_accepted(at(0), address(2)).is_some());
    assert!(mesh.handle_accepted(at(0), address(3)).is_none(), "nobody polls");
    drain(&mut mesh);
    assert!(mesh.handle_accepted(at(0), address(3)).is_some());
    drain(&mut mesh);
    assert!(mesh.handle_accepted(at(0), address(4)).is_none(), "three links");
    mesh.connect(at(0), [address(9)]).unwrap();
    let (dial, _) = attempts(&drain(&mut mesh).0)[0];
    assert!(mesh.handle_dialed(at(0), dial).is_none());
    let events = events(drain(&mut mesh).0);
    assert_eq!(report(&events).failed, [(address(9), DialFailure::TooManyLinks)]);
    assert_eq!(mesh.stats().refused, 3);
    mesh.handle_closed(at(0), first, CloseReason::Remote);
    mesh.handle_closed(at(0), first, CloseReason::Remote);
    assert!(mesh.handle_accepted(at(0), address(4)).is_some());
    assert_eq!(mesh.stats().gone, 1);
}

#[test]
fn close_gives_everything_up() {
    let mut mesh = mesh(|config| config.max_dialing = 1);
    mesh.listen(address(0)).unwrap();
    let (peer, _) = mesh.handle_accepted(at(0), address(1)).unwrap();
    mesh.connect(at(0), [address(2), address(3)]).unwrap();
    let (dial, _) = attempts(&drain(&mut mesh).0)[0];
    mesh.close();
    let (outputs, deadline) = drain(&mut mesh);
    assert_eq!(deadline, None);
    for expected in [MeshOutput::StopListening, MeshOutput::Abandon { dial }, MeshOutput::Close { peer }] {
        assert!(outputs.contains(&expected), "{expected:?}");
    }
    let failed = [2, 3].map(|port| (address(port), DialFailure::Closed));
    assert_eq!(report(&events(outputs)).failed, failed);
    assert!(mesh.handle_accepted(at(0), address(4)).is_none());
    assert!(mesh.handle_dialed(at(0), dial).is_none());
    assert_eq!(mesh.connect(at(0), [address(1)]), Err(ConnectError::Closed));
    mesh.handle_closed(at(0), peer, CloseReason::Local);
    let gone = MeshEvent::PeerGone { peer, address: address(1), reason: CloseReason::Local };
    assert_eq!(events(drain(&mut mesh).0), [gone]);
}

#[test]
fn too_many_dials_are_the_callers_error() {
    let mut mesh = mesh(|config| config.max_dials = 2);
    let error = Err(ConnectError::TooManyDials { limit: 2 });
    assert_eq!(mesh.connect(at(0), (1..4).map(address)), error);
    mesh.connect(at(0), (1..3).map(address)).unwrap();
    assert_eq!(mesh.connect(at(0), [address(4)]), error);
    mesh.connect(at(0), [address(1)]).unwrap();
    assert_eq!(mesh.connect(at(0), [address(1)]), error, "two calls wait");
}

#[test]
fn a_pool_with_too_many_peers_is_entered_as_far_as_it_goes() {
    let mut mesh = mesh(|config| config.max_dials = 2);
    let pool = PoolInfo::new("p".parse().unwrap(), address(1), address(9), (1..10).map(address));
    mesh.enter(at(0), &pool).unwrap();
    let (outputs, _) = drain(&mut mesh);
    let dials = attempts(&outputs);
    assert_eq!(dials.iter().map(|(_, address)| address.port()).collect::<Vec<_>>(), [1, 2]);
    for (dial, _) in dials {
        let _peer = mesh.handle_dialed(at(0), dial).unwrap();
    }
    let events = events(drain(&mut mesh).0);
    let report = report(&events);
    assert_eq!((report.connected.len(), report.failed.len()), (2, 6));
    assert!(report.failed.iter().all(|(_, failure)| *failure == DialFailure::TooManyDials));
}

#[test]
fn a_forgotten_call_is_not_reported() {
    let mut mesh = mesh(|_| {});
    let call = mesh.connect(at(0), [address(1)]).unwrap();
    mesh.cancel(call);
    let (dial, _) = attempts(&drain(&mut mesh).0)[0];
    let _peer = mesh.handle_dialed(at(0), dial).unwrap();
    assert!(matches!(events(drain(&mut mesh).0)[..], [MeshEvent::PeerConnected { .. }]));
}

/// Whatever tells the mesh the time may be the one that finds an attempt due.
#[test]
fn an_attempt_that_any_input_finds_due_is_made() {
    let inputs: [fn(&mut Mesh, DialId); 5] = [
        |mesh, stale| assert!(mesh.handle_dialed(at(200), stale).is_none()),
        |mesh, stale| mesh.handle_dial_failed(at(200), stale, Fault::Refused),
        |mesh, _| assert!(mesh.handle_accepted(at(200), address(9)).is_some()),
        |mesh, _| mesh.handle_closed(at(200), PeerId(7), CloseReason::Remote),
        |mesh, _| mesh.handle_timeout(at(200)),
    ];
    for input in inputs {
        let mut mesh = mesh(|config| config.dial_backoff = Duration::from_millis(100));
        mesh.connect(at(0), [address(1)]).unwrap();
        let dial = attempts(&drain(&mut mesh).0)[0].0;
        mesh.handle_dial_failed(at(0), dial, Fault::Refused);
        assert_eq!(drain(&mut mesh).1, Some(at(100)), "the next attempt");
        input(&mut mesh, dial);
        let (outputs, deadline) = drain(&mut mesh);
        assert_eq!(attempts(&outputs).len(), 1);
        assert!(deadline.is_some_and(|at| at > self::at(200)));
    }
}

#[test]
fn a_call_that_is_forgotten_at_the_last_moment_is_not_reported() {
    for late in [0, 1] {
        let mut mesh = mesh(|_| {});
        let calls = [0; 3].map(|_| mesh.connect(at(0), [address(1)]).unwrap());
        let (dial, _) = attempts(&drain(&mut mesh).0)[0];
        let _peer = mesh.handle_dialed(at(0), dial).unwrap();
        assert!(matches!(mesh.poll_output(), MeshOutput::Event(MeshEvent::PeerConnected { .. })));
        let MeshOutput::Event(MeshEvent::Settled(first)) = mesh.poll_output() else { panic!("no report") };
        mesh.cancel(calls[1 + late]);
        let reports = events(drain(&mut mesh).0);
        assert_eq!((first.id, report(&reports).id, reports.len()), (calls[0], calls[2 - late], 1));
    }
}

#[test]
fn a_pool_known_by_ipv6_is_entered_on_ipv6() {
    let mut mesh = mesh(|_| {});
    let you = "[2001:db8::1]:7".parse().unwrap();
    mesh.enter(at(0), &PoolInfo::new("p".parse().unwrap(), you, you, [you])).unwrap();
    assert_eq!(drain(&mut mesh).0[0], MeshOutput::Listen { address: "[::]:7".parse().unwrap() });
}

#[test]
fn listening_is_asked_for_once_but_for_any_port() {
    let mut mesh = mesh(|_| {});
    let mut listens = |address: SocketAddr| {
        mesh.listen(address).unwrap();
        let listens = drain(&mut mesh).0;
        assert!(listens.iter().all(|output| *output == MeshOutput::Listen { address }));
        listens.len()
    };
    assert_eq!([1, 1, 2, 0, 0].map(|port| listens(address(port))), [1, 0, 1, 1, 1]);
}

#[test]
fn what_became_of_listening_is_told() {
    let mut mesh = mesh(|_| {});
    mesh.listen(address(1)).unwrap();
    drain(&mut mesh);
    mesh.handle_listening(address(1));
    assert_eq!(events(drain(&mut mesh).0), [MeshEvent::Listening { address: address(1) }]);
    mesh.handle_listen_failed(address(2), Fault::Other);
    mesh.listen(address(1)).unwrap();
    let failed = |port, fault| MeshEvent::ListenFailed { address: address(port), fault };
    let told = |event| [MeshOutput::Event(event)].to_vec();
    assert_eq!(drain(&mut mesh).0, told(failed(2, Fault::Other)), "another place");
    mesh.handle_listen_failed(address(1), Fault::AddressInUse);
    assert_eq!(drain(&mut mesh).0, told(failed(1, Fault::AddressInUse)));
    mesh.listen(address(1)).unwrap();
    assert_eq!(drain(&mut mesh).0, [MeshOutput::Listen { address: address(1) }], "again");
    mesh.close();
    drain(&mut mesh);
    mesh.handle_listening(address(1));
    assert_eq!(drain(&mut mesh).0, []);
}

#[test]
fn links_are_closed_one_by_one_and_counted() {
    let mut mesh = mesh(|_| {});
    mesh.connect(at(0), [address(1), address(2)]).unwrap();
    let dials = attempts(&drain(&mut mesh).0);
    let (one, mut link) = mesh.handle_dialed(at(0), dials[0].0).unwrap();
    let (_, mut other) = mesh.handle_dialed(at(0), dials[1].0).unwrap();
    for port in [3, 4] {
        assert!(mesh.handle_accepted(at(0), address(port)).is_some());
    }
    link.send("e", &b"123"[..]).unwrap();
    other.send("e", &b""[..]).unwrap();
    assert_eq!(mesh.queued(), 12 + 9);
    assert_eq!(mesh.peers().map(|(_, at)| at).collect::<Vec<_>>(), [1, 2, 3, 4].map(address));
    drain(&mut mesh);
    let call = mesh.connect(at(0), [address(1), address(1)]).unwrap();
    let connected = [(address(1), one)].to_vec();
    let settled = ConnectReport { id: call, connected, failed: Vec::new() };
    assert_eq!(events(drain(&mut mesh).0), [MeshEvent::Settled(settled)], "named once");
    assert!(mesh.disconnect(one));
    assert_eq!(drain(&mut mesh).0, [MeshOutput::Close { peer: one }]);
    mesh.handle_closed(at(0), one, CloseReason::Local);
    drain(&mut mesh);
    assert!(!mesh.disconnect(one), "gone");
    assert_eq!(drain(&mut mesh).0, []);
    let counted = MeshStats { dials: 2, dialed: 2, accepted: 2, refused: 0, gone: 1 };
    assert_eq!(mesh.stats(), counted);
}
