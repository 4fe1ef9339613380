//! The fields of payloads, as gop2p's own `Packet` writes them.

use std::collections::BTreeSet;

use bytes::Bytes;
use poolmesh_proto::{AmbiguousArray, Packet, PacketError, PacketReader};

use crate::file::Vector;

/// What our builder makes of the same fields.
enum Ours {
    /// The same bytes.
    Same(Packet),
    /// gop2p has no bytes for it: it panics.
    Only(Packet),
    /// It refuses: the array would be read as another one.
    Refused(usize),
}

pub(crate) fn check(vectors: &[Vector]) -> BTreeSet<String> {
    let mut covered = BTreeSet::new();
    for vector in vectors.iter().filter(|vector| vector.direction == "none (encoder only)") {
        let Vector { name, bytes, .. } = vector;
        let call = vector.text("go_call").unwrap();
        assert_eq!(name.strip_prefix("packet_"), Some(call));
        let (ours, unread) = field(call, bytes);
        assert_eq!(unread, b"", "{name} is read to its end");
        match ours {
            Ours::Same(packet) => assert_eq!(packet.freeze(), bytes, "{name}"),
            Ours::Only(packet) => assert!(bytes.is_empty() && packet.freeze().len() == 8, "{name}"),
            Ours::Refused(index) => {
                let items = if call.ends_with("[\"\"])") { &[""][..] } else { &["a b", "c"] };
                assert_eq!(Packet::new().strings(items), Err(AmbiguousArray { index }), "{name}");
            }
        }
        covered.insert(name.clone());
    }
    covered
}

/// Reads one vector as what it says it is. Returns our counterpart, and what was not read.
fn field<'a>(call: &str, bytes: &'a [u8]) -> (Ours, &'a [u8]) {
    let mut reader = PacketReader::new(bytes);
    let new = Packet::new;
    let strings = |items: &[&str]| new().strings(items).unwrap();
    let ours = match call {
        "WriteByte(0xAB)" => {
            assert_eq!(reader.u8(), Ok(0xab));
            Ours::Same(new().u8(0xab))
        }
        "WriteBytes(010203)" => {
            assert_eq!(reader.bytes(3), Ok(&[1, 2, 3][..]));
            Ours::Same(new().bytes(&[1, 2, 3]))
        }
        // A gop2p u16 is four bytes, so ours is two of them; read alone, it leaves two zeros.
        "WriteUint16(0x1234)" => {
            assert_eq!((reader.u16(), reader.u16()), (Ok(0x1234), Ok(0)));
            Ours::Same(new().u16(0x1234).u16(0))
        }
        "WriteUint16(0xFFFF)" => {
            assert_eq!((reader.u16(), reader.u16()), (Ok(0xffff), Ok(0)));
            Ours::Same(new().u32(0xffff))
        }
        "u16(1) then u16(2)" => {
            assert_eq!([1, 0, 2, 0].map(Ok), [(); 4].map(|()| reader.u16()));
            Ours::Same(new().u16(1).u16(0).u16(2).u16(0))
        }
        "WriteUint32(0x12345678)" => {
            assert_eq!(reader.u32(), Ok(0x1234_5678));
            Ours::Same(new().u32(0x1234_5678))
        }
        "WriteUint64(0x0102030405060708)" | "WriteUint64(1)" => {
            let missing = PacketError::Missing { what: "u64", needed: 8, missing: 8 };
            assert_eq!(reader.u64(), Err(missing));
            Ours::Only(new().u64(1))
        }
        "WriteString(\"\")" => {
            assert_eq!(reader.string(), Ok(""));
            Ours::Same(new().string(""))
        }
        "WriteString(\"héllo\")" => {
            assert_eq!(reader.string(), Ok("héllo"));
            Ours::Same(new().string("héllo"))
        }
        "WriteStringArr([])" => {
            assert_eq!(items(&mut reader), [""; 0]);
            Ours::Same(strings(&[]))
        }
        "WriteStringArr([\"\"])" => {
            assert_eq!(items(&mut reader), [""; 0]);
            Ours::Refused(0)
        }
        "WriteStringArr([a])" => {
            assert_eq!(items(&mut reader), ["a"]);
            Ours::Same(strings(&["a"]))
        }
        "WriteStringArr([a,bc,d])" => {
            assert_eq!(items(&mut reader), ["a", "bc", "d"]);
            Ours::Same(strings(&["a", "bc", "d"]))
        }
        "WriteStringArr([a b,c])" => {
            assert_eq!(items(&mut reader), ["a", "b", "c"]);
            Ours::Refused(0)
        }
        "writeBefore: str p, then before m" => {
            assert_eq!((reader.string(), reader.string()), (Ok("m"), Ok("p")));
            Ours::Same(new().string("m").string("p"))
        }
        "before u8 1, u8 2, u8 3" => {
            assert_eq!([3, 2, 1].map(Ok), [(); 3].map(|()| reader.u8()));
            Ours::Same(new().u8(3).u8(2).u8(1))
        }
        "Pool{id,host,you,[a b]}" => {
            assert_eq!(items(&mut reader), ["id", "host", "you", "a", "b"]);
            Ours::Same(strings(&["id", "host", "you", "a", "b"]))
        }
        // gop2p joins the empty array of peers as one more item: a space is left at the end.
        "Pool{id,host,you,[]}" => {
            assert_eq!(items(&mut reader), ["id", "host", "you", ""]);
            Ours::Same(strings(&["id", "host", "you", ""]))
        }
        other => panic!("no check for {other}"),
    };
    (ours, reader.rest())
}

fn items(reader: &mut PacketReader<'_>) -> Vec<String> {
    let items = reader.strings().unwrap();
    items.map(|item| String::from_utf8(Bytes::copy_from_slice(item).into()).unwrap()).collect()
}
