//! The same frames by what programs on tokio would use: a codec for frames with a length before them.

use std::hint::black_box;
use std::net::SocketAddr;
use std::process;
use std::thread;

use bytes::{Buf, Bytes};
use futures_util::SinkExt;
use poolmesh_testkit::patience::now;
use smol::stream::StreamExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::frames::{Shape, WRITE};
use crate::Fallible;
use crate::side::link::{Arrivals, Handling, Sending, keep};
use crate::side::rtt::{Pinging, SHAPE};

type Incoming = FramedRead<OwnedReadHalf, LengthDelimitedCodec>;
type Outgoing = FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>;

/// One thread: more would have to wake each other.
fn runtime() -> Fallible<Runtime> {
    Ok(Builder::new_current_thread().enable_io().build()?)
}

fn framed(stream: TcpStream) -> Fallible<(Incoming, Outgoing)> {
    stream.set_nodelay(true)?;
    let codec = LengthDelimitedCodec::builder().little_endian().max_frame_length(1 << 24).new_codec();
    let (read, write) = stream.into_split();
    let mut outgoing = FramedWrite::new(write, codec.clone());
    // It writes when there is as much.
    outgoing.set_backpressure_boundary(WRITE);
    Ok((FramedRead::with_capacity(read, codec, WRITE), outgoing))
}

/// What stands behind the length of each frame.
fn body(shape: Shape) -> Bytes {
    let mut frame = Bytes::from(shape.frame());
    frame.advance(size_of::<u32>());
    frame
}

/// Sends frames of which the body was made beforehand.
pub(crate) fn sender(shape: Shape, address: SocketAddr) -> Fallible<Sending> {
    let runtime = runtime()?;
    let (_, mut outgoing) = runtime.block_on(async { framed(TcpStream::connect(address).await?) })?;
    let body = body(shape);
    Ok(Box::new(move |count| {
        runtime.block_on(async {
            for _ in 0..count {
                outgoing.feed(body.clone()).await?;
            }
            Ok(SinkExt::<Bytes>::flush(&mut outgoing).await?)
        })
    }))
}

/// Takes one connection on a free port, which it returns, and looks at the frames that come, or keeps them.
pub(crate) fn receiver(handling: Handling, arrivals: Arrivals) -> Fallible<SocketAddr> {
    let runtime = runtime()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let _: Fallible<()> = runtime.block_on(async {
            let (mut incoming, _outgoing) = framed(listener.accept().await?.0)?;
            while let Some(frame) = incoming.next().await {
                let mut frame = frame?;
                let (name, payload) = parts(&frame);
                match handling {
                    Handling::Looks => _ = black_box((name, payload)),
                    Handling::Keeps => {
                        frame.advance(frame.len() - payload.len());
                        keep(frame.freeze());
                    }
                }
                arrivals.add(1);
            }
            Ok(())
        });
        // Whoever waits for more learns that nothing comes.
        process::exit(1);
    });
    Ok(address)
}

/// The name and what stands behind it.
fn parts(body: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = body.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    rest.split_at_checked(u32::from_le_bytes(*len) as usize).unwrap_or_default()
}

/// Sends back what comes over one connection to a free port, which it returns.
pub(crate) fn echo() -> Fallible<SocketAddr> {
    let runtime = runtime()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        runtime.block_on(async {
            let (mut incoming, mut outgoing) = framed(listener.accept().await?.0)?;
            while let Some(frame) = incoming.next().await {
                outgoing.send(frame?.freeze()).await?;
            }
            Fallible::Ok(())
        })
    });
    Ok(address)
}

/// Sends frames to such an echo.
pub(crate) fn pinger(echo: SocketAddr) -> Fallible<Pinging> {
    let runtime = runtime()?;
    let (mut incoming, mut outgoing) = runtime.block_on(async { framed(TcpStream::connect(echo).await?) })?;
    let body = body(SHAPE);
    Ok(Box::new(move |count| {
        runtime.block_on(async {
            let mut times = Vec::with_capacity(count);
            let mut sent = now();
            for _ in 0..count {
                outgoing.send(body.clone()).await?;
                incoming.next().await.ok_or("the connection ended")??;
                let returned = now();
                times.push(u64::try_from((returned - sent).as_nanos())?);
                sent = returned;
            }
            Ok(times)
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_reads_what_is_packed_by_hand() {
        use bytes::BytesMut;
        use tokio_util::codec::Decoder;

        use crate::yardstick::frames::NAME;

        let mut codec = LengthDelimitedCodec::builder().little_endian().new_codec();
        let mut stream = BytesMut::from(&Shape::Small.frame().repeat(2)[..]);
        for _ in 0..2 {
            let body = codec.decode(&mut stream).unwrap().unwrap();
            assert_eq!(body, super::body(Shape::Small));
            assert_eq!(parts(&body), (NAME, &Shape::Small.payload()[..]));
        }
        assert!(stream.is_empty());
    }
}
