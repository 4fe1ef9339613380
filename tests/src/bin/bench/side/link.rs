//! Who sends frames one way, and who receives them.

use std::cell::RefCell;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::Bytes;
use clap::ValueEnum;
use poolmesh_proto::MessageRef;

use super::obey;
use crate::Fallible;
use crate::yardstick::frames::{NAME, NAME_TEXT, Shape};
#[cfg(feature = "bench-peers")]
use crate::yardstick::peers;
use crate::yardstick::{codec, tcp};

/// By what frames are carried.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Maker {
    /// Bare connections.
    Raw,
    /// tokio with a codec.
    Tokio,
    #[cfg(feature = "bench-peers")]
    Libp2p,
    #[cfg(feature = "bench-peers")]
    Quinn,
    Std,
    Smol,
}

/// What is done with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Handling {
    /// It is looked at.
    Looks,
    /// The payload is kept for a while.
    Keeps,
}

impl Handling {
    /// Treats an event of ours. It doesn't count them, as a bare loop has no need to: the last one has another name.
    #[inline]
    fn of(self, message: MessageRef<'_>) {
        match self {
            Self::Looks => drop(black_box((message.name(), message.payload()))),
            Self::Keeps => keep(message.to_payload()),
        }
    }
}

/// The name of the last event that is expected. They come in order: then all have come.
const LAST: &str = "end";

/// How they are sent.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Style {
    /// Each by a call of its own.
    Single,
    /// In batches.
    Batch,
}

/// Sends so many frames. When it returns, not all may have been written.
pub(crate) type Sending = Box<dyn FnMut(u64) -> Fallible<()>>;

/// Is told `N`: sends so many frames to where the receiver said to be.
pub(crate) fn send(maker: Maker, style: Style, shape: Shape, place: String) -> Fallible<()> {
    let mut sending = match maker {
        Maker::Raw => tcp::sender(shape, place.parse()?)?,
        Maker::Tokio => codec::sender(shape, place.parse()?)?,
        #[cfg(feature = "bench-peers")]
        Maker::Libp2p => peers::sender(peers::Peer::Libp2p, shape, place)?,
        #[cfg(feature = "bench-peers")]
        Maker::Quinn => peers::sender(peers::Peer::Quinn, shape, place)?,
        Maker::Std => std_sender(style, shape, place.parse()?)?,
        Maker::Smol => smol_sender(style, shape, place.parse()?)?,
    };
    obey("", |count| sending(count.parse()?).map(|()| String::new()))
}

/// Is told `expect N`, before so many frames are sent, and then `wait`, until they have come.
pub(crate) fn receive(maker: Maker, shape: Shape, handling: Handling) -> Fallible<()> {
    let (arrivals, all_came) = Arrivals::new();
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let counted = arrivals.clone();
    // A mesh lives as long as this process does.
    let place = match maker {
        Maker::Raw => tcp::receiver(shape, counted)?.to_string(),
        Maker::Tokio => codec::receiver(handling, counted)?.to_string(),
        #[cfg(feature = "bench-peers")]
        Maker::Libp2p => peers::receiver(peers::Peer::Libp2p, handling, counted)?,
        #[cfg(feature = "bench-peers")]
        Maker::Quinn => peers::receiver(peers::Peer::Quinn, handling, counted)?,
        Maker::Std => {
            let mesh = Box::leak(Box::new(poolmesh_std::Mesh::new()));
            mesh.on(NAME_TEXT, move |_, message| handling.of(message));
            mesh.on(LAST, move |_, _| counted.add_rest());
            mesh.listen_on(local)?.to_string()
        }
        Maker::Smol => {
            let mesh = Box::leak(Box::new(poolmesh_smol::Mesh::new()));
            mesh.on(NAME_TEXT, move |_, message| handling.of(message));
            mesh.on(LAST, move |_, _| counted.add_rest());
            smol::block_on(mesh.listen_on(local))?.to_string()
        }
    };
    obey(&place, |line| {
        match line.split_once(' ') {
            Some(("expect", count)) => arrivals.expect(count.parse()?),
            _ => all_came.recv()?,
        }
        Ok(String::new())
    })
}

