//! Any datagram, as the file of vectors would write it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use poolmesh_proto::wire::native::{Address, Key};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::file::hex;

/// A datagram: its type, its meaning and the key of its tag.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    pub(crate) kind: &'static str,
    pub(crate) meaning: Value,
    key: [u8; 16],
}

impl Meant {
    /// The key of the tag: what is not under a session's or a request's has none of its own.
    pub(crate) fn key(&self) -> Key {
        let long = |field: &str| self.meaning[field].as_str().map_or(0, |text| text.parse::<u64>().unwrap());
        match self.kind {
            "List" | "Create" | "Join" | "JoinByCode" | "Resume" => {
                Key::new((u128::from(long("cookie")) << 64 | u128::from(long("tx"))).to_le_bytes())
            }
            "Unknown" | "Prove" => Key::ZERO,
            _ => Key::new(self.key),
        }
    }

    /// Who writes it.
    pub(crate) fn from(&self) -> &'static str {
        match self.kind {
            "List" | "Create" | "Join" | "JoinByCode" | "Resume" | "Ping" | "Ask" | "Move" | "Leave"
            | "About" | "Change" | "Kick" | "Hand" | "Close" => "client",
            _ => "broadcaster",
        }
    }
}

fn raw(max: usize) -> impl Strategy<Value = String> {
    prop_oneof![8 => vec(any::<u8>(), 0..=max.min(40)), 1 => vec(any::<u8>(), 0..=max), 1 => vec(any::<u8>(), max)]
        .prop_map(|bytes| hex(&bytes))
}

fn name() -> impl Strategy<Value = String> {
    let chars = || any::<char>();
    prop_oneof![9 => vec(chars(), 0..=16), 1 => vec(Just('ä'), 32), 1 => vec(Just('x'), 64)]
        .prop_map(|chars| chars.into_iter().collect())
}

fn id() -> impl Strategy<Value = String> {
    any::<[u8; 16]>().prop_map(|bytes| hex(&bytes))
}

fn long() -> impl Strategy<Value = String> {
    prop_oneof![any::<u64>(), 0..3u64, Just(u64::MAX)].prop_map(|number| number.to_string())
}

/// A number of 64 bits that is not 0.
fn some_long() -> impl Strategy<Value = String> {
    prop_oneof![1..=u64::MAX, 1..3u64].prop_map(|number| number.to_string())
}

fn short() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), 0..3u32, Just(u32::MAX)]
}

/// A number of 32 bits that is not 0.
fn some() -> impl Strategy<Value = u32> {
    prop_oneof![1..=u32::MAX, 1..9u32, Just(u32::MAX)]
}

pub(crate) fn address() -> impl Strategy<Value = Address> {
    let v4 = any::<u32>().prop_map(|ip| IpAddr::from(Ipv4Addr::from(ip)));
    let v6 = any::<u128>().prop_map(|ip| IpAddr::from(Ipv6Addr::from(ip)));
    (prop_oneof![v4, v6], 1..=u16::MAX)
        .prop_map(|(ip, port)| Address::new(SocketAddr::new(ip, port)).unwrap())
}

fn shown() -> impl Strategy<Value = String> {
    address().prop_map(|address| address.to_string())
}

fn spec() -> BoxedStrategy<Value> {
    let texts = (name(), raw(512), vec(shown(), 0..=4));
    (any::<[bool; 3]>(), 1..=1_024u16, texts)
        .prop_map(|(flags, seats, (name, metadata, broadcasters))| {
            json!({
                "hidden": flags[0], "locked": flags[1], "ends_with_host": flags[2], "seats": seats,
                "name": name, "metadata": metadata, "broadcasters": broadcasters,
            })
        })
        .boxed()
}

fn epoch() -> impl Strategy<Value = Value> {
    (long(), some()).prop_map(|(era, number)| json!({ "era": era, "number": number }))
}

fn state() -> BoxedStrategy<Value> {
    let epochs = (epoch(), prop_oneof![Just(Value::Null), epoch()]);
    (epochs, any::<u16>(), [short(), short()], [some(), some(), some()], 1..=1_024u16, id())
        .prop_map(|((epoch, base), came, [generation, purged], [term, host, next], count, seal)| {
            json!({
                "epoch": epoch, "generation": generation, "base": base, "came": came, "term": term, "host": host, "next": next,
                "purged": purged, "count": count, "seal": seal,
            })
        })
        .boxed()
}

