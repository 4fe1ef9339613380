//! Every vector is read as it is meant, and written as it stands there.

use std::collections::BTreeSet;

use poolmesh_proto::wire::native::{Fault, LEAST_REQUEST};

use crate::file::{bytes, file, hex, key, list, text, there};
use crate::{meant, seen};

/// All types of sections 3 and 5.
const TYPES: [&str; 25] = [
    "List",
    "Create",
    "Join",
    "JoinByCode",
    "Resume",
    "Cookie",
    "Refused",
    "Pools",
    "Joined",
    "Ping",
    "Ask",
    "Move",
    "Leave",
    "About",
    "Change",
    "Kick",
    "Hand",
    "Close",
    "Pong",
    "Page",
    "Done",
    "Changed",
    "Ended",
    "Unknown",
    "Prove",
];

#[test]
fn every_datagram_is_read_as_it_is_meant() {
    for vector in list("datagrams") {
        let name = text(&vector["name"]);
        let datagram = bytes(&vector["hex"]);
        let read = seen::read(text(&vector["from"]), &datagram, &key(&vector["key"]));
        let (kind, meaning) = read.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(kind, text(&vector["type"]), "{name}");
        assert_eq!(meaning, vector["meaning"], "{name}");
    }
}

#[test]
fn every_meaning_is_written_as_it_stands_there() {
    let mut types = BTreeSet::new();
    let mut skipped = 0;
    for vector in list("datagrams") {
        let name = text(&vector["name"]);
        let (kind, with) = (text(&vector["type"]), key(&vector["key"]));
        let written = meant::write(kind, &vector["meaning"], &with);
        types.insert(kind.to_owned());
        if there(&vector["skipped"]).is_some() {
            skipped += 1;
            // Nobody writes what is skipped: without it, and with another tag, it is the same.
            let behind = bytes(&vector["skipped"]);
            let datagram = bytes(&vector["hex"]);
            let fields = datagram.len() - 8 - behind.len();
            assert_eq!(&datagram[fields..datagram.len() - 8], behind, "{name}");
            assert_eq!(hex(&written[..written.len() - 8]), hex(&datagram[..fields]), "{name}");
        } else {
            assert_eq!(hex(&written), text(&vector["hex"]), "{name}");
        }
    }
    assert_eq!(types, TYPES.map(str::to_owned).into());
    assert_eq!(skipped, 4);
}

#[test]
fn every_malformed_datagram_is_dropped_for_its_fault() {
    let mut faults = BTreeSet::new();
    for vector in list("malformed") {
        let name = text(&vector["name"]);
        let expected = match text(&vector["fault"]) {
            "TooLong" => Fault::TooLong,
            "OtherDialect" => Fault::OtherDialect,
            "Truncated" => Fault::Truncated,
            "UnknownType" => Fault::UnknownType,
            "WrongSide" => Fault::WrongSide,
            "WrongTag" => Fault::WrongTag,
            "BadValue" => Fault::BadValue,
            other => panic!("{name}: {other}"),
        };
        let read = seen::read(text(&vector["from"]), &bytes(&vector["hex"]), &key(&vector["key"]));
        assert_eq!(read, Err(expected), "{name}");
        faults.insert(expected);
    }
    assert_eq!(faults.len(), 7);
}

#[test]
fn nothing_in_the_file_is_left_out() {
    let file = file();
    let names: BTreeSet<&str> = file.as_object().unwrap().keys().map(String::as_str).collect();
    let read = ["datagrams", "malformed", "tag", "prf", "cookies", "pools", "sessions", "seals", "codes"];
    assert_eq!(names, read.into_iter().chain(["about"]).collect());
}

#[test]
fn no_request_is_shorter_than_the_shortest() {
    let requests = |kind| ["List", "Create", "Join", "JoinByCode", "Resume"].contains(&kind);
    let vectors = list("datagrams");
    let lens = vectors.iter().filter(|vector| requests(text(&vector["type"])));
    assert_eq!(lens.map(|vector| bytes(&vector["hex"]).len()).min(), Some(LEAST_REQUEST));
}
