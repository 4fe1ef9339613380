//! Proof of address (PROTOCOL.md, section 2).

use core::num::NonZeroU64;

use super::field::{self, Field, Parsed, Put, allowed};
use super::sip::{same, tag};
use super::{Address, Key};

/// By what a client shows that it receives what is sent to its address. Not 0, which is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cookie(NonZeroU64);

impl Cookie {
    /// Takes what a broadcaster gave; none if it is 0.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The cookie of an address, with a broadcaster's key: SipHash-2-4 of the IP address in 16 bytes and the port. What
    /// would be 0 is 1.
    #[must_use]
    pub fn make(key: &Key, address: Address) -> Self {
        let mut bytes = [0; 18];
        let (ip, port) = bytes.split_at_mut(16);
        ip.copy_from_slice(&address.ip_bytes());
        port.copy_from_slice(&address.get().port().to_le_bytes());
        Self(NonZeroU64::new(u64::from_le_bytes(tag(key, &bytes))).unwrap_or(NonZeroU64::MIN))
    }

    /// Whether it is the cookie of this address with one of these keys: a broadcaster's latest two. It takes the same
    /// time whatever differs.
    #[must_use]
    pub fn holds(self, keys: &[Key], address: Address) -> bool {
        let is = |key| same(&Self::make(key, address).get().to_le_bytes(), &self.get().to_le_bytes());
        keys.iter().fold(false, |holds, key| holds | is(key))
    }

    /// `cookie or none = u64`
    pub(super) fn read_optional(input: &[u8]) -> Parsed<'_, Option<Self>> {
        field::u64(input).map(|(rest, number)| (rest, Self::new(number)))
    }

    pub(super) fn write_optional(cookie: Option<Self>, out: &mut impl Put) {
        out.put_u64(cookie.map_or(0, Self::get));
    }
}

impl<'a> Field<'a> for Cookie {
    /// `cookie = u64, not 0`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, cookie) = Self::read_optional(input)?;
        allowed(rest, cookie)
    }

    fn write(&self, out: &mut impl Put) {
        out.put_u64(self.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [Key; 2] = [Key::new([1; 16]), Key::new([2; 16])];

    fn address(text: &str) -> Address {
        Address::new(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_cookie_is_good_with_the_latest_two_keys() {
        let here = address("192.0.2.1:5000");
        let [new, old] = KEYS.each_ref().map(|key| Cookie::make(key, here));
        assert_ne!(new, old);
        assert!(new.holds(&KEYS, here) && old.holds(&KEYS, here));
        assert!(!Cookie::make(&Key::new([3; 16]), here).holds(&KEYS, here));
        assert!(!new.holds(&KEYS[1..], here) && !new.holds(&[], here));
        assert!(new.holds(&[KEYS[0]; 2], here), "once is enough, and twice is not none");
    }

    #[test]
    fn a_cookie_is_good_at_its_address_alone() {
        let cookie = Cookie::make(&KEYS[0], address("192.0.2.1:5000"));
        for other in ["192.0.2.1:5001", "192.0.2.1:5256", "192.0.2.2:5000", "[2001:db8::1]:5000"] {
            assert!(!cookie.holds(&KEYS, address(other)), "{other}");
        }
        assert!(cookie.holds(&KEYS, address("[::ffff:192.0.2.1]:5000")));
    }

    #[test]
    fn a_cookie_is_good_to_its_last_bit() {
        let here = address("192.0.2.1:5000");
        let cookie = Cookie::make(&KEYS[0], here).get();
        for bit in 0..64 {
            assert!(!Cookie::new(cookie ^ 1 << bit).is_some_and(|cookie| cookie.holds(&KEYS, here)), "{bit}");
        }
    }
}
