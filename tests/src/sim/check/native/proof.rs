//! A1: to whom a broadcaster says how much before he has proven where he is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use poolmesh_proto::wire::native::{Act, FromClient, Key, UnverifiedMessage};

/// Cookies of an address that are remembered.
const KEPT: usize = 256;

/// What came from an address, and what went there.
#[derive(Debug, Default)]
struct Flow {
    datagrams: (u64, u64),
    bytes: (u64, u64),
    /// The cookies that it was given.
    cookies: BTreeSet<u64>,
    proven: bool,
}

/// Counts what a broadcaster gets and says, for each address.
#[derive(Debug, Default)]
pub(in crate::sim) struct Proofs {
    flows: BTreeMap<SocketAddr, Flow>,
}

impl Proofs {
    /// A datagram came, and was read. `key`: whose message it is.
    pub(in crate::sim) fn came(
        &mut self,
        from: SocketAddr,
        len: usize,
        read: Option<&FromClient<'_>>,
        key: impl Fn(&UnverifiedMessage<'_>) -> Option<Key>,
    ) {
        let flow = self.flows.entry(from).or_default();
        flow.datagrams.0 += 1;
        flow.bytes.0 += len as u64;
        let shown = match read {
            _ if flow.proven => return,
            Some(FromClient::Request(request)) => request.cookie,
            Some(FromClient::Message(message)) => {
                match key(message).and_then(|key| message.verify(&key).ok()).map(|message| message.act) {
                    Some(Act::Move(cookie)) => Some(cookie),
                    _ => None,
                }
            }
            None => None,
        };
        flow.proven = shown.is_some_and(|cookie| flow.cookies.contains(&cookie.get()));
    }

    /// A datagram goes out.
    pub(in crate::sim) fn goes(&mut self, to: SocketAddr, datagram: &[u8]) -> Result<(), String> {
        let flow = self.flows.entry(to).or_default();
        flow.datagrams.1 += 1;
        flow.bytes.1 += datagram.len() as u64;
        if let Some(cookie) = cookie(datagram) {
            if flow.cookies.len() >= KEPT {
                flow.cookies.pop_first();
            }
            flow.cookies.insert(cookie);
        }
        if !flow.proven && (flow.datagrams.1 > flow.datagrams.0 || flow.bytes.1 > flow.bytes.0) {
            return Err(format!(
                "A1: {to} has proven nothing, sent {} datagrams of {} bytes and got {} of {}",
                flow.datagrams.0, flow.bytes.0, flow.datagrams.1, flow.bytes.1
            ));
        }
        Ok(())
    }
}

/// The cookie that a datagram of a broadcaster gives, whatever its key is.
fn cookie(datagram: &[u8]) -> Option<u64> {
    // `Cookie` and `Prove` both end with it and the tag.
    match datagram.get(1) {
        Some(0x80 | 0xa1) => {
            let fields = datagram.get(10..18)?;
            Some(u64::from_le_bytes(*fields.first_chunk()?))
        }
        _ => None,
    }
}
