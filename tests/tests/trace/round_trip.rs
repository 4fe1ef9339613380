use bytes::Bytes;
use poolmesh_proto::trace::{Entry, Reader, Recorder, TraceError, TraceFault, entries};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::arbitrary::entry;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn recorded(all: &[Entry]) -> Bytes {
    let mut recorder = Recorder::new();
    for Entry { program, now, input } in all {
        recorder.record(*program, *now, input);
    }
    assert_eq!(recorder.total(), recorder.waiting() as u64);
    recorder.take()
}

/// All that a reader says of a file that comes in chunks.
fn read_in_chunks(file: &[u8], cuts: &[Index]) -> (Vec<Entry>, Result<(), TraceError>) {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(file.len() + 1)).collect();
    places.extend([0, file.len()]);
    places.sort_unstable();
    let (mut reader, mut read) = (Reader::new(), Vec::new());
    for ends in places.windows(2) {
        reader.push(&file[ends[0]..ends[1]]);
        loop {
            match reader.next_entry() {
                Ok(Some(entry)) => read.push(entry),
                Ok(None) => break,
                Err(error) => return (read, Err(error)),
            }
        }
    }
    (read, reader.finish())
}

fn read_at_once(file: &[u8]) -> (Vec<Entry>, Result<(), TraceError>) {
    let mut read = Vec::new();
    for entry in entries(file) {
        match entry {
            Ok(entry) => read.push(entry),
            Err(error) => return (read, Err(error)),
        }
    }
    (read, Ok(()))
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn what_is_recorded_is_read(all in vec(entry(), 0..20), cuts in vec(any::<Index>(), 0..10)) {
        let file = recorded(&all);
        prop_assert_eq!(read_at_once(&file), (all.clone(), Ok(())));
        prop_assert_eq!(read_in_chunks(&file, &cuts), (all, Ok(())));
    }

    /// A cut, a spoiled byte, or both: what is before it is read as it was, and an error is within the file.
    #[test]
    fn what_is_spoiled_is_read_up_to_there(
        all in vec(entry(), 1..10),
        (place, value) in (any::<Index>(), any::<u8>()),
        end in any::<Index>(),
        cuts in vec(any::<Index>(), 0..5),
    ) {
        let whole = recorded(&all);
        let (place, end) = (place.index(whole.len()), end.index(whole.len() + 1));
        let mut file = whole.to_vec();
        file[place] = value;
        file.truncate(end);
        let (read, ended) = read_at_once(&file);
        prop_assert_eq!(&read_in_chunks(&file, &cuts), &(read.clone(), ended));
        if file == whole[..end] {
            prop_assert_eq!(&read[..], &all[..read.len()]);
            let cut = matches!(ended, Err(TraceError { fault: TraceFault::Cut { .. }, .. }));
            prop_assert!(cut || ended == Ok(()), "{:?}", ended);
        }
        if let Err(error) = ended {
            prop_assert!(error.offset <= file.len() as u64, "{}", error);
        }
        // What could be read can be written.
        prop_assert_eq!(read_at_once(&recorded(&read)), (read, Ok(())));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..200), entry in any::<bool>()) {
        let mut file = recorded(&[]).to_vec();
        if entry {
            file.push(u8::try_from(bytes.len()).unwrap() & 0x7f);
        }
        file.extend_from_slice(&bytes);
        for file in [&file[..], &bytes] {
            let (read, _) = read_at_once(file);
            prop_assert_eq!(read_at_once(&recorded(&read)), (read, Ok(())));
        }
    }
}