fn std_sender(style: Style, shape: Shape, address: SocketAddr) -> Fallible<Sending> {
    let mesh = poolmesh_std::Mesh::new();
    let peer = mesh.connect_to_peer(address)?;
    let payload = Bytes::from(shape.payload());
    Ok(Box::new(move |count| {
        let _open = &mesh;
        match style {
            Style::Single => (1..count).try_for_each(|_| peer.send(NAME, &payload))?,
            Style::Batch => {
                let mut batch = peer.batch();
                (1..count).try_for_each(|_| batch.send(NAME, &payload))?;
                batch.flush()?;
            }
        }
        Ok(peer.send(LAST, &payload)?)
    }))
}

/// It sends from a task of the executor, where the link's own task is, too.
fn smol_sender(style: Style, shape: Shape, address: SocketAddr) -> Fallible<Sending> {
    let mesh = poolmesh_smol::Mesh::new();
    let peer = smol::block_on(mesh.connect_to_peer(address))?;
    let payload = Bytes::from(shape.payload());
    Ok(Box::new(move |count| {
        let (_open, peer, payload) = (&mesh, peer.clone(), payload.clone());
        smol::block_on(smol::spawn(async move {
            match style {
                Style::Single => {
                    for _ in 1..count {
                        peer.send(NAME, &payload).await?;
                    }
                }
                Style::Batch => {
                    let mut batch = peer.batch();
                    for _ in 1..count {
                        while !batch.push(NAME, &payload)? {
                            batch.flush().await?;
                        }
                    }
                    batch.flush().await?;
                }
            }
            Ok(peer.send(LAST, &payload).await?)
        }))
    }))
}

/// How many frames have come, and how many are expected. Only one thread at a time counts: it needs no more than a load
/// and a store.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    shared: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    came: AtomicU64,
    /// None is the highest number.
    expected: AtomicU64,
    all_came: SyncSender<()>,
}

impl Arrivals {
    /// Nothing came, nothing is expected. What is expected and came is told.
    pub(crate) fn new() -> (Self, Receiver<()>) {
        let (all_came, told) = sync_channel(1);
        let counts = Counts { came: AtomicU64::new(0), expected: AtomicU64::new(u64::MAX), all_came };
        (Self { shared: Arc::new(counts) }, told)
    }

    /// So many are expected from now on.
    pub(crate) fn expect(&self, count: u64) {
        let came = self.shared.came.load(Ordering::Relaxed);
        self.shared.expected.store(came.saturating_add(count), Ordering::Relaxed);
    }

    /// Counts.
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        let came = self.shared.came.load(Ordering::Relaxed) + count;
        self.shared.came.store(came, Ordering::Relaxed);
        if came >= self.shared.expected.load(Ordering::Relaxed) {
            self.shared.expected.store(u64::MAX, Ordering::Relaxed);
            // Nobody waits any more if the process ends.
            let _ = self.shared.all_came.send(());
        }
    }

    /// All that were expected have come.
    fn add_rest(&self) {
        let came = self.shared.came.load(Ordering::Relaxed);
        self.add(self.shared.expected.load(Ordering::Relaxed).saturating_sub(came));
    }
}

/// How many payloads are kept.
const KEPT: usize = 1_024;

thread_local! {
    static SHELF: RefCell<(Vec<Bytes>, usize)> = RefCell::new((vec![Bytes::new(); KEPT], 0));
}

/// Keeps a payload until as many others have come as there is room for.
pub(crate) fn keep(payload: Bytes) {
    SHELF.with_borrow_mut(|(shelf, next)| {
        if let Some(place) = shelf.get_mut(*next % KEPT) {
            *place = payload;
        }
        *next += 1;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_told_once_when_it_came() {
        let (arrivals, told) = Arrivals::new();
        arrivals.add(5);
        arrivals.expect(3);
        arrivals.add(2);
        assert!(told.try_recv().is_err());
        arrivals.add(4);
        assert!(told.try_recv().is_ok());
        arrivals.add(1);
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn a_payload_is_kept_for_1024_others() {
        let payload = Bytes::from(vec![1; 9]);
        keep(payload.clone());
        for _ in 1..KEPT {
            keep(Bytes::new());
        }
        assert!(!payload.is_unique());
        keep(Bytes::new());
        assert!(payload.is_unique());
    }
}
