//! Who sends an event to many, and the many.
//!
//! The next event is sent when all have the last one, so that none is packed together with others.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process;
use std::thread;

use poolmesh_proto::MeshConfig;

use super::link::Maker;
use super::{obey, serve};
use crate::Fallible;
use crate::yardstick::frames::{NAME_TEXT, Shape};

const SHAPE: Shape = Shape::Small;
/// More links than any benchmark makes.
const LINKS: usize = 4_096;

/// What an announcer does: waits for so many links, and then sends an event to all.
trait Announce {
    fn wait_for(&mut self, links: usize) -> Fallible<()>;
    fn announce(&mut self) -> Fallible<()>;
}

/// Is told `links N`: waits for so many, and `announce N`: sends so many events to each of them.
pub(crate) fn announce(maker: Maker) -> Fallible<()> {
    let acknowledged = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let payload = SHAPE.payload();
    let (mut announcer, address): (Box<dyn Announce>, _) = match maker {
        Maker::Raw => {
            let listener = TcpListener::bind(local)?;
            let address = listener.local_addr()?;
            (Box::new(Raw { listener, streams: Vec::new(), frame: SHAPE.frame() }), address)
        }
        Maker::Tokio => return Err("it is no announcer".into()),
        #[cfg(feature = "bench-peers")]
        Maker::Libp2p | Maker::Quinn => return Err("it is no announcer".into()),
        Maker::Std => {
            let mesh = poolmesh_std::Mesh::with_config(config());
            let address = mesh.listen_on(local)?;
            (Box::new(Std { mesh, payload: payload.into() }), address)
        }
        Maker::Smol => {
            let mesh = poolmesh_smol::Mesh::with_config(config());
            let address = smol::block_on(mesh.listen_on(local))?;
            (Box::new(Smol { mesh, payload: payload.into() }), address)
        }
    };
    let mut byte = [0];
    obey(&format!("{address} {}", acknowledged.local_addr()?), |line| {
        match line.split_once(' ') {
            Some(("links", count)) => announcer.wait_for(count.parse()?)?,
            Some(("announce", count)) => {
                for _ in 0..count.parse()? {
                    announcer.announce()?;
                    acknowledged.recv(&mut byte)?;
                }
            }
            Some(_) | None => return Err(format!("{line:?} means nothing to it").into()),
        }
        Ok(String::new())
    })
}

fn config() -> MeshConfig {
    let mut config = MeshConfig::default();
    config.max_links = LINKS;
    config.max_pending_accepts = LINKS;
    config
}

struct Raw {
    listener: TcpListener,
    streams: Vec<TcpStream>,
    frame: Vec<u8>,
}

impl Announce for Raw {
    fn wait_for(&mut self, links: usize) -> Fallible<()> {
        while self.streams.len() < links {
            let (stream, _) = self.listener.accept()?;
            stream.set_nodelay(true)?;
            self.streams.push(stream);
        }
        Ok(())
    }

    fn announce(&mut self) -> Fallible<()> {
        for stream in &mut self.streams {
            stream.write_all(&self.frame)?;
        }
        Ok(())
    }
}

struct Std {
    mesh: poolmesh_std::Mesh,
    payload: poolmesh_std::Bytes,
}

impl Announce for Std {
    fn wait_for(&mut self, links: usize) -> Fallible<()> {
        for _ in 0..links {
            self.mesh.accept().ok_or("the mesh was closed")?;
        }
        Ok(())
    }

    fn announce(&mut self) -> Fallible<()> {
        all_sent(self.mesh.send_to_all(NAME_TEXT, self.payload.clone()).len())
    }
}

struct Smol {
    mesh: poolmesh_smol::Mesh,
    payload: poolmesh_smol::Bytes,
}

impl Announce for Smol {
    fn wait_for(&mut self, links: usize) -> Fallible<()> {
        for _ in 0..links {
            smol::block_on(self.mesh.accept()).ok_or("the mesh was closed")?;
        }
        Ok(())
    }

    fn announce(&mut self) -> Fallible<()> {
        all_sent(self.mesh.send_to_all(NAME_TEXT, self.payload.clone()).len())
    }
}

fn all_sent(refused: usize) -> Fallible<()> {
    if refused == 0 { Ok(()) } else { Err(format!("{refused} links had no room").into()) }
}

/// Opens so many connections, takes a frame from each, again and again, and says by a datagram when all have come.
pub(crate) fn listen(links: usize, announcer: SocketAddr, acknowledge: SocketAddr) -> Fallible<()> {
    let mut streams = Vec::with_capacity(links);
    for _ in 0..links {
        streams.push(TcpStream::connect(announcer)?);
    }
    let done = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    done.connect(acknowledge)?;
    thread::spawn(move || {
        let mut frame = vec![0; SHAPE.frame_len()];
        // The last one first: while it waits there, the announcer doesn't have to wake it for each of the others.
        let mut listen = || {
            streams.iter_mut().rev().try_for_each(|stream| stream.read_exact(&mut frame))?;
            done.send(&[0])
        };
        while listen().is_ok() {}
        // Whoever waits for more learns that nothing comes.
        process::exit(1);
    });
    serve("")
}
