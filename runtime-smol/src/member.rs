//! One of several servers at one port, each on a thread of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use event_listener::{Event as Signal, EventListener};
use poolmesh_proto::Shard;
use poolmesh_sockets::udp::{Handed, Mail, Mailbox, Meter};

use crate::server::Stopper;

/// What connects a server to the others.
#[derive(Debug)]
pub(crate) struct Member {
    shard: Shard,
    doors: Arc<[Door]>,
    own: usize,
    stopper: Stopper,
}

/// How others reach a server.
#[derive(Debug, Default)]
struct Door {
    mailbox: Mailbox,
    /// Something was handed in.
    filled: Signal,
}

impl Member {
    /// So many, all stopped by `stopper`.
    pub(crate) fn group(count: usize, stopper: &Stopper) -> Vec<Self> {
        let doors: Arc<[Door]> = (0..count).map(|_| Door::default()).collect();
        let member = |(own, shard)| Self { shard, doors: Arc::clone(&doors), own, stopper: stopper.clone() };
        Shard::split(count).into_iter().enumerate().map(member).collect()
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Hands a datagram to the server that it is for, if that is another one. Whether it is.
    pub(crate) fn pass_on(&self, datagram: &[u8], from: SocketAddr) -> bool {
        let Some(door) = self.shard.owner(datagram).and_then(|owner| self.doors.get(owner)) else {
            return false;
        };
        if door.mailbox.hand(datagram, from) == Handed::Wake {
            door.filled.notify(1);
        }
        true
    }

    /// Takes out what others have handed in.
    pub(crate) fn collect(&self, mail: &mut Mail) {
        if let Some(door) = self.doors.get(self.own) {
            door.mailbox.take(mail);
        }
    }

    /// What tells that something was handed in since this server went to [`sleep`](Self::sleep), which it is to do after
    /// this.
    pub(crate) fn listen(&self) -> Option<EventListener> {
        self.doors.get(self.own).map(|door| door.filled.listen())
    }

    /// Says that this server goes to sleep. Whether it may; not if something waits.
    pub(crate) fn sleep(&self) -> bool {
        self.doors.get(self.own).is_none_or(|door| door.mailbox.sleep())
    }

    pub(crate) fn update(&self, meter: &Meter) {
        if let Some(door) = self.doors.get(self.own) {
            meter.update_mailbox(&door.mailbox);
        }
    }
}

#[cfg(test)]
impl Member {
    /// As if another had handed it in, whomever it is for.
    pub(crate) fn hand_in(&self, datagram: &[u8], from: SocketAddr) -> Handed {
        self.doors[self.own].mailbox.hand(datagram, from)
    }
}

/// A server that doesn't serve leaves pools that nobody answers for: then none serves.
impl Drop for Member {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}
