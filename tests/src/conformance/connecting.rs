//! Finding the broadcaster.

use std::net::UdpSocket;

use super::{Server, client, client_config, ids, mesh};
use crate::runtime::{Client, Mesh, Runtime};

/// A name with a port is resolved.
pub fn broadcaster_by_name<R: Runtime>() {
    let server = Server::start::<R>();
    let name = format!("localhost:{}", server.address().port());
    let client = R::Client::connect_with(&name, client_config::<R>()).unwrap();
    assert_eq!(ids(&client), []);
    assert_eq!(client.broadcaster(), server.address(), "an IPv4 address is preferred");
}

/// An IPv4 address is taken as it is.
pub fn broadcaster_by_ipv4_address<R: Runtime>() {
    let server = Server::start::<R>();
    let client = client::<R>(server.address());
    let pool = client.create().unwrap();
    assert_eq!(ids(&client), [pool.id()]);
    assert_eq!((pool.is_host(), pool.you().port()), (true, client.local_addr().port()));
}

/// A whole lobby over IPv6, links included.
pub fn lobby_over_ipv6<R: Runtime>() {
    if let Err(error) = UdpSocket::bind("[::1]:0") {
        println!("skipped: this machine has no IPv6 ({error})");
        return;
    }
    let server = Server::start_at::<R>("[::1]:0".parse().unwrap());
    let (host, joiner) = (client::<R>(server.address()), client::<R>(server.address()));
    let (host_mesh, joiner_mesh) = (mesh::<R>(), mesh::<R>());
    let created = host.create().unwrap();
    assert!(created.you().is_ipv6());
    let listening = host_mesh.connect_to_pool(&host, &created).unwrap().listening.unwrap();
    assert!(listening.is_ipv6());
    let joined = joiner.join(created.id()).unwrap();
    let report = joiner_mesh.connect_to_pool(&joiner, &joined).unwrap();
    assert_eq!((report.connected.len(), report.failed.len()), (1, 0));
    assert!(host_mesh.accept().is_some());
}

/// A name without an address is an error that says which name.
pub fn unresolvable_name<R: Runtime>() {
    // An empty label: no name server is asked for it.
    for name in ["no..such..name:6969", "no-port"] {
        let error = R::Client::connect_with(name, client_config::<R>()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        let error = mesh::<R>().connect_to_peer(name).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}
