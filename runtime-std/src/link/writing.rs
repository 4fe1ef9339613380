//! The thread of a link that writes.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use poolmesh_proto::{Chunks, Fault, WriteKind};

use super::Shared;
use crate::sockets;

/// A writer whose peer doesn't read looks this often whether the link has ended meanwhile.
const WRITE_CHECK: Duration = Duration::from_millis(200);

impl Shared {
    /// Writes what no sender has written, until the end.
    pub(super) fn write(&self, stream: &TcpStream) {
        // Without it a write would wait as long as the peer likes.
        if let Err(error) = stream.set_write_timeout(Some(WRITE_CHECK)) {
            self.fail(stream, &error);
        }
        let mut chunks = Chunks::default();
        while let Some(write) = self.next_write(&mut chunks) {
            let done = match write {
                WriteKind::Chunks => self.write_all(stream, &mut chunks),
                WriteKind::Finish => stream.shutdown(Shutdown::Write),
            };
            if let Err(error) = done {
                self.fail(stream, &error);
            }
        }
        // Wakes the reader. That the connection is gone already is no harm.
        let _ = stream.shutdown(Shutdown::Both);
        self.wake_senders(&self.lock());
    }

    fn fail(&self, stream: &TcpStream, error: &io::Error) {
        self.lock().link.handle_failure(self.clock.now(), Fault::from(error));
        // Wakes the reader.
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// Writes until all is written or the link has ended.
    fn write_all(&self, stream: &TcpStream, chunks: &mut Chunks) -> io::Result<()> {
        while !chunks.is_empty() {
            match chunks.write_to(stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => chunks.advance(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if sockets::timed_out(&error) => {
                    let mut state = self.lock();
                    state.link.handle_timeout(self.clock.now());
                    if state.link.is_ended() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
