//! The file of vectors.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// One captured datagram, stream or field.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) direction: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) len: usize,
    pub(crate) sha256: Option<String>,
    /// Where the capture had it cut into segments.
    pub(crate) segments: Vec<usize>,
    pub(crate) meaning: Value,
}

impl Vector {
    /// A field of the meaning that is text.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.meaning[field].as_str()
    }

    /// A field of the meaning that is a number.
    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        self.meaning[field].as_u64()
    }

    /// A field of the meaning that is a list of texts.
    pub(crate) fn texts(&self, field: &str) -> Vec<&str> {
        let items = self.meaning[field].as_array();
        items
            .unwrap_or_else(|| panic!("{}: no {field}", self.name))
            .iter()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The id of the pool that is meant. The file writes bytes that are no text as characters of that number.
    pub(crate) fn pool_id(&self) -> Option<Vec<u8>> {
        let id = self.text("pool_id")?;
        Some(id.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect())
    }

    pub(crate) fn is_for_broadcaster(&self) -> bool {
        self.direction == "client->broadcaster"
    }

    pub(crate) fn is_from_broadcaster(&self) -> bool {
        self.direction == "broadcaster->client"
    }
}

/// All vectors, in the order of the capture.
pub(crate) fn vectors() -> Vec<Vector> {
    let file: Value = serde_json::from_str(include_str!("../../data/vectors.json")).unwrap();
    file["vectors"].as_array().unwrap().iter().map(vector).collect()
}

fn vector(value: &Value) -> Vector {
    let name = value["name"].as_str().unwrap().to_owned();
    let prefix = unhex(value["hex"].as_str().unwrap());
    let bytes = if value["hex_is_prefix_only"] == true {
        let whole = match name.as_str() {
            "event_200KiB" => event_200_kib(),
            other => panic!("no way to make the rest of {other}"),
        };
        assert!(whole.starts_with(&prefix), "{name}");
        whole
    } else {
        prefix
    };
    let segments = value["segment_lens"].as_array().map_or(&[][..], |lens| lens);
    Vector {
        direction: value["direction"].as_str().unwrap().to_owned(),
        bytes,
        len: usize::try_from(value["len"].as_u64().unwrap()).unwrap(),
        sha256: value["sha256"].as_str().map(str::to_owned),
        segments: segments.iter().map(|len| usize::try_from(len.as_u64().unwrap()).unwrap()).collect(),
        meaning: value["meaning"].clone(),
        name,
    }
}

/// The content of the one event that the file holds only the start of.
pub(crate) fn alphabet(len: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(len).collect()
}

fn event_200_kib() -> Vec<u8> {
    let content = alphabet(204_800);
    let mut frame = Vec::new();
    frame.extend_from_slice(&(4 + 3 + 4 + 204_800u32).to_le_bytes());
    frame.extend_from_slice(b"\x03\0\0\0big");
    frame.extend_from_slice(&204_800u32.to_le_bytes());
    frame.extend_from_slice(&content);
    frame
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len() % 2 == 0 && text.is_ascii(), "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as the file writes them in a text: as they are, or escaped where they are no UTF-8.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let escaped = || {
        bytes.iter().map(|byte| match byte {
            0x20..0x7f => char::from(*byte).to_string(),
            other => format!("\\x{other:02x}"),
        })
    };
    core::str::from_utf8(bytes).map_or_else(|_| escaped().collect(), str::to_owned)
}
