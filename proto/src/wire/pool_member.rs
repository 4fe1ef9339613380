//! One of those in a pool.

use core::net::SocketAddr;

use bytes::Bytes;

use super::native::Member;

/// A member of a pool, as its roster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolMember {
    /// Its number: from 1 on in the order of admission, and not given twice.
    pub number: Member,
    /// Its UDP address, as the broadcaster sees it. Others dial its port number on TCP.
    pub address: SocketAddr,
    /// What it says of itself: at most 128 bytes.
    pub about: Bytes,
}
