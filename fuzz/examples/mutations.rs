//! Twenty million seeded mutations of the codec, on any toolchain, in seconds.
//!
//! What the fuzzer kept of the parsers and the shared vectors are changed a little, over and over, and handed to the
//! parsers' targets, which hold each to what they assert. The same seed does the same, on any number of threads.
//!
//! `mutations [COUNT [SEED]]`

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use poolmesh_fuzz::{frames, native, packet, request, response};
use serde_json::Value;

const COUNT: u64 = 20_000_000;
const SEED: u64 = 1;

/// The work is shared out in so many parts, whatever the number of threads is.
const PARTS: u64 = 64;

/// The longest input that is made, in bytes.
const LONGEST: usize = 2_048;

/// Most of the time an input of at most this length is taken, in bytes: the long ones differ in little but time.
const SHORT: usize = 64;

/// The way of the vectors of the native dialect: both, for its target reads for both sides.
const NATIVE: &str = "native";

/// A parser's target, and where in its inputs a length stands.
struct Parser {
    name: &'static str,
    decodes: fn(&[u8]) -> bool,
    length_at: usize,
    /// How many of ten mutations are its.
    share: u64,
}

const PARSERS: [Parser; 5] = [
    Parser { name: "request", decodes: request::decodes, length_at: 1, share: 3 },
    Parser { name: "response", decodes: response::decodes, length_at: 1, share: 2 },
    Parser { name: "frames", decodes: frames::decodes, length_at: 5, share: 2 },
    Parser { name: "packet", decodes: packet::decodes, length_at: 5, share: 2 },
    // Lengths are bytes there, and stand anywhere.
    Parser { name: NATIVE, decodes: native::decodes, length_at: LONGEST, share: 1 },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Ok(count), Ok(seed)) = (arguments.next().unwrap_or(Ok(COUNT)), arguments.next().unwrap_or(Ok(SEED)))
    else {
        eprintln!("mutations [COUNT [SEED]]");
        return ExitCode::FAILURE;
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    println!("{count} mutations, seed {seed}, {threads} threads");
    let vectors = vectors();
    for parser in PARSERS {
        let inputs = inputs(&parser, &vectors);
        let count = count * parser.share / 10;
        let run = |part| {
            let more = u64::from(part < count % PARTS);
            mutate(&parser, &inputs, Numbers::new(seed, part), count / PARTS + more)
        };
        let decoded: u64 = thread::scope(|scope| {
            let work = |first| (first..PARTS).step_by(threads as usize).map(run).sum::<u64>();
            let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || work(first))).collect();
            workers.into_iter().map(|worker| worker.join().expect("a property doesn't hold")).sum()
        });
        println!(
            "{}: {count} mutations of {} inputs: {decoded} decoded, {} refused",
            parser.name,
            inputs.len(),
            count - decoded
        );
        assert!(decoded > count / 20 && decoded < count, "{}: the mutations say little", parser.name);
    }
    ExitCode::SUCCESS
}

/// The inputs to start from, the short ones first.
fn inputs(parser: &Parser, vectors: &[(String, Vec<u8>)]) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(parser.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry of the corpus").path());
    let mut inputs: Vec<Vec<u8>> = paths.map(|path| fs::read(path).expect("an input")).collect();
    // What stands before the bytes that are read: limits and cuts, or the kinds of four fields.
    let (direction, head): (&str, &[u8]) = match parser.name {
        "request" => ("client->broadcaster", &[]),
        "response" => ("broadcaster->client", &[]),
        "frames" => ("peer->peer", &[0xff, 3, 0, 0, 9]),
        NATIVE => (NATIVE, &[]),
        _ => ("peer->peer", &[3, 2, 4, 2, 4]),
    };
    let chosen = vectors.iter().filter(|(way, _)| way == direction);
    inputs.extend(chosen.map(|(_, bytes)| [head, bytes].concat()));
    inputs.retain(|input| input.len() <= LONGEST / 2);
    // Folders are read in any order.
    inputs.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    inputs.dedup();
    inputs
}

