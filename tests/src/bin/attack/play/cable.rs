//! A bad cable: what an interface gets goes out at another, but for what is lost, and late, and twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind};
use poolmesh_testkit::sim::{MILLION, Rng};
use socket2::{Domain, Protocol, Socket, Type};

use crate::Fallible;
use crate::clock::now;

const RECEIVE_BUFFER: usize = 4 * 1_024 * 1_024;
const ETHERTYPE_IP: u16 = 0x0800;
/// Where the checksum of a UDP datagram stands behind the headers of Ethernet and IP.
const CHECKSUM: std::ops::Range<usize> = 40..42;
const LONGEST_WAIT: Duration = Duration::from_millis(100);
const PERCENT: u32 = MILLION / 100;

/// Forwards packets between two interfaces, and loses, doubles and delays them
#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// One interface
    left: String,

    /// The other
    right: String,

    /// Percent of the packets, each way, that are lost
    #[arg(long, value_name = "PERCENT", default_value_t = 20)]
    loss: u32,

    /// Percent that come twice
    #[arg(long, value_name = "PERCENT", default_value_t = 5)]
    twice: u32,

    /// Percent that are overtaken
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    late: u32,

    /// How long each takes, in milliseconds; one that is overtaken up to ten times as long
    #[arg(long, value_name = "MS", default_value_t = 10)]
    delay: u64,

    /// From what number all chance follows
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Forwards until it is killed.
pub(super) fn play(options: &Options) -> Fallible<()> {
    let (left, right) = (interface(&options.left)?, interface(&options.right)?);
    let mut rng = Rng::new(options.seed);
    let mut there =
        Way { from: &left, to: &right, options, rng: rng.fork(), waiting: BinaryHeap::new(), count: 0 };
    let mut back =
        Way { from: &right, to: &left, options, rng: rng.fork(), waiting: BinaryHeap::new(), count: 0 };
    thread::scope(|scope| {
        scope.spawn(move || there.run());
        back.run()
    })?;
    Ok(())
}

/// What comes in at an interface, Ethernet headers and all, and a way out of it.
fn interface(name: &str) -> Fallible<Socket> {
    let link = |found: nix::ifaddrs::InterfaceAddress| Some(*found.address?.as_link_addr()?);
    let address: LinkAddr = getifaddrs()?
        .filter(|found| found.interface_name == name)
        .find_map(link)
        .ok_or_else(|| format!("there is no interface {name}"))?;
    let protocol = Protocol::from(i32::from(ETHERTYPE_IP.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    bind(socket.as_raw_fd(), &address)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    Ok(socket)
}

/// One direction.
struct Way<'a> {
    from: &'a Socket,
    to: &'a Socket,
    options: &'a Options,
    rng: Rng,
    waiting: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    /// How many have come: what waits for the same time goes in the order in which it came.
    count: u64,
}

impl Way<'_> {
    fn run(&mut self) -> io::Result<()> {
        let mut buffer = [0; 2_048];
        loop {
            let next = self.waiting.peek().map(|Reverse((at, ..))| at.saturating_duration_since(now()));
            if next == Some(Duration::ZERO) {
                if let Some(Reverse((_, _, packet))) = self.waiting.pop() {
                    // What finds no room is lost.
                    let _ = self.to.write(&packet);
                }
                continue;
            }
            let wait = next.unwrap_or(LONGEST_WAIT).clamp(Duration::from_micros(1), LONGEST_WAIT);
            self.from.set_read_timeout(Some(wait))?;
            match self.from.read(&mut buffer) {
                Ok(len) => self.take(buffer.get(..len).unwrap_or_default()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, packet: &[u8]) {
        let Options { loss, twice, late, delay, .. } = *self.options;
        if self.rng.chance(loss * PERCENT) {
            return;
        }
        let mut packet = packet.to_vec();
        // The sender has left it to its interface to compute it, which has left it to nobody: none is fine as well.
        if let Some(checksum) = packet.get_mut(CHECKSUM) {
            checksum.fill(0);
        }
        for _ in 0..1 + u32::from(self.rng.chance(twice * PERCENT)) {
            let late = if self.rng.chance(late * PERCENT) { self.rng.below(9 * delay) } else { 0 };
            self.count += 1;
            let at = now() + Duration::from_millis(delay + late);
            self.waiting.push(Reverse((at, self.count, packet.clone())));
        }
    }
}
