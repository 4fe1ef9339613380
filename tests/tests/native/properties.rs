//! What is written is read as it was meant, what is damaged is not, and no bytes make a reader panic.

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    Answer, Challenge, Cookie, FIRST_BYTE, Fault, FromBroadcaster, FromClient, Handle, Key, LEAST_MESSAGE,
    LEAST_REQUEST, LONGEST_TO_UNPROVEN, MAX_DATAGRAM, Reply, tag,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::any::{Meant, meant};
use crate::{meant as written, seen};

fn write(meant: &Meant) -> Vec<u8> {
    written::write(meant.kind, &meant.meaning, &meant.key()).to_vec()
}

/// Gives these bytes a tag that is right.
fn tagged(mut bytes: Vec<u8>, key: &Key) -> Vec<u8> {
    let tag = tag(key, &bytes);
    bytes.extend(tag);
    bytes
}

/// Reads for both sides, and whatever was read again as it is written.
fn read_anyhow(datagram: &[u8], key: &Key) -> Result<(), TestCaseError> {
    match FromClient::read(datagram) {
        Ok(FromClient::Request(request)) => {
            prop_assert!(datagram.len() >= LEAST_REQUEST);
            let _ = format!("{request:?}");
        }
        Ok(FromClient::Message(message)) => {
            prop_assert!(datagram.len() >= LEAST_MESSAGE);
            let _ = format!("{message:?} {:?}", message.verify(key));
        }
        Err(fault) => drop(fault.to_string()),
    }
    match FromBroadcaster::read(datagram) {
        Ok(FromBroadcaster::Answer(answer)) => drop(format!("{answer:?} {:?}", answer.verify(key))),
        Ok(FromBroadcaster::Notice(notice)) => drop(format!("{notice:?} {:?}", notice.verify(key))),
        Ok(FromBroadcaster::Challenge(challenge)) => drop(format!("{challenge:?}")),
        Err(fault) => drop(fault.to_string()),
    }
    Ok(())
}

