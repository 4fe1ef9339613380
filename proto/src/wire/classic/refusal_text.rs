//! The texts of refusals: gop2p's own, word for word, and those this library adds.

use core::fmt::{self, Write};

use bytes::BufMut;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_until};
use nom::character::complete::u64 as number;
use nom::combinator::{all_consuming, map, map_opt, value};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser};

use crate::wire::{PoolId, Refusal, Words};

/// gop2p puts this before every error.
const PREFIX: &[u8] = b"ERROR: ";

type Text<'a, T> = IResult<&'a [u8], T>;

/// Reads the text of an error answer. Every text is a refusal: one that is not known is kept as it is.
pub(super) fn parse(text: &[u8]) -> Refusal {
    let words = text.strip_prefix(PREFIX).unwrap_or(text);
    match all_consuming(known).parse(words) {
        Ok((_, refusal)) => refusal,
        Err(_) => Refusal::Other(Words::new(words)),
    }
}

/// Appends the text of an error answer.
pub(super) fn put(refusal: &Refusal, out: &mut impl BufMut) {
    out.put_slice(PREFIX);
    match refusal {
        Refusal::NoSuchPool(id) => put_unknown(id.as_bytes(), out),
        // Raw bytes, not as `Display` shows them.
        Refusal::PoolFull { pool, limit } => {
            out.put_slice(b"pool ");
            out.put_slice(pool.as_bytes());
            put_shown(format_args!(" has its limit of {limit} peers"), out);
        }
        Refusal::Other(words) => out.put_slice(words.as_bytes()),
        known @ (Refusal::NotHost
        | Refusal::UnknownRequest
        | Refusal::Truncated { .. }
        | Refusal::TooLong { .. }
        | Refusal::TooManyPools { .. }
        | Refusal::TooManyPoolsFromSource { .. }
        | Refusal::TooManyPeers { .. }
        | Refusal::NoFreshId
        | Refusal::Native(_)) => put_shown(format_args!("{known}"), out),
    }
}

/// The text of [`Refusal::NoSuchPool`] with this id.
pub(super) fn put_no_such_pool(id: &[u8], out: &mut impl BufMut) {
    out.put_slice(PREFIX);
    put_unknown(Words::cut(id), out);
}

/// An id is echoed as it came.
fn put_unknown(id: &[u8], out: &mut impl BufMut) {
    out.put_slice(b"pool with id ");
    out.put_slice(id);
    out.put_slice(b" doesn't exist");
}

fn put_shown(shown: fmt::Arguments<'_>, out: &mut impl BufMut) {
    struct Text<'a, B>(&'a mut B);

    impl<B: BufMut> Write for Text<'_, B> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.put_slice(text.as_bytes());
            Ok(())
        }
    }

    // Nothing in it fails.
    let _ = Text(out).write_fmt(shown);
}

fn known(input: &[u8]) -> Text<'_, Refusal> {
    alt((
        no_such_pool,
        value(Refusal::NotHost, tag("only the host can send ping messages")),
        value(Refusal::UnknownRequest, tag("unknown message type")),
        map(delimited(tag("out of bound by "), number, tag(" elements")), |missing| Refusal::Truncated {
            missing,
        }),
        map(delimited(tag("request is longer than "), number, tag(" bytes")), |limit| Refusal::TooLong {
            limit,
        }),
        map(delimited(tag("broadcaster holds its limit of "), number, tag(" pools")), |limit| {
            Refusal::TooManyPools { limit }
        }),
        map(delimited(tag("your address hosts its limit of "), number, tag(" pools")), |limit| {
            Refusal::TooManyPoolsFromSource { limit }
        }),
        map(delimited(tag("broadcaster holds its limit of "), number, tag(" peers")), |limit| {
            Refusal::TooManyPeers { limit }
        }),
        pool_full,
        value(Refusal::NoFreshId, tag("broadcaster has no fresh pool id")),
    ))
    .parse(input)
}

/// `"pool with id ", any bytes, " doesn't exist"`: the id is echoed as it came, so it may hold anything.
fn no_such_pool(input: &[u8]) -> Text<'_, Refusal> {
    let (rest, _) = tag("pool with id ").parse(input)?;
    match rest.strip_suffix(b" doesn't exist") {
        Some(id) => Ok((&[], Refusal::NoSuchPool(Words::new(id)))),
        None => Err(nom::Err::Error(nom::error::Error::new(rest, nom::error::ErrorKind::Tag))),
    }
}

/// `"pool ", id, " has its limit of ", number, " peers"`
fn pool_full(input: &[u8]) -> Text<'_, Refusal> {
    let id = map_opt(take_until(" "), |id: &[u8]| PoolId::new(id).ok());
    let limit = terminated(number, tag(" peers"));
    let parts = (preceded(tag("pool "), id), preceded(tag(" has its limit of "), limit));
    map(parts, |(pool, limit)| Refusal::PoolFull { pool, limit }).parse(input)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn every_known_text_comes_back_as_its_meaning() {
        let pool = PoolId::new(b"p-1").unwrap();
        for refusal in [
            Refusal::NoSuchPool(Words::new(b"\xff\xfe")),
            Refusal::NoSuchPool(Words::new(b"")),
            Refusal::NotHost,
            Refusal::UnknownRequest,
            Refusal::Truncated { missing: 4_294_967_295 },
            Refusal::TooLong { limit: 1_024 },
            Refusal::TooManyPools { limit: 1 },
            Refusal::TooManyPoolsFromSource { limit: u64::MAX },
            Refusal::PoolFull { pool, limit: 9 },
            Refusal::TooManyPeers { limit: 3 },
            Refusal::NoFreshId,
            Refusal::Other(Words::new(b"")),
            Refusal::Other(Words::new(b"come back tomorrow")),
        ] {
            let mut out = BytesMut::new();
            put(&refusal, &mut out);
            assert_eq!(parse(&out), refusal);
        }
    }

    #[test]
    fn a_known_text_with_something_behind_it_is_another_text() {
        let text = b"ERROR: unknown message type!";
        assert_eq!(parse(text), Refusal::Other(Words::new(b"unknown message type!")));
    }

    #[test]
    fn a_text_without_the_prefix_is_understood_too() {
        assert_eq!(parse(b"unknown message type"), Refusal::UnknownRequest);
    }
}
