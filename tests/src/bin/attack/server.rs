//! The broadcaster, as a program in a network of its own, and what the system knows of it.

use std::fs;
use std::net::SocketAddrV4;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use poolmesh_proto::wire::native::{Call, Name, PoolUuid, Request, Tx};

use crate::Fallible;
use crate::clock::now;
use crate::crowd::{HOMES, application};
use crate::enclosure::Enclosure;
use crate::wire::{Injector, Tap};

/// So long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How often its memory is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A running broadcaster. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
}

/// What went in and out at the interface of the broadcaster's network, or of its sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Datagrams that came to its socket.
    pub(crate) taken: u64,
    /// Datagrams that found no room in its socket.
    pub(crate) dropped: u64,
    /// Datagrams that went out.
    pub(crate) sent: u64,
    /// The payload of all that went out, in bytes.
    pub(crate) sent_bytes: u64,
}

impl Server {
    /// Starts it, and waits until it answers at its address.
    pub(crate) fn start(command: &[String], address: SocketAddrV4, enclosure: Enclosure) -> Fallible<Self> {
        let [program, arguments @ ..] = command else {
            return Err("there is no command that starts a broadcaster".into());
        };
        let child = Command::new(program).args(arguments).stdout(Stdio::null()).spawn();
        let mut server = Self { child: child.map_err(|error| format!("{program}: {error}"))? };
        let (mut injector, mut tap) = (Injector::new(enclosure, address)?, Tap::new(HOMES)?);
        let prober = SocketAddrV4::new(HOMES.address(0), 1_023);
        let mut request = BytesMut::new();
        let tx = Tx::new(1).unwrap_or_else(|| unreachable!("it is not 0"));
        let call = Call::List {
            application: Some(application()),
            after: PoolUuid::NIL,
            free: 0,
            prefix: Name::default(),
        };
        Request { tx, cookie: None, call }.write(&mut request);
        let deadline = now() + PATIENCE;
        while now() < deadline {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("the broadcaster ended: {status}").into());
            }
            injector.send(prober, &request)?;
            if tap.next(ASK_AGAIN)?.is_some_and(|(to, _)| to == prober) {
                return Ok(server);
            }
        }
        Err(format!("no broadcaster answers at {address}").into())
    }

    /// Kills it, as a machine that loses its power.
    pub(crate) fn kill(&mut self) -> Fallible<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Has it end by itself, and looks whether it was still there and ends well: one that has panicked doesn't.
    pub(crate) fn stop(&mut self) -> Fallible<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("the broadcaster ended before its time: {status}").into());
        }
        let sent = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status()?;
        let status = self.child.wait()?;
        if sent.success() && status.success() {
            Ok(())
        } else {
            Err(format!("the broadcaster ended: {status}").into())
        }
    }

    /// The memory that it has, in KiB.
    pub(crate) fn memory(&self) -> Fallible<u64> {
        let status = self.read("status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = resident.and_then(|text| text.split_whitespace().next()).ok_or("no VmRSS")?;
        Ok(number.parse()?)
    }

    /// What the kernel has counted in its network.
    pub(crate) fn counters(&self) -> Fallible<Counters> {
        let (snmp, dev) = (self.read("net/snmp")?, self.read("net/dev")?);
        counters(&snmp, &dev).ok_or_else(|| format!("the system counts otherwise: {snmp}{dev}").into())
    }

    fn read(&self, name: &str) -> Fallible<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{name}", self.child.id()))?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl Counters {
    /// What has been counted since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            taken: self.taken - before.taken,
            dropped: self.dropped - before.dropped,
            sent: self.sent - before.sent,
            sent_bytes: self.sent_bytes - before.sent_bytes,
        }
    }
}

/// The most memory that a broadcaster has, looked at every second.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    /// At the beginning, in KiB.
    before: u64,
    most: u64,
    next: Instant,
}

impl MemoryWatch {
    pub(crate) fn new(server: &Server) -> Fallible<Self> {
        let before = server.memory()?;
        Ok(Self { before, most: before, next: now() + LOOK })
    }

    /// Looks if it is time to. A broadcaster that is gone has no more than it had.
    pub(crate) fn look(&mut self, server: &Server) {
        if self.next <= now() {
            self.next = now() + LOOK;
            self.most = self.most.max(server.memory().unwrap_or(0));
        }
    }

    /// By how much it has grown at the most, in KiB.
    pub(crate) fn growth(&self) -> u64 {
        println!("memory of the broadcaster: {} KiB before, {} KiB at the most", self.before, self.most);
        self.most - self.before
    }
}

/// The headers of Ethernet, IP and UDP, which an interface counts.
const HEADERS: u64 = 14 + 20 + 8;

/// Reads `/proc/net/snmp`, of which two lines are of UDP, names and numbers, and `/proc/net/dev`.
fn counters(snmp: &str, dev: &str) -> Option<Counters> {
    let mut udp = snmp.lines().filter_map(|line| line.strip_prefix("Udp: ")).map(str::split_whitespace);
    let (names, numbers) = (udp.next()?, udp.next()?);
    let of = |wanted: &str| {
        names.clone().zip(numbers.clone()).find(|(name, _)| *name == wanted)?.1.parse::<u64>().ok()
    };
    // Eight numbers of what came in, then bytes and packets that went out.
    let mut interfaces = dev.lines().skip(2).filter_map(|line| line.trim().split_once(':'));
    let (_, numbers) = interfaces.find(|(name, _)| *name != "lo")?;
    let mut out = numbers.split_whitespace().skip(8).map(str::parse::<u64>);
    let (bytes, sent) = (out.next()?.ok()?, out.next()?.ok()?);
    Some(Counters {
        taken: of("InDatagrams")?,
        dropped: of("RcvbufErrors")?,
        sent,
        sent_bytes: bytes.checked_sub(sent * HEADERS)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_the_system_are_read_by_their_names() {
        let snmp = "Ip: Forwarding DefaultTTL\nIp: 2 64\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\n\
                    Udp: 70 1 2 30 4\nUdpLite: InDatagrams\nUdpLite: 0\n";
        let dev = "Inter-|\n face |\n    lo: 9 9 9 9 9 9 9 9 9 9\nlobby0:7000 70 0 0 0 0 0 0  1460 30 0 0 0 0 0 0\n";
        let expected = Counters { taken: 70, dropped: 4, sent: 30, sent_bytes: 200 };
        assert_eq!(counters(snmp, dev), Some(expected));
        assert_eq!(counters("", dev), None);
        assert_eq!(
            counters(snmp, "Inter-|\n face |\n    lo: 9 9 9 9 9 9 9 9 9 9\n"),
            None,
            "of which interface"
        );
    }
}
