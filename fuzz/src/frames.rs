//! What a peer reads: a byte stream as frames, however the connection cuts it.

use bytes::{BufMut, Bytes, BytesMut};
use poolmesh_proto::wire::{Frame, FrameReader};
use poolmesh_proto::{CloseReason, Instant, Link, LinkConfig, LinkEvent, Message, Write};

use crate::input::Input;

/// How a stream comes in.
#[derive(Debug)]
struct Cuts<'a> {
    max_frame: usize,
    max_received: usize,
    pack: usize,
    /// Chunks that come in before anybody looks.
    burst: usize,
    /// The lengths of the chunks, over and over.
    sizes: &'a [u8],
}

/// What a stream consists of.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    frames: Vec<(Kind, Bytes, Bytes)>,
    /// The length of the frame that is too long, after which nothing can be read.
    too_long: Option<u32>,
    /// Bytes of a last frame that is not whole.
    unfinished: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message,
    Empty,
    Malformed,
}

/// Reads the stream behind the first bytes, which choose limits and cuts. A plain parser, a reader that gets the
/// stream whole, one that gets it in pieces, and a link see the same frames; what the link sends on reads the same.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let max_frame = usize::from(input.u16() % 1_024);
    let max_received = usize::from(input.u8());
    let pack = usize::from(input.u8());
    let burst = input.one_to(4);
    let count = input.one_to(8);
    let cuts = Cuts { max_frame, max_received, pack, burst, sizes: input.bytes(count) };
    let stream = input.into_rest();

    let expected = parse(stream, max_frame);
    assert_eq!(read(&[Bytes::copy_from_slice(stream)], &cuts), expected);
    let pieces = pieces(stream, cuts.sizes);
    assert_eq!(read(&pieces, &cuts), expected);
    check_link(&pieces, &cuts, &expected);
    check_sender(&cuts, &expected);
}

/// The stream in pieces of those sizes. Empty ones are among them.
fn pieces(stream: &[u8], sizes: &[u8]) -> Vec<Bytes> {
    let mut rest = stream;
    let mut sizes = sizes.iter().copied().map(usize::from).cycle();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        // Of two empty pieces in a row the second is the rest, so that there is an end.
        let size = sizes
            .next()
            .filter(|size| *size > 0 || pieces.last().is_none_or(|last: &Bytes| !last.is_empty()));
        let (piece, behind) = rest.split_at(size.unwrap_or(rest.len()).min(rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = behind;
    }
    pieces
}

/// The frames of a stream, read as plainly as can be.
fn parse(stream: &[u8], max_frame: usize) -> Parsed {
    let mut parsed = Parsed { frames: Vec::new(), too_long: None, unfinished: 0 };
    let mut rest = stream;
    while let Some((len, behind)) = number(rest) {
        if len as usize > max_frame {
            parsed.too_long = Some(len);
            return parsed;
        }
        let Some((body, behind)) = behind.split_at_checked(len as usize) else { break };
        rest = behind;
        let named = number(body).and_then(|(len, body)| body.split_at_checked(len as usize));
        parsed.frames.push(match named {
            Some((name, payload)) => {
                (Kind::Message, Bytes::copy_from_slice(name), Bytes::copy_from_slice(payload))
            }
            None if body.is_empty() => (Kind::Empty, Bytes::new(), Bytes::new()),
            None => (Kind::Malformed, Bytes::new(), Bytes::new()),
        });
    }
    parsed.unfinished = rest.len();
    parsed
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u32::from_le_bytes(*number), rest))
}

/// The frames as a reader gives them that gets the stream in `pieces`.
fn read(pieces: &[Bytes], cuts: &Cuts<'_>) -> Parsed {
    let mut reader = FrameReader::new(cuts.max_frame);
    let mut parsed = Parsed { frames: Vec::new(), too_long: None, unfinished: 0 };
    for burst in pieces.chunks(cuts.burst) {
        let waiting = reader.waiting();
        burst.iter().for_each(|piece| reader.push(piece.clone()));
        assert_eq!(reader.waiting(), waiting + burst.iter().map(Bytes::len).sum::<usize>());
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => parsed.frames.push(described(&frame)),
                Ok(None) => {
                    assert_eq!(reader.waiting(), 0, "bytes that nobody looked at");
                    break;
                }
                Err(error) => {
                    assert_eq!(error.max, cuts.max_frame);
                    assert_eq!(reader.next_frame(), Err(error), "the error stays");
                    parsed.too_long = Some(error.len);
                    return parsed;
                }
            }
        }
        assert!(reader.unfinished() < 4 + cuts.max_frame.max(1), "{} bytes", reader.unfinished());
    }
    parsed.unfinished = reader.unfinished();
    reader.clear();
    assert_eq!((reader.waiting(), reader.unfinished()), (0, 0));
    parsed
}