/// Where each shared vector goes, and its bytes.
fn vectors() -> Vec<(String, Vec<u8>)> {
    let classic = listed(include_str!("../../tests/data/vectors.json"), "vectors");
    let way = |vector: &Value| text(vector, "direction");
    let classic = classic.iter().map(|vector| (way(vector), unhex(&text(vector, "hex"))));
    let native = listed(include_str!("../../proto/vectors.json"), "datagrams");
    let native = native.iter().map(|vector| (NATIVE.to_owned(), unhex(&text(vector, "hex"))));
    classic.chain(native).collect()
}

fn listed(file: &str, list: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).expect("a file of vectors");
    file.get(list).and_then(Value::as_array).expect("vectors").clone()
}

fn text(vector: &Value, field: &str) -> String {
    vector.get(field).and_then(Value::as_str).expect("a text").to_owned()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16).expect("a digit") as u8;
    text.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, next| byte << 4 | digit(next))).collect()
}

/// Mutates `count` times, and says how often something could be read.
fn mutate(parser: &Parser, inputs: &[Vec<u8>], mut numbers: Numbers, count: u64) -> u64 {
    let short = inputs.iter().take_while(|input| input.len() <= SHORT).count();
    let mut bytes = Vec::with_capacity(2 * LONGEST);
    let mut decoded = 0;
    for _ in 0..count {
        let choose = |numbers: &mut Numbers| {
            let among = if numbers.below(16) == 0 { inputs.len() } else { short };
            inputs.get(numbers.below(among)).expect("an input")
        };
        bytes.clear();
        bytes.extend_from_slice(choose(&mut numbers));
        for _ in 0..=numbers.below(3) {
            let other = choose(&mut numbers);
            change(&mut bytes, other, parser.length_at, &mut numbers);
        }
        decoded += u64::from((parser.decodes)(&bytes));
    }
    decoded
}

/// Changes a little: a bit, a byte, a length, the end, or parts of two inputs.
fn change(bytes: &mut Vec<u8>, other: &[u8], length_at: usize, numbers: &mut Numbers) {
    let place = numbers.below(bytes.len() + 1);
    match numbers.below(8) {
        0 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << numbers.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = numbers.among(&[0, 1, 4, 5, 0x20, 0x7f, 0x80, 0xff]);
            }
        }
        // The length that belongs there, or nearly.
        2 | 3 => {
            let rest = bytes.len().saturating_sub(length_at + 4) as u32;
            let off = numbers.among(&[0, 0, 0, 0, 1, u32::MAX]);
            set_length(bytes, length_at, rest.wrapping_add(off));
        }
        // Any length anywhere.
        4 => {
            let len = numbers.among(&[0, 1, 36, 0xffff, 0x8000_0000, u32::MAX]);
            set_length(bytes, place, len);
        }
        5 => bytes.truncate(place),
        6 => {
            let len = numbers.below(4).min(LONGEST - place);
            let inserted = [numbers.below(256) as u8; 4];
            bytes.splice(place..place, inserted.into_iter().take(len));
        }
        _ => {
            bytes.truncate(place);
            let from = numbers.below(other.len() + 1);
            bytes.extend_from_slice(other.get(from..).unwrap_or_default());
            bytes.truncate(LONGEST);
        }
    }
}

fn set_length(bytes: &mut [u8], at: usize, len: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64, part: u64) -> Self {
        let mut seeds = Self(seed);
        let first = seeds.next();
        Self(first ^ Self(part).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below `end`, which is not 0 and small.
    fn below(&mut self, end: usize) -> usize {
        (((self.next() >> 32) * end as u64) >> 32) as usize
    }

    fn among<T: Copy>(&mut self, all: &[T]) -> T {
        let place = self.below(all.len());
        all.get(place).copied().expect("a place among them")
    }
}
