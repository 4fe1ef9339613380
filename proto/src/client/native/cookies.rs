//! The cookies that broadcasters gave.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use crate::wire::native::Cookie;

/// The latest cookie of each broadcaster. One that is too old costs a round trip, no more.
#[derive(Debug, Default)]
pub(super) struct Cookies(VecDeque<(SocketAddr, Cookie)>);

/// Of so many broadcasters. The host of a pool names some, so there is no end to them otherwise.
const MOST: usize = 32;

impl Cookies {
    pub(super) fn get(&self, broadcaster: SocketAddr) -> Option<Cookie> {
        self.0.iter().find(|(of, _)| *of == broadcaster).map(|(_, cookie)| *cookie)
    }

    /// Keeps a cookie, and forgets the one that is kept longest if there are too many.
    pub(super) fn keep(&mut self, broadcaster: SocketAddr, cookie: Cookie) {
        self.0.retain(|(of, _)| *of != broadcaster);
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back((broadcaster, cookie));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_of_each_broadcaster_and_not_of_too_many() {
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let cookie = |number| Cookie::new(number).unwrap();
        let mut cookies = Cookies::default();
        cookies.keep(at(1), cookie(7));
        cookies.keep(at(1), cookie(8));
        assert_eq!((cookies.get(at(1)), cookies.get(at(2))), (Some(cookie(8)), None));
        for port in 2..100 {
            cookies.keep(at(port), cookie(9));
        }
        assert_eq!((cookies.0.len(), cookies.get(at(1)), cookies.get(at(99))), (MOST, None, Some(cookie(9))));
    }
}
