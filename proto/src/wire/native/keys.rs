//! What comes out of a broadcaster's secret (PROTOCOL.md, section 7).

use core::fmt;

use super::field::{Field as _, Put as _};
use super::sip::{Prf, prf, same};
use super::{Address, Cookie, Key, Member, PoolUuid, Seal, Session, Spec, Ticket, Tx};

/// A broadcaster's secret: 32 bytes that may outlive it or be shared with others. It shows itself to nobody who
/// formats it.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes the bytes, which are random.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[cfg(feature = "trace")]
    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `key n = PRF with the second half over (PRF with the first half over the u8 n)`
    fn key(&self, number: u8) -> Key {
        let (first, second) = self.0.split_at(16);
        let [first, second] =
            [first, second].map(|half| Key::new(half.first_chunk().copied().unwrap_or_default()));
        Key::new(prf(&second, &prf(&first, &[number])))
    }
}

/// Takes the same time whatever differs.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The keys of a broadcaster's secret, and what it makes with them. Broadcasters of one secret make the same.
#[derive(Clone, Debug)]
pub struct Keys {
    pool: Key,
    session: Key,
    seal: Key,
}

impl Keys {
    /// The keys of this secret.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        Self { pool: secret.key(1), session: secret.key(2), seal: secret.key(3) }
    }

    /// The id of the pool that a request makes. The cookie holds for two minutes, for one port, and at one broadcaster: nobody makes
    /// the same id later.
    #[must_use]
    pub fn pool(&self, tx: Tx, maker: Address, cookie: Cookie) -> PoolUuid {
        let mut prf = Prf::new(&self.pool);
        tx.write(&mut prf);
        prf.put(&maker.ip_bytes());
        cookie.write(&mut prf);
        PoolUuid::new(prf.finish())
    }

    /// The key of a session.
    #[must_use]
    pub fn session(&self, pool: PoolUuid, member: Member, session: Session) -> Key {
        let mut prf = Prf::new(&self.session);
        pool.write(&mut prf);
        member.write(&mut prf);
        session.write(&mut prf);
        Key::new(prf.finish())
    }

    /// The seal of a ticket and the spec that belongs to it, whatever seal the ticket has.
    #[must_use]
    pub fn seal(&self, ticket: &Ticket, spec: &Spec<'_>) -> Seal {
        let mut prf = Prf::new(&self.seal);
        ticket.write_unsealed(&mut prf);
        spec.write(&mut prf);
        Seal::new(prf.finish())
    }

    /// Whether the ticket's seal is that of the ticket and this spec. It takes the same time whatever differs.
    #[must_use]
    pub fn sealed(&self, ticket: &Ticket, spec: &Spec<'_>) -> bool {
        self.seal(ticket, spec) == ticket.state.seal
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Application, Epoch, PoolCode, PoolSpec, Seats, State, Term};
    use super::*;

    fn keys(seed: u8) -> Keys {
        Keys::of(&Secret::new([seed; 32]))
    }

    fn ticket() -> Ticket {
        let member = Member::new(1).unwrap();
        Ticket {
            application: Application::named("a").unwrap(),
            pool: PoolUuid::new([7; 16]),
            code: PoolCode::new(7).unwrap(),
            member,
            session: Session(7),
            state: State {
                epoch: Epoch::new(7, 7).unwrap(),
                generation: 0,
                base: None,
                came: 0,
                term: Term::new(1).unwrap(),
                host: member,
                next: Member::new(2).unwrap(),
                purged: 0,
                count: Seats::new(1).unwrap(),
                seal: Seal::new([0; 16]),
            },
        }
    }

    #[test]
    fn both_halves_of_the_secret_count() {
        let mut secret = [7; 32];
        let key = Secret::new(secret).key(1);
        assert_ne!(key, Secret::new(secret).key(2));
        assert_ne!(key, Key::ZERO, "equal halves are a secret as well");
        for half in [0, 16] {
            secret[half] ^= 1;
            assert_ne!(key, Secret::new(secret).key(1));
            secret[half] ^= 1;
        }
        assert_eq!(alloc::format!("{:?}", Secret::new(secret)), "Secret(..)");
    }

    #[test]
    fn a_request_makes_one_pool() {
        let at = |text: &str| Address::new(text.parse().unwrap()).unwrap();
        let (call, other) = (Tx::new(1).unwrap(), Tx::new(2).unwrap());
        let [cookie, later] = [3, 4].map(|number| Cookie::new(number).unwrap());
        let pool = keys(1).pool(call, at("192.0.2.1:1"), cookie);
        assert_eq!(pool, keys(1).pool(call, at("192.0.2.1:2"), cookie));
        assert_ne!(pool, keys(1).pool(call, at("192.0.2.2:1"), cookie));
        assert_ne!(pool, keys(1).pool(other, at("192.0.2.1:1"), cookie));
        assert_ne!(pool, keys(2).pool(call, at("192.0.2.1:1"), cookie));
        assert_ne!(pool, keys(1).pool(call, at("192.0.2.1:1"), later));
    }

    #[test]
    fn a_session_s_key_is_its_own() {
        let (pool, member) = (PoolUuid::new([1; 16]), Member::new(1).unwrap());
        let key = keys(1).session(pool, member, Session(1));
        assert_eq!(key, keys(1).session(pool, member, Session(1)));
        assert_ne!(key, keys(1).session(PoolUuid::NIL, member, Session(1)));
        assert_ne!(key, keys(1).session(pool, Member::new(2).unwrap(), Session(1)));
        assert_ne!(key, keys(1).session(pool, member, Session(2)));
        assert_ne!(key, keys(2).session(pool, member, Session(1)));
    }

    #[test]
    fn a_seal_holds_for_its_ticket_its_spec_and_its_secret() {
        let spec = PoolSpec::new(Seats::new(8).unwrap());
        let other = spec.clone().hidden(true);
        let mut ticket = ticket();
        ticket.state.seal = keys(1).seal(&ticket, &spec.as_spec());
        assert!(keys(1).sealed(&ticket, &spec.as_spec()));
        assert!(!keys(2).sealed(&ticket, &spec.as_spec()));
        assert!(!keys(1).sealed(&ticket, &other.as_spec()));
        ticket.state.purged += 1;
        assert!(!keys(1).sealed(&ticket, &spec.as_spec()));
    }
}
