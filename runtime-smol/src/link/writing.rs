//! The half of a link's task that writes.

use std::io;
use std::net::{Shutdown, TcpStream};

use poolmesh_proto::{Chunks, Fault, Instant, WriteKind};
use smol::Async;
use smol::future::{FutureExt, yield_now};

use super::Shared;

impl Shared {
    /// Writes what no sender has written, until the end.
    pub(super) async fn write(&self, stream: &Async<TcpStream>) {
        let mut chunks = Chunks::default();
        while let Some(write) = self.next_write(&mut chunks).await {
            let done = match write {
                WriteKind::Chunks => self.write_all(stream, &mut chunks).await,
                WriteKind::Finish => stream.get_ref().shutdown(Shutdown::Write),
            };
            if let Err(error) = done {
                self.lock().link.handle_failure(self.clock.now(), Fault::from(&error));
                // Wakes the reader.
                let _ = stream.get_ref().shutdown(Shutdown::Both);
            }
            // A peer that reads as fast as we write must not keep the others waiting.
            yield_now().await;
        }
        // Wakes the reader. That the connection is gone already is no harm.
        let _ = stream.get_ref().shutdown(Shutdown::Both);
        self.room.notify(usize::MAX);
    }

    /// Waits for the next thing to write, which says that the one before is done; none at the end.
    async fn next_write(&self, chunks: &mut Chunks) -> Option<WriteKind> {
        loop {
            let work = self.work.listen();
            let deadline = {
                let mut state = self.lock();
                if !state.unwritten.is_empty() {
                    *chunks = std::mem::take(&mut state.unwritten);
                    return Some(WriteKind::Chunks);
                }
                let queued = state.link.queued();
                let write = state.link.poll_chunks(chunks);
                let deadline = state.link.interest().deadline;
                // Asking has made room; or others that share the memory have.
                if state.link.queued() < queued || deadline == Some(Instant::ZERO) {
                    self.room.notify(usize::MAX);
                }
                if write.is_some() || state.link.is_ended() {
                    return write;
                }
                deadline
            };
            // Events are the reader's to poll; that some wait is no reason to look again.
            work.or(self.clock.reach(deadline.filter(|at| *at > Instant::ZERO))).await;
            self.lock().link.handle_timeout(self.clock.now());
        }
    }

    /// Writes until all is written or the link has ended.
    async fn write_all(&self, stream: &Async<TcpStream>, chunks: &mut Chunks) -> io::Result<()> {
        while !chunks.is_empty() {
            match chunks.write_to(stream.get_ref()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => chunks.advance(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let work = self.work.listen();
                    let deadline = {
                        let mut state = self.lock();
                        state.link.handle_timeout(self.clock.now());
                        if state.link.is_ended() {
                            return Ok(());
                        }
                        state.link.interest().deadline.filter(|at| *at > Instant::ZERO)
                    };
                    let woken = async {
                        work.or(self.clock.reach(deadline)).await;
                        Ok(())
                    };
                    stream.writable().or(woken).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