/// Whose key is in the datagram.
fn key_in(datagram: &[u8], key: Key) -> Key {
    match datagram {
        [_, 1..=5, rest @ ..] if rest.len() >= 16 => Key::new(*rest.first_chunk().unwrap()),
        [_, 0xa0..=0xaf, ..] => Key::ZERO,
        _ => key,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_datagram_is_read_as_it_was_meant(meant in meant()) {
        let datagram = write(&meant);
        prop_assert!(datagram.len() <= MAX_DATAGRAM);
        let read = seen::read(meant.from(), &datagram, &meant.key());
        prop_assert_eq!(read, Ok((meant.kind, meant.meaning.clone())));
        let other = if meant.from() == "client" { "broadcaster" } else { "client" };
        prop_assert_eq!(seen::read(other, &datagram, &meant.key()), Err(Fault::WrongSide));
    }

    #[test]
    fn what_is_behind_the_fields_is_skipped(meant in meant(), behind in vec(any::<u8>(), 0..40)) {
        let mut datagram = write(&meant);
        datagram.truncate(datagram.len() - 8);
        datagram.extend(behind);
        prop_assume!(datagram.len() + 8 <= MAX_DATAGRAM);
        let datagram = tagged(datagram, &meant.key());
        prop_assert_eq!(seen::read(meant.from(), &datagram, &meant.key()), Ok((meant.kind, meant.meaning.clone())));
    }

    #[test]
    fn what_is_cut_or_damaged_is_dropped(meant in meant(), places in vec(any::<Index>(), 24), bits in vec(0..8u8, 24)) {
        let datagram = write(&meant);
        for (place, bit) in places.iter().zip(bits) {
            let at = place.index(datagram.len());
            let cut = seen::read(meant.from(), &datagram[..at], &meant.key());
            prop_assert!(cut.is_err(), "{} of {} bytes", at, datagram.len());
            let mut damaged = datagram.clone();
            damaged[at] ^= 1 << bit;
            // A request is read with the key that is in it.
            let read = match FromClient::read(&damaged) {
                Ok(FromClient::Request(request)) => Ok(format!("{request:?}")),
                _ => seen::read(meant.from(), &damaged, &meant.key()).map(|read| format!("{read:?}")),
            };
            prop_assert!(read.is_err(), "bit {} of byte {}: {:?}", bit, at, read);
        }
        for longer in [MAX_DATAGRAM + 1, MAX_DATAGRAM + 200] {
            let mut datagram = datagram.clone();
            datagram.resize(longer - 8, 0);
            let datagram = tagged(datagram, &meant.key());
            prop_assert_eq!(seen::read(meant.from(), &datagram, &meant.key()), Err(Fault::TooLong));
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(
        kind in any::<u8>(), rest in vec(prop_oneof![any::<u8>(), 0..9u8], 0..300), key in any::<[u8; 16]>()
    ) {
        let key = Key::new(key);
        let headed = [&[FIRST_BYTE, kind][..], &rest].concat();
        let right = tagged(headed.clone(), &key_in(&headed, key));
        for datagram in [rest, headed, right] {
            read_anyhow(&datagram, &key)?;
        }
    }

    #[test]
    fn what_is_changed_under_a_right_tag_is_dropped_or_has_a_meaning(
        meant in meant(), places in vec((any::<Index>(), any::<u8>()), 1..4), cut in proptest::option::of(any::<Index>())
    ) {
        let mut datagram = write(&meant);
        datagram.truncate(datagram.len() - 8);
        for (place, byte) in places {
            let at = place.index(datagram.len() - 2) + 2;
            datagram[at] = byte;
        }
        if let Some(cut) = cut {
            datagram.truncate(2 + cut.index(datagram.len() - 2));
        }
        let key = key_in(&datagram, meant.key());
        let datagram = tagged(datagram, &key);
        read_anyhow(&datagram, &key)?;
        match seen::read(meant.from(), &datagram, &key) {
            Ok((kind, meaning)) => {
                let again = written::write(kind, &meaning, &key);
                prop_assert_eq!(seen::read(meant.from(), &again, &key), Ok((kind, meaning)));
                prop_assert!(again.len() <= datagram.len().max(LEAST_MESSAGE), "one form for one meaning");
            }
            Err(fault) => prop_assert!(
                matches!(fault, Fault::Truncated | Fault::BadValue),
                "{:?}: its type, its length and its tag are right", fault
            ),
        }
    }

    #[test]
    fn who_has_not_proven_himself_gets_no_more_than_he_sent(
        meant in meant(), handle in any::<u32>(), count in any::<u32>(), cookie in 1..=u64::MAX
    ) {
        let datagram = write(&meant);
        let cookie = Cookie::new(cookie).unwrap();
        let mut answers = [BytesMut::new(), BytesMut::new(), BytesMut::new()];
        match FromClient::read(&datagram) {
            Ok(FromClient::Request(request)) => {
                Answer { tx: request.tx, reply: Reply::Cookie(cookie) }.write(&request.key(), &mut answers[0]);
            }
            Ok(FromClient::Message(_)) => {
                let handle = Handle(handle);
                Challenge { handle, count, prove: None }.write(&mut answers[1]);
                Challenge { handle, count, prove: Some(cookie) }.write(&mut answers[2]);
            }
            Err(fault) => prop_assert_eq!(fault, Fault::WrongSide),
        }
        for answer in answers {
            prop_assert!(answer.len() <= datagram.len());
            prop_assert!(answer.len() <= LONGEST_TO_UNPROVEN);
        }
    }

    #[test]
    fn a_datagram_is_appended(meant in meant(), before in vec(any::<u8>(), 0..20)) {
        let mut out = BytesMut::from(&before[..]);
        written::append(meant.kind, &meant.meaning, &meant.key(), &mut out);
        prop_assert_eq!(&out[..before.len()], &before[..]);
        prop_assert_eq!(&out[before.len()..], write(&meant));
    }
}
