//! A broadcaster that is killed, and started again at its port.

use poolmesh_proto::{CallFailed, Refusal};
use poolmesh_testkit::conformance::{client_config, ids, pool_ended};
use poolmesh_testkit::patience::{eventually, guarded};
use poolmesh_testkit::program::{Program, path};
use poolmesh_testkit::runtime::{ClassicSmol, ClassicStd, Client, Events, Mesh, Peer, Runtime};

use super::{mesh, millis};

fn broadcaster(runtime: &str, address: &str) -> (Program, String) {
    let program =
        Program::start("poolmesh-broadcaster", ["--listen", address, "--runtime", runtime, "--classic"]);
    let line = program.line();
    (program, line.strip_prefix("listening on ").unwrap().to_owned())
}

/// The host learns of the end of its pool when the broadcaster is back, and makes a new one; joiners are refused by the
/// old name and find the new; links that stand are not touched and not doubled.
fn killed<R: Runtime>(runtime: &str) {
    let (program, address) = broadcaster(runtime, "127.0.0.1:0");
    let mut config = client_config::<R>();
    config.call_timeout = millis(300);
    let client = || R::Client::connect_with(&address, config.clone()).unwrap();
    let (host, joiner, stranger) = (client(), client(), client());
    let (a, b) = (mesh::<R>(|_| {}), mesh::<R>(|_| {}));
    let old = eventually("a pool", || host.create().ok());
    a.connect_to_pool(&host, &old).unwrap();
    let joined = joiner.join(old.id()).unwrap();
    assert_eq!(b.connect_to_pool(&joiner, &joined).unwrap().connected.len(), 1);
    let (peer, mut events) = (a.accept().unwrap(), b.events());

    program.signal("KILL");
    drop(program);
    peer.send(b"n", &b"meanwhile"[..]).unwrap();
    let message = eventually("it comes", || match events.try_next()? {
        poolmesh_proto::driver::Event::Received(_, message) => Some(message),
        _ => None,
    });
    assert_eq!(message.payload(), b"meanwhile");
    for client in [&host, &joiner, &stranger] {
        assert!(matches!(client.list(), Err(CallFailed::TimedOut { .. })));
    }
    assert!(matches!(joiner.join(old.id()), Err(CallFailed::TimedOut { .. })));

    let mut ended = host.events();
    let (_program, again) = broadcaster(runtime, &address);
    assert_eq!(again, address);
    assert_eq!(pool_ended::<R::Client>(&mut ended).0, old.id());
    assert_eq!(ids(&stranger), [], "it remembers nothing");
    assert!(matches!(joiner.join(old.id()), Err(CallFailed::Refused(Refusal::NoSuchPool(_)))));
    let new = host.create().unwrap();
    assert_ne!(new.id(), old.id());
    assert_eq!(ids(&stranger), [new.id()]);
    a.connect_to_pool(&host, &new).unwrap();
    let report = b.connect_to_pool(&joiner, &joiner.join(new.id()).unwrap()).unwrap();
    assert_eq!((report.connected.len(), report.failed.len()), (1, 0));
    assert_eq!((a.peers().len(), b.peers().len(), b.stats().dialed), (1, 1, 1), "one link, the old one");
    let third = mesh::<R>(|_| {});
    let report = third.connect_to_pool(&stranger, &stranger.join(new.id()).unwrap()).unwrap();
    assert_eq!(report.connected.len(), 2);
}

#[test]
fn clients_on_std_outlive_their_broadcaster() {
    // Builds it, which may take longer than a test.
    let _ = path("poolmesh-broadcaster");
    guarded(|| ["std", "smol"].into_iter().for_each(killed::<ClassicStd>));
}

#[test]
fn clients_on_smol_outlive_their_broadcaster() {
    // Builds it, which may take longer than a test.
    let _ = path("poolmesh-broadcaster");
    guarded(|| ["std", "smol"].into_iter().for_each(killed::<ClassicSmol>));
}
