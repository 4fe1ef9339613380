//! The file of vectors, and what its values are.

use core::net::SocketAddr;

use poolmesh_proto::wire::native::{Address, Key};
use serde_json::Value;

/// The whole file.
pub(crate) fn file() -> Value {
    serde_json::from_str(include_str!("../../../proto/vectors.json")).unwrap()
}

/// One of its lists, which is not empty.
pub(crate) fn list(name: &str) -> Vec<Value> {
    let list = file()[name].as_array().unwrap_or_else(|| panic!("no {name}")).clone();
    assert!(!list.is_empty(), "{name}");
    list
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Bytes are hexadecimal.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = text(value);
    assert_eq!(text.len() % 2, 0, "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn key(value: &Value) -> Key {
    Key::new(array(value))
}

/// A number of up to 32 bits, or a code.
pub(crate) fn number<N: TryFrom<u64, Error: core::fmt::Debug>>(value: &Value) -> N {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number")).try_into().unwrap()
}

/// Numbers of 64 bits are texts.
pub(crate) fn long(value: &Value) -> u64 {
    text(value).parse().unwrap()
}

pub(crate) fn address(value: &Value) -> Address {
    Address::new(text(value).parse::<SocketAddr>().unwrap()).unwrap()
}

/// What is there, if it is not null.
pub(crate) fn there(value: &Value) -> Option<&Value> {
    (!value.is_null()).then_some(value)
}