fn application() -> impl Strategy<Value = String> {
    any::<[u8; 16]>().prop_filter("that is none", |bytes| *bytes != [0; 16]).prop_map(|bytes| hex(&bytes))
}

fn code() -> impl Strategy<Value = u64> {
    prop_oneof![0..1u64 << 40, Just((1 << 40) - 1)]
}

fn call() -> BoxedStrategy<(&'static str, Value)> {
    let list = (proptest::option::of(application()), id(), any::<u16>(), name()).prop_map(
        |(application, after, free, prefix)| {
            ("List", json!({ "application": application, "after": after, "free": free, "prefix": prefix }))
        },
    );
    let create = (application(), spec(), raw(128)).prop_map(|(application, spec, about)| {
        ("Create", json!({ "application": application, "spec": spec, "about": about }))
    });
    let join = (application(), id(), raw(128)).prop_map(|(application, pool, about)| {
        ("Join", json!({ "application": application, "pool": pool, "about": about }))
    });
    let by_code = (application(), code(), raw(128)).prop_map(|(application, code, about)| {
        ("JoinByCode", json!({ "application": application, "code": code, "about": about }))
    });
    let ticket = (application(), id(), code(), some(), long(), state()).prop_map(
        |(application, pool, code, member, session, state)| {
            json!({
                "application": application, "pool": pool, "code": code, "member": member, "session": session,
                "state": state,
            })
        },
    );
    let resume = (ticket, spec(), raw(128)).prop_map(|(ticket, spec, about)| {
        ("Resume", json!({ "ticket": ticket, "spec": spec, "about": about }))
    });
    prop_oneof![list, create, join, by_code, resume].boxed()
}

fn refusal() -> BoxedStrategy<Value> {
    (1..=u8::MAX, any::<u16>())
        .prop_map(|(code, wait)| {
            let wait = if matches!(code, 9 | 10) { wait } else { 0 };
            json!({ "code": code, "wait": wait })
        })
        .boxed()
}

fn listings() -> BoxedStrategy<Value> {
    let numbers = (code(), any::<u16>(), 1..=1_024u16);
    let listing = (any::<[u8; 16]>(), any::<[bool; 2]>(), numbers, name(), raw(480));
    (vec(listing, 0..3), any::<bool>()).prop_map(|(mut listings, more)| {
        listings.sort();
        listings.dedup_by_key(|listing| listing.0);
        let next = listings.last().map_or([7; 16], |last| last.0);
        let listings = listings.into_iter().map(|(pool, [locked, classic], (code, members, seats), name, metadata)| {
            if classic {
                return json!({ "pool": hex(&pool), "classic": true });
            }
            json!({
                "pool": hex(&pool), "classic": false, "code": code, "locked": locked, "members": members,
                "seats": seats, "name": name, "metadata": metadata,
            })
        });
        json!({ "next": more.then(|| hex(&next)), "listings": listings.collect::<Vec<_>>() })
    })
    .boxed()
}

fn reply() -> BoxedStrategy<(&'static str, Value)> {
    let joined = (
        application(),
        id(),
        code(),
        some(),
        short(),
        long(),
        id(),
        [1..=u16::MAX, 1..=u16::MAX],
        shown(),
    )
        .prop_map(|(application, pool, code, member, handle, session, key, [interval, timeout], you)| {
            json!({
                "application": application, "pool": pool, "code": code, "member": member, "handle": handle,
                "session": session, "key": key, "interval": interval, "timeout": timeout, "you": you,
            })
        });
    prop_oneof![
        some_long().prop_map(|cookie| ("Cookie", json!({ "cookie": cookie }))),
        refusal().prop_map(|refusal| ("Refused", refusal)),
        listings().prop_map(|pools| ("Pools", pools)),
        joined.prop_map(|joined| ("Joined", joined)),
    ]
    .boxed()
}

