//! Attackers who can be answered: each at an address of its own, with a cookie for it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{Call, Cookie, FromBroadcaster, Key, Name, PoolUuid, Reply, Request, Tx};

use crate::Fallible;
use crate::clock::now;
use crate::crowd::application;
use crate::wire::{Injector, Part, Tap};

/// Where they are.
const DENS: Part = Part(Ipv4Addr::new(198, 18, 64, 0), 18);
const PORT: u16 = 4_321;
const PATIENCE: Duration = Duration::from_secs(2);

/// What was answered, by the name of the answer: refusals by their codes.
pub(crate) type Answers = BTreeMap<String, u64>;

/// Attackers, and what they are answered.
#[derive(Debug)]
pub(crate) struct Thieves {
    tap: Tap,
    cookies: Vec<Cookie>,
}

/// Which attacker.
pub(crate) fn address(nth: usize) -> SocketAddrV4 {
    SocketAddrV4::new(DENS.address(nth as u32), PORT)
}

impl Thieves {
    /// So many, each with a cookie that it was given.
    pub(crate) fn new(count: usize, injector: &mut Injector) -> Fallible<Self> {
        let mut tap = Tap::new(DENS)?;
        let mut cookies = Vec::new();
        for nth in 0..count {
            cookies.push(cookie(nth, injector, &mut tap)?);
        }
        Ok(Self { tap, cookies })
    }

    /// The cookie of an attacker.
    pub(crate) fn cookie(&self, nth: usize) -> Option<Cookie> {
        self.cookies.get(nth).copied()
    }

    pub(crate) fn count(&self) -> usize {
        self.cookies.len()
    }

    /// Sees what they are answered, until nothing comes for so long.
    pub(crate) fn listen(&mut self, patience: Duration, answers: &mut Answers) -> Fallible<()> {
        while let Some((_, datagram)) = self.tap.next(patience)? {
            *answers.entry(name(datagram)).or_default() += 1;
        }
        Ok(())
    }
}

fn cookie(nth: usize, injector: &mut Injector, tap: &mut Tap) -> Fallible<Cookie> {
    let tx = Tx::new(nth as u64 + 1).ok_or("a call has a number")?;
    let call = Call::List {
        application: Some(application()),
        after: PoolUuid::NIL,
        free: 0,
        prefix: Name::default(),
    };
    let mut request = BytesMut::new();
    Request { tx, cookie: None, call }.write(&mut request);
    injector.send(address(nth), &request)?;
    let deadline = now() + PATIENCE;
    while now() < deadline {
        let Some((to, datagram)) = tap.next(PATIENCE)? else { continue };
        let Ok(FromBroadcaster::Answer(answer)) = FromBroadcaster::read(datagram) else { continue };
        let answer = answer.verify(&Key::of_request(tx, None)).ok().filter(|_| to == address(nth));
        if let Some(Reply::Cookie(cookie)) = answer.map(|answer| answer.reply) {
            return Ok(cookie);
        }
    }
    Err("an attacker was given no cookie".into())
}

/// What a datagram is called in PROTOCOL.md; of a refusal, its code too.
pub(crate) fn name(datagram: &[u8]) -> String {
    let code = || datagram.get(10).copied().unwrap_or(0);
    match datagram {
        [0xa1, 0x80, ..] => "Cookie".into(),
        [0xa1, 0x81, ..] => format!("Refused {}", code()),
        [0xa1, 0x82, ..] => "Pools".into(),
        [0xa1, 0x83, ..] => "Joined".into(),
        [0xa1, 0x90, ..] => "Pong".into(),
        [0xa1, 0x91, ..] => "Page".into(),
        [0xa1, 0x92, ..] => "Done".into(),
        [0xa1, 0x98, ..] => "Changed".into(),
        [0xa1, 0x99, ..] => "Ended".into(),
        [0xa1, 0xa0, ..] => "Unknown".into(),
        [0xa1, 0xa1, ..] => "Prove".into(),
        other => format!("{:02x?}", other.get(..2).unwrap_or(other)),
    }
}
