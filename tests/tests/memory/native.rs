//! The datagrams of the native dialect are read where they lie.

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    Answer, Challenge, FIRST_BYTE, FromBroadcaster, FromClient, Key, MAX_DATAGRAM, Message, News, Notice,
    Reply, Request, tag,
};

use super::allocations;

/// All that the vectors hold, with the keys of their tags, and how many of them are not malformed. Those that are so
/// for one side only are left out: here both read.
fn vectors() -> (Vec<(Key, Vec<u8>)>, usize) {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../../proto/vectors.json")).unwrap();
    let lists = ["datagrams", "malformed"].map(|list| file[list].as_array().unwrap());
    let bytes = |text: &str| -> Vec<u8> {
        let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digits).collect()
    };
    let vectors = lists.into_iter().flatten().filter(|vector| vector["fault"] != "WrongSide");
    let vectors = vectors.map(|vector| {
        let key = bytes(vector["key"].as_str().unwrap()).try_into().unwrap();
        (Key::new(key), bytes(vector["hex"].as_str().unwrap()))
    });
    (vectors.collect(), lists[0].len())
}

enum Read<'a> {
    Request(Request<'a>),
    Message(Message<'a>),
    Answer(Answer<'a>),
    Notice(Notice<'a>),
    Challenge(Challenge),
}

/// Reads a datagram, whoever is said to have written it, and every item in it.
fn read<'a>(datagram: &'a [u8], key: &Key) -> Option<Read<'a>> {
    let read = match (FromClient::read(datagram), FromBroadcaster::read(datagram)) {
        (Ok(FromClient::Request(request)), _) => Read::Request(request),
        (Ok(FromClient::Message(message)), _) => Read::Message(message.verify(key).ok()?),
        (_, Ok(FromBroadcaster::Answer(answer))) => Read::Answer(answer.verify(key).ok()?),
        (_, Ok(FromBroadcaster::Notice(notice))) => Read::Notice(notice.verify(key).ok()?),
        (_, Ok(FromBroadcaster::Challenge(challenge))) => Read::Challenge(challenge),
        (Err(_), Err(_)) => return None,
    };
    match read {
        Read::Answer(Answer { reply: Reply::Pools { listings, .. }, .. }) => {
            assert_eq!(listings.len(), listings.count());
        }
        Read::Notice(Notice { news: News::Page(page), .. }) => {
            assert_eq!(page.entries.len(), page.entries.count());
        }
        Read::Notice(Notice { news: News::Changed { changes, .. }, .. }) => {
            assert_eq!(changes.len(), changes.count());
        }
        _ => {}
    }
    Some(read)
}

/// Neither reading nor writing allocates, if there is room to write.
pub(super) fn datagrams() {
    let (vectors, good) = vectors();
    let mut out = BytesMut::with_capacity(2 * MAX_DATAGRAM);
    let mut written = 0;
    let count = allocations(|| {
        for (key, datagram) in &vectors {
            match read(datagram, key) {
                Some(Read::Request(request)) => request.write(&mut out),
                Some(Read::Message(message)) => message.write(key, &mut out),
                Some(Read::Answer(answer)) => answer.write(key, &mut out),
                Some(Read::Notice(notice)) => assert_eq!(notice.write(key, &mut out), 0),
                Some(Read::Challenge(challenge)) => challenge.write(&mut out),
                None => continue,
            }
            written += 1;
            out.clear();
        }
    });
    assert_eq!((count, written), (0, good), "allocations, and datagrams that were read");
}

/// Nothing is reserved for items that are only claimed.
pub(super) fn claimed() {
    let key = Key::new([7; 16]);
    let datagrams = [(0x82, 24), (0x91, 63), (0x98, 54)].map(|(kind, before)| {
        let mut datagram = vec![FIRST_BYTE, kind];
        datagram.resize(2 + before, 1);
        datagram.push(u8::MAX);
        let tag = tag(&key, &datagram);
        datagram.extend(tag);
        datagram
    });
    let count = allocations(|| {
        for datagram in &datagrams {
            assert!(read(datagram, &key).is_none());
        }
    });
    assert_eq!(count, 0);
}
