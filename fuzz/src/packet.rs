//! What an application reads: an event's payload, field by field.

use core::fmt::{self, Write};

use poolmesh_proto::{Packet, PacketError, PacketReader};

use crate::input::Input;

/// Reads fields that the first bytes choose from the bytes behind. What is read, written again, is what was there; a
/// read that fails takes nothing, and what it says is missing is missing.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    decodes(data);
}

/// The same, and whether all fields could be read.
///
/// # Panics
/// As [`check`].
pub fn decodes(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let count = input.one_to(32);
    let kinds = input.bytes(count);
    let payload = input.into_rest();
    let mut reader = PacketReader::new(payload);
    let mut written = Packet::new();
    let mut all = true;
    for kind in kinds {
        let before = reader.rest();
        let (packet, error) = copy(*kind, &mut reader, written);
        written = packet;
        if let Some(error) = error {
            all = false;
            assert_eq!(reader.rest().as_ptr_range(), before.as_ptr_range(), "a failed read took something");
            check_error(*kind, before, error);
        }
    }
    let written = written.freeze();
    assert_eq!(payload.len(), written.len() + reader.rest().len());
    assert!(payload.starts_with(&written) && payload.ends_with(reader.rest()));
    all
}

/// Reads one field and appends it to `written`, or says why it can't be read.
fn copy(kind: u8, reader: &mut PacketReader<'_>, written: Packet) -> (Packet, Option<PacketError>) {
    match kind % 8 {
        0 => append(written, reader.u8(), Packet::u8),
        1 => append(written, reader.u16(), Packet::u16),
        2 => append(written, reader.u32(), Packet::u32),
        3 => append(written, reader.u64(), Packet::u64),
        4 => append(written, reader.string(), Packet::string),
        5 => append(written, reader.string_bytes(), Packet::string),
        6 => append(written, reader.strings(), |written, items| {
            let items: Vec<&[u8]> = items.collect();
            let Ok(written) = written.strings(&items) else {
                panic!("{items:?} was read, but can't be written")
            };
            written
        }),
        _ => append(written, reader.bytes(usize::from(kind / 8)), Packet::bytes),
    }
}

fn append<T>(
    written: Packet,
    read: Result<T, PacketError>,
    write: impl FnOnce(Packet, T) -> Packet,
) -> (Packet, Option<PacketError>) {
    match read {
        Ok(field) => (write(written, field), None),
        Err(error) => (written, Some(error)),
    }
}

fn check_error(kind: u8, rest: &[u8], error: PacketError) {
    let mut words = Length(0);
    assert!(write!(words, "{error}").is_ok() && words.0 > 0);
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

/// How much is written. To keep the words would cost more than to read the packet.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}