fn act() -> BoxedStrategy<(&'static str, Value)> {
    prop_oneof![
        proptest::option::of(epoch()).prop_map(|epoch| ("Ping", json!({ "epoch": epoch }))),
        proptest::option::of(some()).prop_map(|from| ("Ask", json!({ "from": from }))),
        some_long().prop_map(|cookie| ("Move", json!({ "cookie": cookie }))),
        Just(("Leave", json!({}))),
        Just(("Close", json!({}))),
        raw(128).prop_map(|about| ("About", json!({ "about": about }))),
        spec().prop_map(|spec| ("Change", json!({ "spec": spec }))),
        some().prop_map(|member| ("Kick", json!({ "member": member }))),
        some().prop_map(|member| ("Hand", json!({ "member": member }))),
    ]
    .boxed()
}

fn entry() -> BoxedStrategy<Value> {
    (some(), shown(), raw(128))
        .prop_map(|(member, address, about)| json!({ "member": member, "address": address, "about": about }))
        .boxed()
}

fn page() -> BoxedStrategy<Value> {
    let start =
        prop_oneof![spec().prop_map(|spec| (None, Some(spec))), some().prop_map(|from| (Some(from), None))];
    (start, state(), any::<bool>(), vec((shown(), raw(128)), 0..3), some())
        .prop_map(|((from, spec), state, more, entries, step)| {
            let mut member = from;
            let mut listed = Vec::new();
            for (address, about) in entries {
                // From where the page begins on, with any distance between them.
                let Some(next) = member.unwrap_or(1).checked_add(step % 1_000) else { break };
                listed.push(json!({ "member": next, "address": address, "about": about }));
                let Some(behind) = next.checked_add(1) else { break };
                member = Some(behind);
            }
            let more = more && !listed.is_empty();
            json!({ "from": from, "spec": spec, "state": state, "more": more, "entries": listed })
        })
        .boxed()
}

fn change() -> BoxedStrategy<Value> {
    let reason = prop_oneof![Just("left"), Just("timed out"), Just("kicked"), Just("replaced")];
    prop_oneof![
        entry().prop_map(|entry| json!({ "change": "joined", "entry": entry })),
        (some(), reason).prop_map(|(who, why)| json!({ "change": "left", "member": who, "reason": why })),
        (some(), raw(128))
            .prop_map(|(who, about)| json!({ "change": "about", "member": who, "about": about })),
        (some(), shown()).prop_map(|(who, to)| json!({ "change": "moved", "member": who, "address": to })),
    ]
    .boxed()
}

fn news() -> BoxedStrategy<(&'static str, Value)> {
    let changes = prop_oneof![
        vec(change(), 0..6),
        spec().prop_map(|spec| vec![json!({ "change": "spec", "spec": spec })]),
    ];
    let reason = prop_oneof![Just("kicked"), Just("replaced"), Just("pool ended")];
    prop_oneof![
        Just(("Pong", json!({}))),
        page().prop_map(|page| ("Page", page)),
        refusal().prop_map(|refusal| ("Done", refusal)),
        Just(("Done", json!({ "code": 0, "wait": 0 }))),
        (state(), changes)
            .prop_map(|(state, changes)| ("Changed", json!({ "state": state, "changes": changes }))),
        reason.prop_map(|reason| ("Ended", json!({ "reason": reason }))),
        Just(("Unknown", json!({}))),
        some_long().prop_map(|cookie| ("Prove", json!({ "cookie": cookie }))),
    ]
    .boxed()
}

/// Any datagram of any type.
pub(crate) fn meant() -> BoxedStrategy<Meant> {
    let with = |field: &'static str, value: Value, (kind, mut meaning): (&'static str, Value)| {
        meaning[field] = value;
        (kind, meaning)
    };
    let requests = (some_long(), proptest::option::of(some_long()), call())
        .prop_map(move |(tx, cookie, call)| with("tx", tx.into(), with("cookie", json!(cookie), call)));
    let answers = (some_long(), reply()).prop_map(move |(tx, reply)| with("tx", tx.into(), reply));
    let spoken = (short(), short(), prop_oneof![act(), news()]).prop_map(move |(handle, count, said)| {
        let said = with("handle", handle.into(), said);
        if matches!(said.0, "Changed" | "Ended") { said } else { with("count", count.into(), said) }
    });
    (prop_oneof![2 => requests, 2 => answers, 6 => spoken], any::<[u8; 16]>())
        .prop_map(|((kind, meaning), key)| Meant { kind, meaning, key })
        .boxed()
}
