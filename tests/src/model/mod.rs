//! A second implementation of the protocol, to hold a first one against.
//!
//! These models are written for clarity alone: vectors of what happened, no timers, no clever structures; what they
//! need to know they look up in that history each time. They share types with the machines, but no code of the wire.
//!
//! A model is told what an implementation is told, and then each thing the implementation did, in order. It says
//! whether that was right: whether it was due, to the byte, and whether nothing is missing when the implementation
//! says that it has nothing left to do.
//!
//! - [`BroadcasterModel`]: which datagram every datagram is answered by, and when hosts are told that their pools have
//!   ended.
//! - [`ClientModel`]: what is sent when, and which outcome each call has.
//! - [`LinkModel`]: what one end of a connection takes, gives and says, frame by frame.
//! - [`StreamModel`]: what came out of a link is the beginning of what went in at the other end; [`frames`] cuts bytes
//!   into frames.
//! - [`wire`]: the datagrams in bytes.
//!
//! What is random in an implementation, the ids of pools, the models take from its answers, and hold them to what is
//! said of ids. Where the protocol leaves an order open, they do, too: that of pools in a list, and that of pools that
//! end in the same moment.
//!
//! A broadcaster of your own, which needs to know nothing of this workspace but the model, and tells no events:
//!
//! ```
//! use core::net::SocketAddr;
//! use poolmesh_proto::{BroadcasterConfig, Instant};
//! use poolmesh_testkit::model::{BroadcasterModel, wire};
//!
//! const ID: &str = "00000000-0000-4000-8000-000000000001";
//!
//! /// Makes one pool, and lists it. It knows no time, so that the pool never ends.
//! #[derive(Default)]
//! struct Mine {
//!     made: bool,
//! }
//!
//! impl Mine {
//!     fn answer(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
//!         let text = |kind: u8, text: &str| {
//!             [&[kind][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
//!         };
//!         match wire::asked(datagram) {
//!             wire::Asked::Create => {
//!                 self.made = true;
//!                 Some(text(3, &format!("{ID} {from} {from} {from}"))) // its id, its host, you, its peers
//!             }
//!             wire::Asked::List => Some(text(2, if self.made { ID } else { "" })),
//!             wire::Asked::Ping(_) => None,
//!             _ => Some(text(4, "ERROR: unknown message type")),
//!         }
//!     }
//! }
//!
//! let config = BroadcasterConfig::default().with_classic();
//! let end = Instant::ZERO + config.ping_timeout;
//! let (mut model, mut mine) = (BroadcasterModel::new(config).without_events(), Mine::default());
//! let asker: SocketAddr = "192.0.2.1:5000".parse().unwrap();
//! for datagram in [&[2][..], &[0], &[2], &[7, 7]] {
//!     model.handle_datagram(Instant::ZERO, asker, datagram);
//!     if let Some(answer) = mine.answer(asker, datagram) {
//!         model.sent(asker, &answer)?;
//!     }
//!     model.rests()?; // no answer is missing
//! }
//!
//! model.handle_timeout(end);
//! let wrong = model.rests().unwrap_err(); // nobody has told the host that its pool ended
//! assert!(wrong.to_string().contains("Notice"));
//! model.handle_datagram(end, asker, &[2]);
//! let wrong = model.sent(asker, &mine.answer(asker, &[2]).unwrap()).unwrap_err();
//! assert!(wrong.to_string().contains("00000000-0000-4000-8000-000000000001 of 192.0.2.1:5000 ended"));
//! # Ok::<(), poolmesh_testkit::model::Wrong>(())
//! ```
//!
//! The layout of each datagram, the order of the peers in an answer and the texts of the errors are in [`wire`].

mod broadcaster;
mod client;
pub mod frames;
mod hosting;
mod link;
mod native;
mod stream;
pub mod wire;

use core::fmt;

pub use broadcaster::BroadcasterModel;
pub use client::ClientModel;
pub use link::LinkModel;
pub use native::NativeModel;
pub use stream::StreamModel;

/// An implementation did something else than its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Wrong {}

/// What a model says of one thing that an implementation did.
pub type Verdict<T = ()> = Result<T, Wrong>;

/// A word for one kind of answer, datagram or event, to be counted by: what a test never saw, it has not tested.
pub type Kind = &'static str;

/// Wrong, unless it `holds`.
pub(crate) fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Wrong(otherwise())) }
}
