//! Streams that are encrypted, by libraries that many would take instead. The frames in them are packed and parsed by
//! hand: what is compared is the streams.

mod libp2p_stream;
mod quinn_stream;

use std::future::Future;
use std::hint::black_box;
use std::process;
use std::sync::mpsc::sync_channel;
use std::thread;

use bytes::Bytes;
use poolmesh_testkit::patience::now;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Builder;

use super::frames::{Shape, WRITE, parse, put};
use crate::Fallible;
use crate::side::link::{Arrivals, Handling, Sending, keep};
use crate::side::rtt::{Pinging, SHAPE};

/// What is read at a time, in bytes.
const READ: usize = 256 * 1_024;

/// Whose streams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    Libp2p,
    Quinn,
}

/// A stream in both directions.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Packs frames into writes of 64 KiB.
pub(crate) fn sender(peer: Peer, shape: Shape, place: String) -> Fallible<Sending> {
    let payload = shape.payload();
    let frames = (WRITE / shape.frame_len()).max(1);
    let mut buffer = vec![0; frames * shape.frame_len()];
    worker(
        move || dial(peer, place),
        async move |stream: &mut Box<dyn Stream>, count| {
            let mut left = usize::try_from(count)?;
            while left > 0 {
                let mut filled = 0;
                for frame in buffer.chunks_exact_mut(shape.frame_len()).take(left) {
                    put(frame, black_box(&payload));
                    filled += frame.len();
                }
                stream.write_all(buffer.get(..filled).unwrap_or_default()).await?;
                left -= filled / shape.frame_len();
            }
            Ok(stream.flush().await?)
        },
    )
}

/// Takes one stream at a free place, which it returns, and looks at the frames that come, or keeps them.
pub(crate) fn receiver(peer: Peer, handling: Handling, arrivals: Arrivals) -> Fallible<String> {
    served(peer, async move |mut stream: Box<dyn Stream>| {
        let mut buffer = vec![0; READ];
        let mut kept = 0;
        loop {
            let len = stream.read(buffer.get_mut(kept..).unwrap_or_default()).await?;
            let filled = kept + len;
            let mut frames = 0;
            kept = parse(buffer.get(..filled).unwrap_or_default(), |name, payload| {
                match handling {
                    Handling::Looks => _ = black_box((name, payload)),
                    Handling::Keeps => keep(Bytes::copy_from_slice(payload)),
                }
                frames += 1;
            });
            buffer.copy_within(filled - kept..filled, 0);
            arrivals.add(frames);
            if len == 0 {
                return Ok(());
            }
        }
    })
}

/// Sends back what comes over one stream at a free place, which it returns.
pub(crate) fn echo(peer: Peer) -> Fallible<String> {
    served(peer, async move |mut stream: Box<dyn Stream>| {
        let mut frame = vec![0; SHAPE.frame_len()];
        loop {
            stream.read_exact(&mut frame).await?;
            stream.write_all(&frame).await?;
            stream.flush().await?;
        }
    })
}

/// Sends frames to such an echo.
pub(crate) fn pinger(peer: Peer, place: String) -> Fallible<Pinging> {
    let mut frame = SHAPE.frame();
    let mut pinging = worker(
        move || dial(peer, place),
        async move |stream: &mut Box<dyn Stream>, count| {
            let mut times = Vec::with_capacity(usize::try_from(count)?);
            let mut sent = now();
            for _ in 0..count {
                stream.write_all(&frame).await?;
                stream.flush().await?;
                stream.read_exact(&mut frame).await?;
                let returned = now();
                times.push(u64::try_from((returned - sent).as_nanos())?);
                sent = returned;
            }
            Ok(times)
        },
    )?;
    Ok(Box::new(move |count| pinging(count as u64)))
}

async fn dial(peer: Peer, place: String) -> Fallible<Box<dyn Stream>> {
    Ok(match peer {
        Peer::Libp2p => Box::new(libp2p_stream::dial(&place).await?),
        Peer::Quinn => Box::new(quinn_stream::dial(&place).await?),
    })
}

/// Does `work` as often as it is asked to, in a thread of its own that serves the connection meanwhile, too.
fn worker<T: Send + Sync + 'static, C: Future<Output = Fallible<Box<dyn Stream>>>>(
    connect: impl FnOnce() -> C + Send + 'static,
    mut work: impl AsyncFnMut(&mut Box<dyn Stream>, u64) -> Fallible<T> + Send + 'static,
) -> Fallible<Box<dyn FnMut(u64) -> Fallible<T>>> {
    let (jobs, asked) = smol::channel::bounded::<u64>(1);
    let (done, told) = sync_channel::<Fallible<Option<T>>>(1);
    thread::spawn(move || {
        in_runtime(async {
            let mut stream = match connect().await {
                Ok(stream) => stream,
                Err(error) => return Ok(done.send(Err(error))?),
            };
            done.send(Ok(None))?;
            while let Ok(count) = asked.recv().await {
                done.send(work(&mut stream, count).await.map(Some))?;
            }
            Ok(())
        })
    });
    told.recv()??;
    Ok(Box::new(move |count| {
        jobs.send_blocking(count)?;
        told.recv()??.ok_or_else(|| "nothing was done".into())
    }))
}

/// Serves one stream in a thread of its own. When it ends so does the process.
fn served(
    peer: Peer,
    serve: impl AsyncFnOnce(Box<dyn Stream>) -> Fallible<()> + Send + 'static,
) -> Fallible<String> {
    let (ready, told) = sync_channel(1);
    let told_of = ready.clone();
    thread::spawn(move || {
        let served = in_runtime(async {
            let stream: Box<dyn Stream> = match peer {
                Peer::Libp2p => Box::new(libp2p_stream::accept(ready).await?),
                Peer::Quinn => Box::new(quinn_stream::accept(ready).await?),
            };
            serve(stream).await
        });
        if let Err(error) = served {
            // Nobody listens any more if it was told already.
            if told_of.try_send(Err(error)).is_ok() {
                return;
            }
        }
        // Whoever waits for more learns that nothing comes.
        process::exit(1);
    });
    told.recv()?
}

/// Tells where it can be reached.
type Ready = std::sync::mpsc::SyncSender<Fallible<String>>;

fn in_runtime(work: impl Future<Output = Fallible<()>>) -> Fallible<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(work)
}
