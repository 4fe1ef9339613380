//! One of several servers at one port, each on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poolmesh_proto::Shard;
use poolmesh_sockets::udp::{Handed, Mail, Mailbox, Meter, Socket, Waker};

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
#[derive(Debug)]
struct Door {
    mailbox: Mailbox,
    waker: Waker,
}

impl Member {
    /// So many, all stopped by `stopper`.
    pub(crate) fn group(count: usize, stopper: &Stopper) -> io::Result<Vec<Self>> {
        let door = || Ok(Door { mailbox: Mailbox::default(), waker: Waker::new()? });
        let doors: Arc<[Door]> = (0..count).map(|_| door()).collect::<io::Result<_>>()?;
        let member = |(own, shard)| Self { shard, doors: Arc::clone(&doors), own, stopper: stopper.clone() };
        Ok(Shard::split(count).into_iter().enumerate().map(member).collect())
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
            door.waker.wake();
        }
        true
    }

    /// Takes out what others have handed in.
    pub(crate) fn collect(&self, mail: &mut Mail) {
        if let Some(door) = self.doors.get(self.own) {
            door.mailbox.take(mail);
        }
    }

    /// Waits for a datagram, from whomever. Whether one is in the socket; there is no harm in looking.
    pub(crate) fn wait(&self, socket: &Socket, timeout: Duration) -> io::Result<bool> {
        match self.doors.get(self.own) {
            Some(door) if door.mailbox.sleep() => socket.wait_readable_or(&door.waker, timeout),
            _ => Ok(false),
        }
    }

    pub(crate) fn update(&self, meter: &Meter) {
        if let Some(door) = self.doors.get(self.own) {
            meter.update_mailbox(&door.mailbox);
        }
    }
}

/// A server that doesn't serve leaves pools that nobody answers for: then none serves.
impl Drop for Member {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

#[cfg(test)]
mod tests {
    use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant, Machine, Output};

    use super::*;

    /// A ping of a pool of this shard.
    fn ping(shard: &Shard, host: SocketAddr) -> Vec<u8> {
        let mut machine = Broadcaster::of_shard(BroadcasterConfig::default().with_classic(), || 7, shard);
        machine.handle_datagram(Instant::ZERO, host, &[0]);
        let Output::Transmit(answer) = machine.poll_output() else { panic!("no answer") };
        [&[1, 36, 0, 0, 0], &answer.payload[5..41]].concat()
    }

    #[test]
    #[cfg_attr(not(target_os = "linux"), ignore = "Linux' own")]
    fn who_sleeps_is_woken_by_his_mail_alone() {
        let members = Member::group(3, &Stopper::default()).unwrap();
        let host = SocketAddr::from(([192, 0, 2, 1], 5_000));
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let is_woken =
            |at: usize| socket.wait_readable_or(&members[at].doors[at].waker, Duration::ZERO).unwrap();
        assert!((0..3).all(|at| members[at].doors[at].mailbox.sleep()));

        let ping = ping(&members[1].shard, host);
        assert!(!members[1].pass_on(&ping, host), "it is his");
        assert!(!members[0].pass_on(&[0], host), "it is anybody's");
        assert!(!is_woken(1));
        assert!(members[0].pass_on(&ping, host));
        assert_eq!([0, 1, 2].map(is_woken), [false, true, false]);
        assert!(!members[1].wait(&socket, Duration::MAX).unwrap(), "with mail he doesn't wait");

        let mut mail = Mail::default();
        members[1].collect(&mut mail);
        assert_eq!(mail.datagrams().collect::<Vec<_>>(), [(&ping[..], host)]);
    }
}
