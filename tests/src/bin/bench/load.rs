//! Requests to a server of datagrams, as many as it takes.
//!
//! In batches of 32 a call, and with a bounded number of requests on their way: what is measured is the server, and
//! nothing is lost.

use std::array;
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use bytes::BytesMut;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use poolmesh_proto::wire::native::FIRST_BYTE;
use socket2::SockRef;

use crate::Fallible;
use crate::native::Pinger;

/// Requests in a call.
pub(crate) const BATCH: usize = 32;
/// Answers on their way at most.
const WINDOW: usize = 4 * BATCH;
/// Of requests without an answer, every so many is followed by one that has one, so that it is known how far they are.
pub(crate) const FENCE: usize = 2 * BATCH;
/// A server that is silent for so long has lost something.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const LONGEST: usize = 1_200;
const RECEIVE_BUFFER: usize = 4 * 1_024 * 1_024;

/// The requests of a benchmark, one after the other and from the start again.
#[derive(Clone, Debug)]
pub(crate) struct Deck {
    requests: Vec<u8>,
    /// How long each of them is.
    len: usize,
    /// How many were sent.
    sent: usize,
    /// What is asked in place of each [`FENCE`]th request, if the others aren't answered.
    fence: Option<Vec<u8>>,
    /// What tells the answers, and their length.
    answer: (u8, usize),
    /// Who pings in turn: no ping is taken twice.
    pingers: Vec<Pinger>,
}

impl Deck {
    /// One request again and again, which is answered so.
    pub(crate) fn answered(request: &[u8], answer: &[u8]) -> Self {
        let (requests, len) = (request.to_vec(), request.len());
        Self { requests, len, sent: 0, fence: None, answer: shape(answer), pingers: Vec::new() }
    }

    /// Pings of members in turn, which are like the first, and answered so. Those of one have counts from so many on.
    pub(crate) fn pings(pingers: Vec<Pinger>, count: usize, first: &[u8], answer: &[u8]) -> Self {
        Self { sent: count * pingers.len(), pingers, ..Self::answered(first, answer) }
    }

    /// Requests without an answer, all of the same length, and in between one with this answer.
    pub(crate) fn unanswered(requests: Vec<u8>, len: usize, fence: &[u8], answer: &[u8]) -> Self {
        Self {
            requests,
            len,
            sent: 0,
            fence: Some(fence.to_vec()),
            answer: shape(answer),
            pingers: Vec::new(),
        }
    }

    /// How long the answers are, in bytes.
    pub(crate) const fn answer_len(&self) -> usize {
        self.answer.1
    }

    /// How many requests of the next batch are answered, and how many answers may be on their way when it is sent.
    const fn window(&self) -> (usize, usize) {
        match self.fence {
            None => (BATCH, WINDOW - BATCH),
            Some(_) => (((self.sent + BATCH) % FENCE == 0) as usize, WINDOW / FENCE - 1),
        }
    }

    /// What tells the answers.
    pub(crate) const fn answer_kind(&self) -> u8 {
        self.answer.0
    }

    /// Makes the next batch, if it isn't one that was sent before.
    fn prepare(&mut self) {
        if self.pingers.is_empty() {
            return;
        }
        let mut pings = BytesMut::with_capacity(BATCH * self.len);
        for number in self.sent..self.sent + BATCH {
            if let Some(pinger) = self.pingers.get(number % self.pingers.len()) {
                pinger.write((number / self.pingers.len()) as u32, &mut pings);
            }
        }
        self.requests = pings.to_vec();
    }

    /// The request with this number, of the next batch.
    fn request(&self, number: usize) -> &[u8] {
        match &self.fence {
            Some(fence) if number % FENCE == FENCE - 1 => fence,
            Some(_) | None => {
                let start = number % (self.requests.len() / self.len) * self.len;
                self.requests.get(start..start + self.len).unwrap_or_default()
            }
        }
    }
}

/// Of the native dialect the second byte tells.
fn shape(answer: &[u8]) -> (u8, usize) {
    let kind = match answer {
        [FIRST_BYTE, kind, ..] | [kind, ..] => *kind,
        [] => 0,
    };
    (kind, answer.len())
}

/// What the calls for several datagrams need. It can't go from thread to thread.
#[derive(Debug)]
struct Headers {
    outgoing: MultiHeaders<SockaddrIn>,
    incoming: MultiHeaders<SockaddrIn>,
}

impl Headers {
    fn new() -> Self {
        Self {
            outgoing: MultiHeaders::preallocate(BATCH, None),
            incoming: MultiHeaders::preallocate(BATCH, None),
        }
    }
}

/// A client that asks much.
#[derive(Debug)]
pub(crate) struct Load {
    socket: UdpSocket,
    memory: Box<[[u8; LONGEST]; BATCH]>,
}

