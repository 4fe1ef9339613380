//! What a broadcaster tells a peer of a pool.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr, SocketAddrV6};

use super::native::{Member, PoolCode};
use super::{PoolId, PoolMember};

/// What a broadcaster tells a peer of a pool: who hosts it, who is in it, and as whom the peer itself is seen.
///
/// Addresses are [`canonical`]: they mean the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolInfo {
    id: PoolId,
    host: SocketAddr,
    you: SocketAddr,
    peers: Vec<SocketAddr>,
    /// None in the classic dialect.
    roster: Option<Box<Roster>>,
}

/// What the native dialect says besides.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Roster {
    code: PoolCode,
    me: Member,
    host: Member,
    /// Whether the member has come back, without the links it had.
    returned: bool,
    /// As many as there are peers, and in the same order: that of their numbers.
    members: Vec<PoolMember>,
}

impl PoolInfo {
    /// Describes pool `id` to the peer at `you`. Every address is made [`canonical`].
    #[must_use]
    pub fn new(
        id: PoolId,
        host: SocketAddr,
        you: SocketAddr,
        peers: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let peers = peers.into_iter().map(canonical).collect();
        Self { id, host: canonical(host), you: canonical(you), peers, roster: None }
    }

    /// Describes a pool of the native dialect to member `me` at `you`. Every address is made [`canonical`], and the members
    /// are put into the order of their numbers.
    #[must_use]
    pub fn of_members(
        id: PoolId,
        code: PoolCode,
        me: Member,
        host: Member,
        you: SocketAddr,
        members: impl IntoIterator<Item = PoolMember>,
    ) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by_key(|member| member.number);
        for member in &mut members {
            member.address = canonical(member.address);
        }
        let you = canonical(you);
        let hosting = members.iter().find(|member| member.number == host);
        Self {
            id,
            host: hosting.map_or(you, |member| member.address),
            you,
            peers: members.iter().map(|member| member.address).collect(),
            roster: Some(Box::new(Roster { code, me, host, returned: false, members })),
        }
    }

    /// The same, to a member that has come back without its links, as a program that started again.
    #[must_use]
    pub fn returned(mut self) -> Self {
        if let Some(roster) = &mut self.roster {
            roster.returned = true;
        }
        self
    }

    /// Whether it is to a member that has come back without its links.
    #[must_use]
    pub fn has_returned(&self) -> bool {
        self.roster.as_ref().is_some_and(|roster| roster.returned)
    }

    /// The pool's name.
    #[must_use]
    pub fn id(&self) -> PoolId {
        self.id
    }

    /// The UDP address of the host, as the broadcaster sees it.
    #[must_use]
    pub fn host(&self) -> SocketAddr {
        self.host
    }

    /// The UDP address of the peer that asked, as the broadcaster sees it. Other peers dial its port number on TCP.
    #[must_use]
    pub fn you(&self) -> SocketAddr {
        self.you
    }

    /// Whether the peer that asked is the host.
    #[must_use]
    pub fn is_host(&self) -> bool {
        match &self.roster {
            Some(roster) => roster.host == roster.me,
            None => self.host == self.you,
        }
    }

    /// The pool's code, which a person can read out. None in the classic dialect.
    #[must_use]
    pub fn code(&self) -> Option<PoolCode> {
        self.roster.as_ref().map(|roster| roster.code)
    }

    /// Which member the peer that asked is. None in the classic dialect.
    #[must_use]
    pub fn me(&self) -> Option<Member> {
        self.roster.as_ref().map(|roster| roster.me)
    }

    /// Which member is host. None in the classic dialect.
    #[must_use]
    pub fn host_member(&self) -> Option<Member> {
        self.roster.as_ref().map(|roster| roster.host)
    }

    /// The members in the order of their numbers, yourself and the host among them. None in the classic dialect.
    #[must_use]
    pub fn members(&self) -> &[PoolMember] {
        self.roster.as_ref().map_or(&[], |roster| &roster.members)
    }

    /// The peers as listed, yourself and the host among them. The classic dialect has no leave: some may be gone.
    #[must_use]
    pub fn peers(&self) -> &[SocketAddr] {
        &self.peers
    }

    /// The listed peers but yourself.
    pub fn others(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.peers.iter().copied().filter(|peer| *peer != self.you)
    }

    /// Whom the peer that asked is to dial, so that two peers have one link: the members that came before it, for they are
    /// told that it has come, and wait for it. One that has [come back](Self::has_returned) dials all others, for nobody is
    /// told that it has no links. In the classic dialect nobody is told anything, and it is all others.
    pub fn to_dial(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let older = self.roster.as_ref().filter(|roster| !roster.returned);
        let older = older.map_or(self.peers.len(), |roster| {
            roster.members.iter().take_while(|member| member.number < roster.me).count()
        });
        self.peers.iter().copied().take(older).filter(|peer| *peer != self.you)
    }
}

