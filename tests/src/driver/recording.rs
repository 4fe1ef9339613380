//! What a driver did, call by call.
#![allow(clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "part of the tests")]

use std::fmt;

use poolmesh_proto::Instant;
use poolmesh_proto::trace::Input;

/// The calls of a driver that did something, with their times: what it read, wrote, opened, closed, and, if it notes them,
/// what it told its machines.
///
/// What two correct drivers may do differently is not in it: how often they look in vain, in how many pieces they read
/// and write at one time, which of two sockets they turn to first, and how often they say what time it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// By socket or machine, in the order of their first calls.
    of: Vec<(String, Vec<Line>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    at: Instant,
    call: String,
    /// Bytes, for calls that count them: neighbours are one.
    bytes: Option<usize>,
}

impl Recording {
    /// Adds a call that is one by itself.
    pub(super) fn call(&mut self, at: Instant, of: &str, call: String) {
        self.lines(of).push(Line { at, call, bytes: None });
    }

    /// Adds a call that moved some bytes of a stream.
    pub(super) fn moved(&mut self, at: Instant, of: &str, call: &str, bytes: usize) {
        let lines = self.lines(of);
        if let Some(Line { at: last, call: before, bytes: Some(so_far) }) = lines.last_mut() {
            if *last == at && before == call {
                *so_far += bytes;
                return;
            }
        }
        lines.push(Line { at, call: call.into(), bytes: Some(bytes) });
    }

    /// Adds what a machine was told.
    pub(super) fn input(&mut self, at: Instant, input: &Input) {
        match input {
            Input::Timeout | Input::MeshTimeout | Input::LinksTimeout => {}
            Input::Bytes(peer, bytes) => self.moved(at, &format!("link {peer}"), "bytes", bytes.len()),
            Input::Send { peer, name, payload } => {
                let call = format!("send {}, {} bytes", name.escape_ascii(), payload.len());
                self.call(at, &format!("link {peer}"), call);
            }
            // How many there are depends on the pieces of writes, which are the machine's own.
            Input::Written(peer) => self.call(at, &format!("link {peer}"), "written".into()),
            Input::Eof(peer) => self.call(at, &format!("link {peer}"), "eof".into()),
            Input::Failure(peer, fault) => {
                self.call(at, &format!("link {peer}"), format!("failure: {fault}"))
            }
            Input::CloseLink(peer) => self.call(at, &format!("link {peer}"), "close".into()),
            Input::Datagram { .. }
            | Input::List
            | Input::Create
            | Input::Join(_)
            | Input::Cancel(_)
            | Input::Release(_)
            | Input::CloseClient => self.call(at, "client", format!("{input:?}")),
            // All others that a driver has.
            _ => self.call(at, "mesh", format!("{input:?}")),
        }
    }

    fn lines(&mut self, of: &str) -> &mut Vec<Line> {
        let place = self.of.iter().position(|(name, _)| name == of).unwrap_or(self.of.len());
        if place == self.of.len() {
            self.of.push((of.into(), Vec::new()));
        }
        &mut self.of[place].1
    }

    /// Only what was done to sockets: what every driver can be compared in.
    #[must_use]
    pub fn sockets(&self) -> Self {
        let of_a_socket = |(name, _): &&(String, Vec<Line>)| {
            !["client", "mesh", "link"].iter().any(|of| name.starts_with(of))
        };
        Self { of: self.of.iter().filter(of_a_socket).cloned().collect() }
    }

    /// Whether the driver has noted what it told its machines.
    #[must_use]
    pub fn has_inputs(&self) -> bool {
        self.sockets().of.len() < self.of.len()
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, lines) in &self.of {
            writeln!(f, "{name}")?;
            for Line { at, call, bytes } in lines {
                let micros = at.as_micros();
                write!(f, "  {:>6}.{:03} ms  {call}", micros / 1_000, micros % 1_000)?;
                match bytes {
                    Some(bytes) => writeln!(f, " {bytes}")?,
                    None => writeln!(f)?,
                }
            }
        }
        Ok(())
    }
}
