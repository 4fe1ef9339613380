//! Whether what is sent from here can get anywhere else.

use std::fs;
use std::net::Ipv4Addr;

use crate::Fallible;

/// The interface that `tests/attack/run` makes: the near end of a pair, whose far end is the broadcaster's.
const INTERFACE: &str = "attack0";

/// Shows that this program runs in a network of its own, without a way out. Only who has one can send packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enclosure(());

impl Enclosure {
    /// Looks around.
    ///
    /// # Errors
    /// If there is an interface or a route that `tests/attack/run` has not made.
    pub(crate) fn check() -> Fallible<Self> {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/net/{name}"));
        // Where there is no IPv6 there is no such file.
        let routes6 = read("ipv6_route").unwrap_or_default();
        match way_out(&read("dev")?, &read("route")?, &routes6) {
            None => Ok(Self(())),
            Some(way) => Err(format!(
                "nothing is sent where there is a way out, {way}: run this by tests/attack/run, which makes a network of its own"
            )
            .into()),
        }
    }
}

/// Whether an address is of the network for measurements (RFC 2544), which is nobody's.
pub(crate) fn is_inside(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 198 && second & 0xfe == 18
}

/// What leads out, given what the system says of interfaces and of the routes of IPv4 and IPv6.
fn way_out(interfaces: &str, routes: &str, routes6: &str) -> Option<String> {
    let ours = |name: &str| name == "lo" || name == INTERFACE;
    // Two lines of headings, then `name: counters`.
    let mut names = interfaces.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim);
    if let Some(other) = names.find(|name| !ours(name)) {
        return Some(format!("interface {other}"));
    }
    // A line of headings, then `interface destination gateway flags uses count metric mask …`.
    let leads_out = |line: &&str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, destination, gateway, _, _, _, _, mask, ..] => {
            let to = u32::from_str_radix(destination, 16).map(|bytes| Ipv4Addr::from(bytes.to_le_bytes()));
            gateway != "00000000" || mask == "00000000" || !to.is_ok_and(is_inside)
        }
        _ => true,
    };
    if let Some(route) = routes.lines().skip(1).find(leads_out) {
        return Some(format!("route {route}"));
    }
    // `destination length source length next-hop metric references uses flags interface`.
    let leads_out6 = |line: &&str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        // What the system routes there it refuses, or keeps to itself.
        [.., "lo"] => false,
        [_, length, _, _, next_hop, .., interface] => {
            length == "00" || next_hop.bytes().any(|digit| digit != b'0') || !ours(interface)
        }
        _ => true,
    };
    routes6.lines().find(leads_out6).map(|route| format!("route {route}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERFACES: &str =
        "Inter-|   Receive\n face |bytes\n    lo:       0       0\nattack0:      10       1\n";
    const ROUTES: &str = "Iface\tDestination\tGateway\n\
        attack0\t000013C6\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
    const ROUTES6: &str = "\
        fe800000000000000000000000000000 40 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 00000100 00000001 00000000 00000001  attack0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";

    #[test]
    fn the_network_of_the_script_has_no_way_out() {
        assert_eq!(way_out(INTERFACES, ROUTES, ROUTES6), None);
        assert_eq!(way_out(INTERFACES, "headings", ""), None);
    }

    #[test]
    fn an_interface_of_somebody_else_is_a_way_out() {
        let more = format!("{INTERFACES}  eth0:      10       1\n");
        assert_eq!(way_out(&more, ROUTES, ROUTES6), Some("interface eth0".into()));
    }

    #[test]
    fn a_route_that_leads_further_is_a_way_out() {
        let found = |routes: &str, routes6: &str| way_out(INTERFACES, routes, routes6).is_some();
        let with = |from: &str, to: &str| ROUTES.replace(from, to);
        assert!(found(&with("\t00000000\t0001", "\t020013C6\t0003"), ""), "by a gateway");
        assert!(found(&with("0000FFFF", "00000000"), ""), "to anywhere");
        assert!(found(&with("000013C6", "0000A8C0"), ""), "to another network");
        assert!(found("headings\nnonsense", ""), "who knows");
        let first = ROUTES6.split_inclusive('\n').next().unwrap_or_default();
        assert!(!found(ROUTES, first));
        assert!(found(ROUTES, &first.replacen(" 40 ", " 00 ", 1)), "to anywhere");
        assert!(found(
            ROUTES,
            &first.replace("00000100", "00000001").replace("00 0000000000", "00 fe80000000")
        ));
        assert!(found(ROUTES, &first.replace("attack0", "eth0")));
    }

    #[test]
    fn the_network_for_measurements_has_15_bits() {
        let inside = |text: &str| is_inside(text.parse().unwrap());
        assert!(inside("198.18.0.0") && inside("198.19.255.255"));
        assert!(!inside("198.17.255.255") && !inside("198.20.0.0") && !inside("127.0.0.1"));
    }
}
