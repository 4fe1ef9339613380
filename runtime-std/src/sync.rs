//! The locks that threads of a link and of an application share. In a model of those threads (`tests/README.md` says how
//! to run it) they are the model's.

#[cfg(not(all(test, poolmesh_loom)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(all(test, poolmesh_loom))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
