//! A stream of libp2p: TCP, Noise, Yamux.

use futures_util::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::{Behaviour, Control};

use super::Ready;
use crate::Fallible;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bench/1");

fn swarm() -> Fallible<(Swarm<Behaviour>, Control)> {
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| Behaviour::new())?
        // It is not used as long as another round isn't played.
        .with_swarm_config(|config| {
            config.with_idle_connection_timeout(std::time::Duration::from_secs(3_600))
        })
        .build();
    let control = swarm.behaviour().new_control();
    Ok((swarm, control))
}

/// Goes on with all that a swarm does beside the stream.
fn run(mut swarm: Swarm<Behaviour>) {
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
}

/// Tells its address, and takes one stream.
pub(super) async fn accept(ready: Ready) -> Fallible<Stream> {
    let (mut swarm, mut control) = swarm()?;
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let Some(SwarmEvent::NewListenAddr { address, .. }) = swarm.next().await {
            break address;
        }
    };
    let mut streams = control.accept(PROTOCOL)?;
    ready.send(Ok(address.with(Protocol::P2p(*swarm.local_peer_id())).to_string()))?;
    run(swarm);
    let (_, stream) = streams.next().await.ok_or("nobody came")?;
    Ok(stream)
}

/// Opens a stream to one who accepts.
pub(super) async fn dial(place: &str) -> Fallible<Stream> {
    let (mut swarm, mut control) = swarm()?;
    let address: Multiaddr = place.parse()?;
    let peer = peer_of(&address).ok_or("an address without a peer")?;
    swarm.dial(address)?;
    run(swarm);
    Ok(control.open_stream(peer, PROTOCOL).await?)
}

fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    address.iter().find_map(|part| if let Protocol::P2p(peer) = part { Some(peer) } else { None })
}
