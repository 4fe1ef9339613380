//! What must hold of the native dialect at every moment.

mod book;
mod calls;
mod proof;
mod server;

pub(in crate::sim) use book::Book;
pub(in crate::sim) use calls::{Asked, NativeCalls, Order};
pub(in crate::sim) use server::{NativeServer, is_native};
