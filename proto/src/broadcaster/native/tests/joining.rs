//! Cookies, offers and admission.

use super::lobby::*;

#[test]
fn a_pool_is_made_and_joined_and_all_have_its_roster() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(4, &spec(8));
    assert_eq!(agreed(&all), [1, 2, 3, 4]);
    assert_eq!((lobby.machine.pool_count(), lobby.machine.member_count()), (1, 4));
    let state = all[3].state.unwrap();
    assert_eq!((state.epoch.number(), state.host.get(), state.term.get(), state.next.get()), (4, 1, 1, 5));
    for client in &mut all {
        assert_eq!(lobby.ping(client), [Got::Pong(client.count)]);
    }
}