/// The form of `address` that means the same on every machine: an IPv4 address that a dual-stack socket shows as
/// IPv6 becomes IPv4 again, the flow label and the scope (an interface number of one machine) go.
#[inline]
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    let SocketAddr::V6(v6) = address else { return address };
    match v6.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, v6.port())),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, v6.port(), 0, 0)),
    }
}

/// The address to talk to of those that a name has: an IPv4 one if there is one, for broadcasters are commonly bound
/// to IPv4, and a datagram that nobody takes is not reported reliably. Port 0 is nobody's.
#[must_use]
pub fn preferred(addresses: impl IntoIterator<Item = SocketAddr>) -> Option<SocketAddr> {
    addresses.into_iter().filter(|address| address.port() != 0).min_by_key(SocketAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:7".parse().unwrap();
        assert_eq!(canonical(mapped), "192.0.2.1:7".parse().unwrap());
    }

    #[test]
    fn a_name_is_talked_to_by_ipv4_and_never_at_port_0() {
        let [six, nobody, four, other] = ["[2001:db8::1]:1", "192.0.2.1:0", "192.0.2.1:1", "192.0.2.2:1"]
            .map(|text| text.parse().unwrap());
        assert_eq!(preferred([six, nobody, four, other]), Some(four));
        assert_eq!(preferred([nobody, six]), Some(six));
        assert_eq!(preferred([nobody]), None);
    }

    #[test]
    fn others_leaves_yourself_out() {
        let [a, b] = ["192.0.2.1:1", "192.0.2.1:2"].map(|text| text.parse::<SocketAddr>().unwrap());
        let info = PoolInfo::new(PoolId::new(b"p").unwrap(), a, b, [b, a]);
        assert_eq!(info.others().collect::<Vec<_>>(), [a]);
        assert_eq!(info.to_dial().collect::<Vec<_>>(), [a]);
        assert!(!info.is_host());
        assert_eq!((info.code(), info.me(), info.host_member(), info.members()), (None, None, None, &[][..]));
    }

    #[test]
    fn the_newer_dials_the_older() {
        let number = |number| Member::new(number).unwrap();
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let member = |of| PoolMember { number: number(of), address: address(of as u16), about: Bytes::new() };
        let code = PoolCode::new(7).unwrap();
        let info = |me| {
            let members = [9, 2, 5].map(member);
            let id = PoolId::new(b"p").unwrap();
            PoolInfo::of_members(id, code, number(me), number(5), address(me as u16), members)
        };
        let dials = [2, 5, 9].map(|me| info(me).to_dial().collect::<Vec<_>>());
        assert_eq!(dials, [vec![], vec![address(2)], vec![address(2), address(5)]]);
        assert!(info(5).returned().to_dial().eq([2, 9].map(address)) && info(5).returned().has_returned());
        assert_eq!(info(2).others().collect::<Vec<_>>(), [address(5), address(9)]);
        assert_eq!((info(9).host(), info(9).is_host(), info(5).is_host()), (address(5), false, true));
        assert_eq!(
            (info(9).code(), info(9).me(), info(9).host_member()),
            (Some(code), Some(number(9)), Some(number(5)))
        );
        assert_eq!(info(2).members().iter().map(|member| member.number.get()).collect::<Vec<_>>(), [2, 5, 9]);
    }
}
