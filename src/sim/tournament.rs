//! A tournament of unique 128-bit keys, one seat for each slot of the queue: the whole order of an event in one integer.
//!
//! Four keys meet in a cache line and the least of them goes up (Knuth 1973, 5.4.1, there with two). A key that changes
//! meets the same rivals as its predecessor: all their addresses follow from its seat, so that they are read at once, and
//! no comparison steers a branch. A heap's way down waits in each level for what the level above chose.

/// What an empty seat holds: behind all keys.
pub(super) const NOBODY: u128 = u128::MAX;

const ARITY: usize = 4;

/// Four that meet: the children of one node.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Group([u128; ARITY]);

impl Group {
    const EMPTY: Self = Self([NOBODY; ARITY]);

    fn least(&self) -> u128 {
        let [a, b, c, d] = self.0;
        least(least(a, b), least(c, d))
    }
}

/// Which of two comes first nobody can foretell: no branch on it.
#[inline(always)]
fn least(a: u128, b: u128) -> u128 {
    std::hint::select_unpredictable(a < b, a, b)
}

/// On the way from a seat to the final.
struct Climb {
    place: usize,
    winner: u128,
}

impl Climb {
    /// One match; true if another follows.
    #[inline(always)]
    fn wins(&mut self, groups: &mut [Group]) -> bool {
        let (group, at) = (self.place / ARITY, self.place % ARITY);
        let places = &mut groups[group].0;
        let rivals = least(places[at ^ 1], least(places[at ^ 2], places[at ^ 3]));
        places[at] = self.winner;
        self.winner = least(self.winner, rivals);
        self.place = group.wrapping_sub(1);
        group > 0
    }

    /// The matches after the first: with it up to twelve, of 4^12 seats. Written out: in a loop, compilers make branches of
    /// the choices again, and half of them would be foretold wrongly.
    #[inline(never)]
    fn on(mut self, groups: &mut [Group]) -> u128 {
        let _ = self.wins(groups)
            && self.wins(groups)
            && self.wins(groups)
            && self.wins(groups)
            && self.wins(groups)
            && self.wins(groups)
            && self.wins(groups)
            && self.wins(groups)
            && self.wins(groups)
            && self.wins(groups)
            && self.wins(groups);
        self.winner
    }
}

#[derive(Clone, Debug)]
pub(super) struct Tournament {
    /// Level by level from the final; `groups[g]` sends its least to place `g - 1`, counted over all places of all groups.
    groups: Vec<Group>,
    /// Place of the first seat. The seats' groups, last in the list, are there as far as they were taken.
    first_seat: usize,
    least: u128,
}

impl Default for Tournament {
    fn default() -> Self {
        Self { groups: vec![Group::EMPTY], first_seat: 0, least: NOBODY }
    }
}

impl Tournament {
    /// The least of all keys, [`NOBODY`] if every seat is empty.
    #[inline]
    pub fn least(&self) -> u128 {
        self.least
    }

    /// Puts `key` on a seat that [`Self::make_room`] has made, over what is there.
    #[inline]
    pub fn seat(&mut self, seat: usize, key: u128) {
        let groups = self.groups.as_mut_slice();
        let mut climb = Climb { place: self.first_seat + seat, winner: key };
        self.least = if climb.wins(groups) { climb.on(groups) } else { climb.winner };
    }

    /// Makes seats up to `seat`; those that are new are empty.
    #[cold]
    pub fn make_room(&mut self, seat: usize) {
        // The levels above the seats are full: n groups there feed on 3n + 1 groups of seats.
        while seat >= 3 * self.first_seat + ARITY {
            let inner = self.first_seat + 1;
            let mut groups = vec![Group::EMPTY; inner];
            groups.extend_from_slice(&self.groups[self.first_seat / ARITY..]);
            (self.groups, self.first_seat) = (groups, ARITY * inner);
            self.play();
        }
        let group = (self.first_seat + seat) / ARITY;
        if group >= self.groups.len() {
            self.groups.resize(group + 1, Group::EMPTY);
        }
    }

    /// Replaces the keys by what `change` makes of them; it sees those of taken seats, in ascending order.
    pub fn change_in_order(&mut self, mut change: impl FnMut(u128) -> u128) {
        let seats = &mut self.groups[self.first_seat / ARITY..];
        let mut keys: Vec<&mut u128> =
            seats.iter_mut().flat_map(|group| &mut group.0).filter(|key| **key != NOBODY).collect();
        keys.sort_unstable();
        keys.into_iter().for_each(|key| *key = change(*key));
        self.play();
    }

    /// All matches anew.
    fn play(&mut self) {
        for group in (1..self.groups.len()).rev() {
            let place = group - 1;
            self.groups[place / ARITY].0[place % ARITY] = self.groups[group].least();
        }
        self.least = self.groups[0].least();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    #[test]
    fn the_least_of_all_seats_wins_whatever_changes() {
        let random = CounterStream::new(3, 5);
        let mut tournament = Tournament::default();
        let mut oracle: Vec<u128> = Vec::new();
        for n in 0..20_000u64 {
            let draw = random.bits(n);
            // Up to 1,200 seats: from one level of groups to six.
            if draw.is_multiple_of(16) && oracle.len() < 1_200 {
                tournament.make_room(oracle.len());
                oracle.push(NOBODY);
            }
            if !oracle.is_empty() {
                let seat = (draw >> 8) as usize % oracle.len();
                let key = u128::from(random.bits(n ^ u64::MAX)) << 64 | u128::from(n);
                oracle[seat] = if draw >> 62 == 0 { NOBODY } else { key };
                tournament.seat(seat, oracle[seat]);
            }
            if n % 1_000 == 999 {
                let mut rank = 0;
                tournament.change_in_order(|key| {
                    rank += 1;
                    key - (key & 0xFFFF_FFFF) + rank
                });
                let mut taken: Vec<&mut u128> = oracle.iter_mut().filter(|key| **key != NOBODY).collect();
                taken.sort_unstable();
                (1..).zip(taken).for_each(|(rank, key)| *key = *key - (*key & 0xFFFF_FFFF) + rank);
            }
            assert_eq!(tournament.least(), oracle.iter().copied().min().unwrap_or(NOBODY));
        }
    }
}
