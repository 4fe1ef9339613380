//! Frames over bare connections.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process;
use std::thread;

use super::frames::{Counter, Shape, WRITE, parse, put};
use crate::Fallible;
use crate::side::link::{Arrivals, Sending};

/// What is read at a time, in bytes.
const READ: usize = 256 * 1_024;

/// Packs frames into one buffer, and writes it when it is full.
pub(crate) fn sender(shape: Shape, address: SocketAddr) -> Fallible<Sending> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    if shape.frame_len() > WRITE {
        return Ok(pieces(shape, stream));
    }
    let payload = shape.payload();
    let mut buffer = vec![0; WRITE / shape.frame_len() * shape.frame_len()];
    Ok(Box::new(move |count| {
        let mut left = usize::try_from(count)?;
        while left > 0 {
            let mut filled = 0;
            for frame in buffer.chunks_exact_mut(shape.frame_len()).take(left) {
                put(frame, black_box(&payload));
                filled += frame.len();
            }
            stream.write_all(buffer.get(..filled).unwrap_or_default())?;
            left -= filled / shape.frame_len();
        }
        Ok(())
    }))
}

/// Writes pieces of 64 KiB of a stream that was made beforehand.
fn pieces(shape: Shape, mut stream: TcpStream) -> Sending {
    let frames = shape.frame().repeat(2);
    let mut at = 0;
    Box::new(move |count| {
        let mut left = usize::try_from(count)? * shape.frame_len();
        while left > 0 {
            let piece = frames.get(at..at + left.min(WRITE)).unwrap_or_default();
            stream.write_all(piece)?;
            left -= piece.len();
            at = (at + piece.len()) % shape.frame_len();
        }
        Ok(())
    })
}

/// Takes one connection on a free port, which it returns, and counts the frames that come.
pub(crate) fn receiver(shape: Shape, arrivals: Arrivals) -> Fallible<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let _ = listener.accept().and_then(|(stream, _)| match shape {
            Shape::Small | Shape::Kilo => looked_at(stream, &arrivals),
            Shape::Bulk => counted(stream, &arrivals),
        });
        // Whoever waits for more learns that nothing comes.
        process::exit(1);
    });
    Ok(address)
}

/// Parses frames where they were read.
fn looked_at(mut stream: TcpStream, arrivals: &Arrivals) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    let mut kept = 0;
    loop {
        let len = stream.read(buffer.get_mut(kept..).unwrap_or_default())?;
        let filled = kept + len;
        let mut frames = 0;
        kept = parse(buffer.get(..filled).unwrap_or_default(), |name, payload| {
            black_box((name, payload));
            frames += 1;
        });
        buffer.copy_within(filled - kept..filled, 0);
        arrivals.add(frames);
        if len == 0 {
            return Ok(());
        }
    }
}

fn counted(mut stream: TcpStream, arrivals: &Arrivals) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    let mut counter = Counter::default();
    loop {
        let len = stream.read(&mut buffer)?;
        arrivals.add(counter.count(buffer.get(..len).unwrap_or_default()));
        if len == 0 {
            return Ok(());
        }
    }
}
