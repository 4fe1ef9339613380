//! Sockets, opened and set up.

use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, TcpStream};

use poolmesh_proto::wire::preferred;
use smol::Async;
use smol::net::AsyncToSocketAddrs;

/// Prepares a connection for frames: what is written goes out at once.
pub(crate) fn prepare(stream: &Async<TcpStream>) -> io::Result<()> {
    stream.get_ref().set_nodelay(true)
}

/// The address to talk to of a name with a port, such as one of the [other broadcasters] of a client.
///
/// [other broadcasters]: poolmesh_proto::ClientConfig::broadcasters
///
/// # Errors
/// If it has none; the error names it.
pub async fn resolve(name: impl AsyncToSocketAddrs + Debug) -> io::Result<SocketAddr> {
    let described = format!("{name:?}");
    let none = || io::Error::new(io::ErrorKind::NotFound, format!("{described} has no address to talk to"));
    let resolved = smol::net::resolve(name).await.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{described} can't be resolved (it takes a name or an address, and a port): {error}"),
        )
    })?;
    preferred(resolved).ok_or_else(none)
}
