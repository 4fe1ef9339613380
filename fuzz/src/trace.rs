//! What a developer is sent: any bytes as a trace file.

use bytes::Bytes;
use poolmesh_proto::trace::{Entry, Reader, Recorder, TraceError, TraceFault, entries};

use crate::memory::Live;

/// The bit of the first byte that puts a header in front of the rest. Without it the rest is a whole file.
const HEADED: u8 = 1;

/// Reads the bytes as a trace, at once and in two pieces, writes what was read and reads that.
///
/// # Panics
/// If a file reads differently in pieces, what was read is not what was written, an error is not within the file, or
/// reading takes more memory than is stated.
pub fn check(data: &[u8]) {
    let Some(([flags, cut], rest)) = data.split_first_chunk() else { return };
    if flags & HEADED == 0 {
        read(rest, *cut);
    } else {
        read(&[Recorder::new().take(), Bytes::copy_from_slice(rest)].concat(), *cut);
    }
}

fn read(file: &[u8], cut: u8) {
    let (all, ended) = at_once(file);
    let (first, second) = file.split_at(usize::from(cut).min(file.len()));
    let mut reader = Reader::new();
    let mut expected = all.iter();
    let in_pieces = pieces(&mut reader, [first, second], &mut expected);
    assert_eq!(in_pieces, ended, "in pieces it ends otherwise");
    assert!(expected.next().is_none(), "in pieces it ends early");
    if let Err(error) = ended {
        assert!(error.offset <= file.len() as u64, "{error}");
        if let TraceFault::Cut { missing } = error.fault {
            assert!(missing > 0);
        }
    }

    let mut recorder = Recorder::new();
    for Entry { program, now, input } in &all {
        recorder.record(*program, *now, input);
    }
    let written = recorder.take();
    let mut read_again = entries(&written);
    for entry in &all {
        assert_eq!(read_again.next(), Some(Ok(entry.clone())), "what was read is not what was written");
    }
    assert!(read_again.next().is_none());
}

/// All entries of a file, each held to the memory it may take.
fn at_once(file: &[u8]) -> (Vec<Entry>, Result<(), TraceError>) {
    let mut all = Vec::with_capacity(file.len() / 4);
    let mut read = entries(file);
    let live = Live::start();
    loop {
        let (offset, before) = (read.offset(), live.bytes());
        let next = read.next();
        let len = usize::try_from(read.offset() - offset).expect("it is within the file");
        live.check(before + 5 * len + 1_024);
        match next {
            Some(Ok(entry)) => all.push(entry),
            Some(Err(error)) => return (all, Err(error)),
            None => return (all, Ok(())),
        }
    }
}

fn pieces<'a>(
    reader: &mut Reader,
    pieces: [&[u8]; 2],
    expected: &mut impl Iterator<Item = &'a Entry>,
) -> Result<(), TraceError> {
    for piece in pieces {
        reader.push(piece);
        while let Some(entry) = reader.next_entry()? {
            assert_eq!(Some(&entry), expected.next(), "in pieces it is otherwise");
        }
    }
    reader.finish()
}
