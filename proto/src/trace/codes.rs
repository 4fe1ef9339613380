//! The numbers that stand for faults, reasons, machines and dialects. A number is never given to another thing.

use bytes::BytesMut;
use nom::Parser;
use nom::combinator::map;

use super::Polled;
use super::fields::{Parsed, fitting, number, put_number, put_size, unknown};
use crate::wire::Dialect;
use crate::{CloseReason, Fault};

pub(super) fn put_fault(fault: Fault, out: &mut BytesMut) {
    let number = match fault {
        Fault::Refused => 0,
        Fault::Reset => 1,
        Fault::TimedOut => 2,
        Fault::Unreachable => 3,
        Fault::AddressInUse => 4,
        Fault::NoResources => 5,
        Fault::NotPermitted => 6,
        Fault::HandlerPanicked => 7,
        Fault::Other => 8,
    };
    put_number(number, out);
}

pub(super) fn fault(input: &[u8]) -> Parsed<'_, Fault> {
    let (rest, number) = number(input)?;
    let fault = match number {
        0 => Fault::Refused,
        1 => Fault::Reset,
        2 => Fault::TimedOut,
        3 => Fault::Unreachable,
        4 => Fault::AddressInUse,
        5 => Fault::NoResources,
        6 => Fault::NotPermitted,
        7 => Fault::HandlerPanicked,
        8 => Fault::Other,
        number => return unknown(input, "fault", number),
    };
    Ok((rest, fault))
}

pub(super) fn put_reason(reason: CloseReason, out: &mut BytesMut) {
    match reason {
        CloseReason::Local => put_number(0, out),
        CloseReason::Unwritten { bytes } => {
            put_number(1, out);
            put_size(bytes, out);
        }
        CloseReason::Remote => put_number(2, out),
        CloseReason::CutShort => put_number(3, out),
        CloseReason::FrameTooLong { len } => {
            put_number(4, out);
            put_number(len.into(), out);
        }
        CloseReason::Idle => put_number(5, out),
        CloseReason::Failed(fault) => {
            put_number(6, out);
            put_fault(fault, out);
        }
        CloseReason::FrameTooSlow { bytes } => {
            put_number(7, out);
            put_size(bytes, out);
        }
    }
}

pub(super) fn reason(input: &[u8]) -> Parsed<'_, CloseReason> {
    let (rest, number) = number(input)?;
    let reason = match number {
        0 => CloseReason::Local,
        1 => return map(fitting, |bytes| CloseReason::Unwritten { bytes }).parse(rest),
        2 => CloseReason::Remote,
        3 => CloseReason::CutShort,
        4 => return map(fitting, |len| CloseReason::FrameTooLong { len }).parse(rest),
        5 => CloseReason::Idle,
        6 => return map(fault, CloseReason::Failed).parse(rest),
        7 => return map(fitting, |bytes| CloseReason::FrameTooSlow { bytes }).parse(rest),
        number => return unknown(input, "reason of an end", number),
    };
    Ok((rest, reason))
}

pub(super) fn put_machine(machine: Polled, out: &mut BytesMut) {
    let number = match machine {
        Polled::Broadcaster => 0,
        Polled::Client => 1,
        Polled::Mesh => 2,
        Polled::Links => 3,
    };
    put_number(number, out);
}

pub(super) fn machine(input: &[u8]) -> Parsed<'_, Polled> {
    let (rest, number) = number(input)?;
    let machine = match number {
        0 => Polled::Broadcaster,
        1 => Polled::Client,
        2 => Polled::Mesh,
        3 => Polled::Links,
        number => return unknown(input, "machine", number),
    };
    Ok((rest, machine))
}

pub(super) fn dialect_number(dialect: Dialect) -> u64 {
    match dialect {
        Dialect::Classic => 0,
        Dialect::Native => 1,
    }
}

pub(super) fn dialect(number: u64) -> Option<Dialect> {
    match number {
        0 => Some(Dialect::Classic),
        1 => Some(Dialect::Native),
        _ => None,
    }
}
