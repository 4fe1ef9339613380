//! What drivers over operating system sockets have in common (feature `std`).
//!
//! The machines need nothing of this. It is here so that two runtimes give their programs the same events, errors and
//! bounds, and classify the errors of sockets alike, without deciding anything themselves.

mod error;
mod event;
mod fault;
mod handlers;
mod inbox;
mod news;
mod pages;
mod peers;

pub use error::{ConnectFailed, PoolReport};
pub use event::Event;
pub use fault::Severity;
pub use handlers::{HandedOut, Handler, Handlers, Lookup};
pub use inbox::Inbox;
pub use news::{PoolInbox, PoolNews, to_enter};
pub use pages::Pages;
pub use peers::Peers;
