//! Network address translation, in the terms of RFC 4787.

use std::time::Duration;

use super::address::{self, Addr};

/// How a NAT chooses the outer address of a datagram that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// One inner address has one outer address, whomever it talks to.
    EndpointIndependent,
    /// It has another for each address and port it talks to: a "symmetric" NAT.
    AddressAndPortDependent,
}

/// From whom a NAT lets datagrams in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtering {
    /// From everyone.
    EndpointIndependent,
    /// From hosts that were sent to.
    AddressDependent,
    /// From the very addresses and ports that were sent to.
    AddressAndPortDependent,
}

/// How a NAT behaves. It translates datagrams. Streams get out, none gets in: nobody behind it can be dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// How outer addresses are chosen.
    pub mapping: Mapping,
    /// Who is let in.
    pub filtering: Filtering,
    /// After this time without a datagram from inside a mapping is forgotten.
    pub lifetime: Duration,
    /// Whether nodes behind it reach each other by their outer addresses.
    pub hairpin: bool,
}

impl Default for NatConfig {
    /// What most homes have: one outer address each, filtered by address and port, two minutes, no hairpin.
    fn default() -> Self {
        Self {
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::AddressAndPortDependent,
            lifetime: Duration::from_secs(120),
            hairpin: false,
        }
    }
}

#[derive(Debug)]
struct Entry {
    inside: Addr,
    /// Whom it is for, where that matters.
    remote: Option<Addr>,
    port: u16,
    /// When something last went out.
    used: u64,
    /// To whom something went out.
    contacted: Vec<Addr>,
}

#[derive(Debug)]
pub(super) struct Nat {
    pub(super) config: NatConfig,
    /// The nodes behind it, by the number in their addresses.
    pub(super) members: Vec<usize>,
    ip: u32,
    next_port: u16,
    entries: Vec<Entry>,
}

impl Nat {
    pub(super) const fn new(number: usize, config: NatConfig) -> Self {
        let ip = address::of_nat(number);
        Self { config, members: Vec::new(), ip, next_port: 20_000, entries: Vec::new() }
    }

    pub(super) const fn ip(&self) -> u32 {
        self.ip
    }

    /// Forgets every mapping, as a restart does.
    pub(super) fn flush(&mut self) {
        self.entries.clear();
    }

    /// Something leaves: its outer address.
    pub(super) fn outbound(&mut self, now: u64, inside: Addr, to: Addr) -> Addr {
        self.expire(now);
        let remote = match self.config.mapping {
            Mapping::EndpointIndependent => None,
            Mapping::AddressAndPortDependent => Some(to),
        };
        let known = self.entries.iter_mut().find(|entry| entry.inside == inside && entry.remote == remote);
        let port = if let Some(entry) = known {
            entry.used = now;
            if !entry.contacted.contains(&to) {
                entry.contacted.push(to);
            }
            entry.port
        } else {
            self.next_port = self.next_port.checked_add(1).unwrap_or(20_000);
            let port = self.next_port;
            self.entries.push(Entry { inside, remote, port, used: now, contacted: vec![to] });
            port
        };
        Addr::new(self.ip, port)
    }

    /// Something arrives at an outer port: for whom, if it gets in.
    pub(super) fn inbound(&mut self, now: u64, port: u16, from: Addr) -> Option<Addr> {
        self.expire(now);
        let entry = self.entries.iter().find(|entry| entry.port == port)?;
        let welcome = match self.config.filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => entry.contacted.iter().any(|known| known.ip == from.ip),
            Filtering::AddressAndPortDependent => entry.contacted.contains(&from),
        };
        welcome.then_some(entry.inside)
    }

    fn expire(&mut self, now: u64) {
        let lifetime = u64::try_from(self.config.lifetime.as_micros()).unwrap_or(u64::MAX);
        self.entries.retain(|entry| now.saturating_sub(entry.used) < lifetime);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: Addr = Addr::new(10, 1);
    const ANN: Addr = Addr::new(1, 1);
    const ANNS_OTHER: Addr = Addr::new(1, 2);
    const BOB: Addr = Addr::new(2, 1);

    fn nat(mapping: Mapping, filtering: Filtering) -> Nat {
        Nat::new(0, NatConfig { mapping, filtering, ..NatConfig::default() })
    }

    #[test]
    fn mappings_depend_on_what_they_say() {
        let mut nat = nat(Mapping::EndpointIndependent, Filtering::EndpointIndependent);
        assert_eq!(nat.outbound(0, INSIDE, ANN), nat.outbound(0, INSIDE, BOB));
        let mut nat = self::nat(Mapping::AddressAndPortDependent, Filtering::EndpointIndependent);
        assert_ne!(nat.outbound(0, INSIDE, ANN), nat.outbound(0, INSIDE, BOB));
        assert_eq!(nat.outbound(0, INSIDE, ANN), nat.outbound(1, INSIDE, ANN));
    }

    #[test]
    fn filters_let_in_whom_they_say() {
        let lets_in = |filtering, from| {
            let mut nat = nat(Mapping::EndpointIndependent, filtering);
            let port = nat.outbound(0, INSIDE, ANN).port;
            nat.inbound(0, port, from).is_some()
        };
        assert!(lets_in(Filtering::EndpointIndependent, BOB));
        assert!(!lets_in(Filtering::AddressDependent, BOB));
        assert!(lets_in(Filtering::AddressDependent, ANNS_OTHER));
        assert!(!lets_in(Filtering::AddressAndPortDependent, ANNS_OTHER));
        assert!(lets_in(Filtering::AddressAndPortDependent, ANN));
    }

    #[test]
    fn a_mapping_lives_as_long_as_it_is_used_from_inside() {
        let mut nat = nat(Mapping::EndpointIndependent, Filtering::EndpointIndependent);
        let port = nat.outbound(0, INSIDE, ANN).port;
        assert!(nat.inbound(119_999_999, port, ANN).is_some());
        assert!(nat.inbound(120_000_000, port, ANN).is_none(), "what comes in keeps nothing alive");
        assert_ne!(nat.outbound(120_000_000, INSIDE, ANN).port, port);
    }
}
