//! A whole lobby in virtual time.
#![doc = ""]

mod actor;
mod address;
mod app;
mod check;
mod clock;
mod core;
mod dispatch;
mod drive;
mod fingerprint;
mod flow;
mod machines;
mod nat;
mod node;
mod queue;
mod rng;
mod streams;
mod tape;
mod weather;
mod world;

pub use self::core::WorldStats;
pub use actor::{Actor, Wire};
pub use app::{App, AppEvent, Context};
pub use machines::PeerConfig;
pub use nat::{Filtering, Mapping, NatConfig};
pub use node::State;
pub use rng::{MILLION, Rng};
pub use streams::ConnId;
pub use weather::{Lateness, StreamWeather, Weather};
pub use world::{NatId, NodeId, Violation, World};
