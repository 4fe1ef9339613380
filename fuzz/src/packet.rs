//! What an application reads: an event's payload, field by field.

use poolmesh_proto::{Packet, PacketError, PacketReader};

use crate::input::Input;

/// Reads fields that the first bytes choose from the bytes behind. What is read, written again, is what was there; a
/// read that fails takes nothing, and what it says is missing is missing.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let count = input.one_to(32);
    let kinds = input.bytes(count);
    let payload = input.into_rest();
    let mut reader = PacketReader::new(payload);
    let mut written = Packet::new();
    for kind in kinds {
        let before = reader.rest();
        match copy(*kind, &mut reader, written.clone()) {
            Ok(packet) => written = packet,
            Err(error) => {
                assert_eq!(reader.rest(), before, "a read that failed took something");
                check_error(*kind, before, error);
            }
        }
    }
    let written = written.freeze();
    assert_eq!(payload.len(), written.len() + reader.rest().len());
    assert!(payload.starts_with(&written) && payload.ends_with(reader.rest()));
}

/// Reads one field and appends it to `written`.
fn copy(kind: u8, reader: &mut PacketReader<'_>, written: Packet) -> Result<Packet, PacketError> {
    Ok(match kind % 8 {
        0 => written.u8(reader.u8()?),
        1 => written.u16(reader.u16()?),
        2 => written.u32(reader.u32()?),
        3 => written.u64(reader.u64()?),
        4 => written.string(reader.string()?),
        5 => written.string(reader.string_bytes()?),
        6 => {
            let items: Vec<&[u8]> = reader.strings()?.collect();
            let Ok(written) = written.strings(&items) else {
                panic!("{items:?} was read, but can't be written")
            };
            written
        }
        _ => written.bytes(reader.bytes(usize::from(kind / 8))?),
    })
}

fn check_error(kind: u8, rest: &[u8], error: PacketError) {
    assert!(!error.to_string().is_empty());
    match error {
        PacketError::Missing { needed, missing, .. } => {
            assert!(missing > 0);
            assert_eq!(needed - missing, rest.len() as u64);
            assert_eq!(needed, needed_by(kind, rest));
        }
        PacketError::NotUtf8 { valid_up_to } => {
            let bytes = PacketReader::new(rest).string_bytes().expect("the string is there");
            let valid = bytes.get(..valid_up_to).expect("no more than there is");
            assert!(core::str::from_utf8(valid).is_ok() && core::str::from_utf8(bytes).is_err());
        }
        _ => {}
    }
}

/// How long a field is that starts at `rest`, as far as can be known there.
fn needed_by(kind: u8, rest: &[u8]) -> u64 {
    match kind % 8 {
        0 => 1,
        1 => 2,
        2 => 4,
        3 => 8,
        4..=6 => rest.first_chunk().map_or(4, |len| 4 + u64::from(u32::from_le_bytes(*len))),
        _ => u64::from(kind / 8),
    }
}