fn described(frame: &Frame) -> (Kind, Bytes, Bytes) {
    match frame {
        Frame::Message(message) => message_parts(message.clone()),
        Frame::Empty => (Kind::Empty, Bytes::new(), Bytes::new()),
        Frame::Malformed => (Kind::Malformed, Bytes::new(), Bytes::new()),
    }
}

fn message_parts(message: Message) -> (Kind, Bytes, Bytes) {
    assert_eq!(message.reader().rest(), message.payload());
    let name = Bytes::copy_from_slice(message.name());
    (Kind::Message, name, message.into_payload())
}

fn link(cuts: &Cuts<'_>) -> Link {
    let mut config = LinkConfig::default();
    config.max_frame = cuts.max_frame;
    config.max_received = cuts.max_received;
    config.pack = cuts.pack;
    Link::new(config, Instant::ZERO)
}

/// The events of a link, until it has no more.
fn poll(link: &mut Link, received: &mut Vec<(Kind, Bytes, Bytes)>) -> Option<CloseReason> {
    loop {
        match link.poll_event()? {
            LinkEvent::Received(message) => received.push(message_parts(message)),
            LinkEvent::Closed(reason) => {
                assert_eq!(link.poll_event(), None, "an event after the last one");
                return Some(reason);
            }
            other @ (LinkEvent::Writable | _) => panic!("{other:?} without a cause"),
        }
    }
}

/// The end of a link, which is told once.
fn ended(before: Option<CloseReason>, now: Option<CloseReason>) -> Option<CloseReason> {
    assert!(before.is_none() || now.is_none(), "closed twice");
    before.or(now)
}

/// A link that gets the stream in `pieces`, then its end.
fn check_link(pieces: &[Bytes], cuts: &Cuts<'_>, expected: &Parsed) {
    let now = Instant::ZERO;
    let mut link = link(cuts);
    let mut received = Vec::new();
    let mut closed = None;
    for burst in pieces.chunks(cuts.burst) {
        let mut waiting = 0;
        for piece in burst {
            link.handle_bytes(now, piece.clone());
            waiting += piece.len();
            let reads = link.is_open() && waiting < cuts.max_received.max(1);
            assert_eq!(link.interest().read, reads);
        }
        closed = ended(closed, poll(&mut link, &mut received));
        assert_eq!(link.interest().deadline, None, "all is told, and nothing times out");
    }
    link.handle_eof(now);
    closed = ended(closed, poll(&mut link, &mut received));

    assert_eq!(closed, Some(end(expected)));
    let count = |kind| expected.frames.iter().filter(|frame| frame.0 == kind).count() as u64;
    let messages = expected.frames.iter().filter(|frame| frame.0 == Kind::Message);
    assert!(messages.eq(&received));
    let stats = link.stats();
    assert_eq!(stats.received, count(Kind::Message));
    assert_eq!((stats.empty, stats.malformed), (count(Kind::Empty), count(Kind::Malformed)));
}

fn end(expected: &Parsed) -> CloseReason {
    match expected.too_long {
        Some(len) => CloseReason::FrameTooLong { len },
        None if expected.unfinished > 0 => CloseReason::CutShort,
        None => CloseReason::Remote,
    }
}

/// A link that sends those events on writes each as one frame, in order and none in two.
fn check_sender(cuts: &Cuts<'_>, expected: &Parsed) {
    let mut link = link(cuts);
    let mut frames = BytesMut::new();
    for (_, name, payload) in expected.frames.iter().filter(|frame| frame.0 == Kind::Message) {
        link.send(name, payload.clone()).expect("what was received can be sent");
        frames.put_u32_le((4 + name.len() + payload.len()) as u32);
        frames.put_u32_le(name.len() as u32);
        frames.extend_from_slice(name);
        frames.extend_from_slice(payload);
    }
    assert_eq!(link.queued(), frames.len());
    let mut written = BytesMut::new();
    while let Some(write) = link.poll_transmit() {
        let Write::Bytes(chunk) = write else { panic!("the link is not being closed") };
        let parsed = parse(&chunk, cuts.max_frame);
        assert_eq!((parsed.unfinished, parsed.too_long), (0, None), "a frame in two writes");
        assert!(chunk.len() <= cuts.pack || parsed.frames.len() == 1, "packed too much");
        written.extend_from_slice(&chunk);
    }
    assert_eq!(written, frames);
    assert_eq!(link.queued(), 0);
}
