//! A server of datagrams that knows its answers beforehand.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;

use clap::ValueEnum;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use poolmesh_proto::wire::native::FIRST_BYTE;
use socket2::SockRef;

use super::uring;
use crate::Fallible;
use crate::side::broadcaster::ended;
use crate::side::serve;

/// By which calls it receives and sends.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Io {
    /// A datagram a call.
    Plain,
    /// Up to 32 datagrams a call.
    Mmsg32,
    /// Up to 64 datagrams a call.
    Mmsg64,
    /// All that came in a call, if the kernel lets us.
    Uring,
}

/// What a broadcaster of ours asks for, in bytes.
const RECEIVE_BUFFER: usize = 4 * 1_024 * 1_024;
/// As long as the longest request that ours would take, and one more.
pub(super) const LONGEST: usize = 1_025;

/// What is sent back, by the first byte of a request. Empty where nothing is.
#[derive(Debug)]
pub(super) struct Answers(Vec<Vec<u8>>);

impl Answers {
    /// Answers of these lengths, which begin as the requests do.
    ///
    /// To a dialect whose first byte is always the same there is one, of one length: its second byte is that `kind`.
    fn new(lengths: &[usize], kind: Option<u8>) -> Self {
        if let (Some(kind), [len]) = (kind, lengths) {
            let mut answer = vec![kind; *len];
            answer.iter_mut().take(1).for_each(|first| *first = FIRST_BYTE);
            let none = (0..FIRST_BYTE).map(|_| Vec::new());
            return Self(none.chain([answer]).collect());
        }
        Self(lengths.iter().zip(0..).map(|(len, kind)| vec![kind; *len]).collect())
    }

    pub(super) fn to(&self, request: &[u8]) -> Option<&[u8]> {
        let answer = self.0.get(usize::from(*request.first()?))?;
        (!answer.is_empty()).then_some(answer)
    }
}

/// Serves on a free port of the loopback, which it says.
pub(crate) fn play(io: Io, lengths: &[usize], kind: Option<u8>) -> Fallible<()> {
    if let Io::Uring = io {
        uring::check()?;
    }
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    let local = socket.local_addr()?;
    let answers = Answers::new(lengths, kind);
    thread::spawn(move || match io {
        Io::Plain => ended(one_by_one(&socket, &answers)),
        Io::Mmsg32 => ended(in_batches::<32>(&socket, &answers)),
        Io::Mmsg64 => ended(in_batches::<64>(&socket, &answers)),
        Io::Uring => ended(uring::serve(&socket, &answers)),
    });
    serve(&local.to_string())
}

fn one_by_one(socket: &UdpSocket, answers: &Answers) -> Result<(), std::io::Error> {
    let mut buffer = [0; LONGEST];
    loop {
        let (len, from) = socket.recv_from(&mut buffer)?;
        if let Some(answer) = answers.to(buffer.get(..len).unwrap_or_default()) {
            socket.send_to(answer, from)?;
        }
    }
}

/// Two calls for up to `BATCH` requests and their answers.
fn in_batches<const BATCH: usize>(socket: &UdpSocket, answers: &Answers) -> Result<(), Errno> {
    let socket = socket.as_raw_fd();
    let mut memory = [[0; LONGEST]; BATCH];
    let mut received = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut sent = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    loop {
        let mut room = memory.each_mut().map(|datagram| [IoSliceMut::new(datagram)]);
        let mut to = [None; BATCH];
        let mut out = [[IoSlice::new(&[])]; BATCH];
        let mut count = 0;
        // Waits for the first one only.
        let flags = MsgFlags::MSG_WAITFORONE;
        let requests = recvmmsg(socket, &mut received, &mut room, flags, None)?;
        let mut free = to.iter_mut().zip(&mut out);
        for request in requests {
            let Some(answer) = request.iovs().next().and_then(|request| answers.to(request)) else {
                continue;
            };
            let Some((to, out)) = free.next() else { break };
            (*to, *out) = (request.address, [IoSlice::new(answer)]);
            count += 1;
        }
        let mut first = 0;
        while first < count {
            let (Some(to), Some(out)) = (to.get(first..count), out.get(first..count)) else { break };
            first += sendmmsg(socket, &mut sent, out, to, [], MsgFlags::empty())?.count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_by_the_first_byte() {
        let answers = Answers::new(&[89, 0, 744], None);
        assert_eq!(answers.to(&[0, 1]).map(<[u8]>::len), Some(89));
        assert_eq!(answers.to(&[1]), None);
        assert_eq!(answers.to(&[2, 9]), Some(&[2; 744][..]));
        assert_eq!((answers.to(&[3]), answers.to(&[])), (None, None));
        let answers = Answers::new(&[3], Some(0x90));
        assert_eq!(answers.to(&[FIRST_BYTE, 1]), Some(&[FIRST_BYTE, 0x90, 0x90][..]));
        assert_eq!(answers.to(&[FIRST_BYTE - 1]), None);
    }
}
