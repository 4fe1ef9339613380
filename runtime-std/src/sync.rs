//! The locks that threads of a link and of an application share, and the connection that they write to. In a model of those
//! threads (`tests/README.md` says how to run it) they are the model's.

#[cfg(not(all(test, poolmesh_loom)))]
pub(crate) use std::net::TcpStream as Connection;
#[cfg(not(all(test, poolmesh_loom)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(all(test, poolmesh_loom))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

#[cfg(all(test, poolmesh_loom))]
pub(crate) use crate::model::{Connection, write_chunks_without_waiting, write_without_waiting};
#[cfg(not(all(test, poolmesh_loom)))]
pub(crate) use crate::sockets::{write_chunks_without_waiting, write_without_waiting};
