//! Tags, cookies, ids, keys, seals and codes come to what the vectors say.

use poolmesh_proto::wire::native::{Cookie, Keys, PoolCode, Secret, Session, Tx, prf, tag};
use serde_json::Value;

use crate::file::{address, array, bytes, hex, key, list, long, number, text};
use crate::meant::{member, pool, pool_spec, ticket};

fn keys(vector: &Value) -> Keys {
    Keys::of(&Secret::new(array(&vector["secret"])))
}

#[test]
fn tags_and_the_prf() {
    for vector in list("tag") {
        assert_eq!(hex(&tag(&key(&vector["key"]), &bytes(&vector["bytes"]))), text(&vector["tag"]));
    }
    for vector in list("prf") {
        assert_eq!(hex(&prf(&key(&vector["key"]), &bytes(&vector["bytes"]))), text(&vector["prf"]));
    }
}

#[test]
fn cookies() {
    for vector in list("cookies") {
        let (key, address) = (key(&vector["key"]), address(&vector["address"]));
        let cookie = Cookie::make(&key, address);
        assert_eq!(cookie.get(), long(&vector["cookie"]));
        assert!(cookie.holds(&[key], address));
    }
}

#[test]
fn ids_of_pools_and_keys_of_sessions() {
    for vector in list("pools") {
        let made = keys(&vector).pool(
            Tx::new(long(&vector["tx"])).unwrap(),
            address(&vector["maker"]),
            Cookie::new(long(&vector["cookie"])).unwrap(),
        );
        assert_eq!(made, pool(&vector["pool"]));
    }
    for vector in list("sessions") {
        let session = Session(long(&vector["session"]));
        let made = keys(&vector).session(pool(&vector["pool"]), member(&vector["member"]), session);
        assert_eq!(hex(made.bytes()), text(&vector["key"]));
    }
}

#[test]
fn seals() {
    for vector in list("seals") {
        let (keys, ticket, spec) = (keys(&vector), ticket(&vector["ticket"]), pool_spec(&vector["spec"]));
        assert_eq!(
            hex(&keys.seal(&ticket, &spec.as_spec()).bytes()),
            text(&vector["ticket"]["state"]["seal"])
        );
        assert!(keys.sealed(&ticket, &spec.as_spec()));
        assert!(!keys.sealed(&ticket, &spec.hidden(true).locked(false).as_spec()));
    }
}

#[test]
fn codes() {
    for vector in list("codes") {
        let code = PoolCode::new(number(&vector["number"])).unwrap();
        assert_eq!(code.to_string(), text(&vector["text"]));
        for text in vector["also"].as_array().unwrap().iter().chain([&vector["text"]]) {
            assert_eq!(crate::file::text(text).parse(), Ok(code), "{text}");
        }
    }
}