impl Load {
    /// A client of the server at `address`.
    pub(crate) fn of(address: SocketAddr) -> Fallible<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, memory: Box::new([[0; LONGEST]; BATCH]) })
    }

    /// Whom it asks.
    pub(crate) fn server(&self) -> Fallible<SocketAddr> {
        Ok(self.socket.peer_addr()?)
    }

    /// Asks once and waits for the answer.
    pub(crate) fn ask(&self, request: &[u8]) -> Fallible<Vec<u8>> {
        self.socket.send(request)?;
        let mut answer = vec![0; LONGEST];
        let len = self.socket.recv(&mut answer)?;
        answer.truncate(len);
        Ok(answer)
    }

    /// Sends `count` requests, a multiple of [`FENCE`], and waits for all answers.
    ///
    /// # Errors
    /// If an answer doesn't come, or is not what was expected.
    pub(crate) fn run(&mut self, deck: &mut Deck, count: u64) -> Fallible<()> {
        let (mut headers, mut awaited, expected) = (Headers::new(), 0, deck.answer);
        let mut other = None;
        let mut look = |answer: &[u8]| {
            if shape(answer) != expected {
                other = Some(shape(answer));
            }
        };
        for _ in 0..count / BATCH as u64 {
            let (answered, most) = deck.window();
            while awaited > most {
                awaited -= self.receive(&mut headers, &mut look)?;
            }
            self.send(&mut headers, deck)?;
            awaited += answered;
        }
        while awaited > 0 {
            awaited -= self.receive(&mut headers, &mut look)?;
        }
        match other {
            None => Ok(()),
            Some(other) => Err(format!("answers of kind and length {other:?}, not {expected:?}").into()),
        }
    }

    /// Sends `request` as often, and hands out each answer.
    pub(crate) fn each(&mut self, request: &[u8], count: usize, mut see: impl FnMut(&[u8])) -> Fallible<()> {
        let (mut headers, mut sent, mut seen) = (Headers::new(), 0, 0);
        while seen < count {
            while sent < count && sent - seen < WINDOW {
                self.socket.send(request)?;
                sent += 1;
            }
            seen += self.receive(&mut headers, &mut see)?;
        }
        Ok(())
    }

    fn send(&self, headers: &mut Headers, deck: &mut Deck) -> Fallible<()> {
        deck.prepare();
        let out: [_; BATCH] = array::from_fn(|nth| [IoSlice::new(deck.request(deck.sent + nth))]);
        let mut first = 0;
        while let Some(out) = out.get(first..).filter(|out| !out.is_empty()) {
            let (socket, to) = (self.socket.as_raw_fd(), [None; BATCH]);
            first += sendmmsg(socket, &mut headers.outgoing, out, to, [], MsgFlags::empty())?.count();
        }
        deck.sent += BATCH;
        Ok(())
    }

    /// Takes in what answers there are, and waits for the first.
    fn receive(&mut self, headers: &mut Headers, see: &mut impl FnMut(&[u8])) -> Fallible<usize> {
        let mut room = self.memory.each_mut().map(|answer| [IoSliceMut::new(answer)]);
        let flags = MsgFlags::MSG_WAITFORONE;
        let answers = match recvmmsg(self.socket.as_raw_fd(), &mut headers.incoming, &mut room, flags, None) {
            Err(Errno::EAGAIN) => return Err("an answer was lost".into()),
            result => result?,
        };
        let mut count = 0;
        for answer in answers {
            see(answer.iovs().next().unwrap_or_default());
            count += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_round_and_every_64th_is_a_fence() {
        let mut deck = Deck::unanswered(b"aabbcc".to_vec(), 2, b"f", &[3; 89]);
        let sent: Vec<&[u8]> = (0..2 * FENCE).map(|number| deck.request(number)).collect();
        assert_eq!(sent[..4], [b"aa", b"bb", b"cc", b"aa"]);
        let fences: Vec<usize> = (0..2 * FENCE).filter(|number| sent[*number] == b"f").collect();
        assert_eq!(fences, [FENCE - 1, 2 * FENCE - 1]);
        assert_eq!(deck.window(), (0, 1));
        deck.sent = BATCH;
        assert_eq!(deck.window(), (1, 1), "two fences on their way at most");
        assert_eq!(Deck::answered(b"x", b"y").window(), (BATCH, WINDOW - BATCH));
    }

    #[test]
    fn a_wrong_answer_or_none_is_an_error() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut load = Load::of(server.local_addr().unwrap()).unwrap();
        let answer = std::thread::spawn(move || {
            let mut request = [0; 8];
            for _ in 0..2 * FENCE {
                let (_, from) = server.recv_from(&mut request).unwrap();
                server.send_to(&[4; 9], from).unwrap();
            }
        });
        let mut deck = Deck::answered(b"x", &[4; 9]);
        load.run(&mut deck, FENCE as u64).unwrap();
        let mut other = Deck { answer: (3, 9), ..deck.clone() };
        let error = load.run(&mut other, FENCE as u64).unwrap_err().to_string();
        assert_eq!(error, "answers of kind and length (4, 9), not (3, 9)");
        answer.join().unwrap();
        assert!(load.run(&mut deck, FENCE as u64).is_err(), "nobody answers");
    }
}
