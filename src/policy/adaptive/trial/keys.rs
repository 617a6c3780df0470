//! The keys that some miniature holds, by number and by hash.

/// Sets of miniatures are bits.
pub(super) struct Key {
    pub(super) hash: u32,
    /// As the sketch had it when the key was last asked for, and halved with
    /// it since: who contests need not look it up.
    pub(super) count: u8,
    pub(super) holders: u8,
    /// Where it was read since the hand last passed, and where more than once.
    pub(super) read: u8,
    pub(super) again: u8,
    /// Another key of the same chain, or one more vacant number.
    next: u16,
}

impl Key {
    /// The hand of the miniature whose bit this is takes the reads, up to two.
    #[inline]
    pub(super) fn take_reads(&mut self, bit: u8) -> u8 {
        if self.read & bit == 0 {
            return 0;
        }
        let reads = 1 + u8::from(self.again & bit != 0);
        self.read &= !bit;
        self.again &= !bit;
        reads
    }
}

/// No key has this number.
const NONE: u16 = u16::MAX;

/// At first, so many chains; always a power of two.
const CHAINS_MIN: usize = 32;

pub(super) struct Keys {
    keys: Vec<Key>,
    /// The first key of each chain.
    chains: Vec<u16>,
    vacant: u16,
}

impl Default for Keys {
    fn default() -> Self {
        Keys { keys: Vec::new(), chains: vec![NONE; CHAINS_MIN], vacant: NONE }
    }
}

impl Keys {
    #[inline]
    pub(super) fn at(&mut self, number: u16) -> &mut Key {
        &mut self.keys[usize::from(number)]
    }

    /// The number of the key with `hash`, which is a new one if nobody holds it.
    #[inline]
    pub(super) fn number(&mut self, hash: u32) -> u16 {
        let mut number = self.chains[self.chain(hash)];
        while number != NONE {
            let key = &self.keys[usize::from(number)];
            if key.hash == hash {
                return number;
            }
            number = key.next;
        }
        self.add(hash)
    }

    fn add(&mut self, hash: u32) -> u16 {
        if self.vacant == NONE {
            self.grow();
        }
        let number = self.vacant;
        let chain = self.chain(hash);
        let key = Key { hash, count: 0, holders: 0, read: 0, again: 0, next: self.chains[chain] };
        self.vacant = std::mem::replace(self.at(number), key).next;
        self.chains[chain] = number;
        number
    }

    /// One more number; and if there are more than chains, twice as many of those.
    #[cold]
    fn grow(&mut self) {
        self.vacant = self.keys.len() as u16;
        assert_ne!(self.vacant, NONE, "miniatures hold fewer keys than there are numbers");
        self.keys.push(Key { hash: 0, count: 0, holders: 0, read: 0, again: 0, next: NONE });
        if self.keys.len() > self.chains.len() {
            self.chains = vec![NONE; 2 * self.chains.len()];
            for number in 0..self.vacant {
                // All are in use, or there would be a vacant one.
                let chain = self.chain(self.keys[usize::from(number)].hash);
                let next = std::mem::replace(&mut self.chains[chain], number);
                self.at(number).next = next;
            }
        }
    }

    /// The miniatures in the set `arms` hold this key no more.
    #[inline]
    pub(super) fn leave(&mut self, number: u16, arms: u8) {
        let key = self.at(number);
        key.holders &= !arms;
        if key.holders == 0 {
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u16) {
        let Key { hash, next, .. } = *self.at(number);
        let chain = self.chain(hash);
        if self.chains[chain] == number {
            self.chains[chain] = next;
        } else {
            let mut before = self.chains[chain];
            while self.at(before).next != number {
                before = self.at(before).next;
            }
            self.at(before).next = next;
        }
        self.at(number).next = std::mem::replace(&mut self.vacant, number);
    }

    /// Takes out the keys for which `stays` does not hold.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        for number in 0..self.keys.len() {
            if self.keys[number].holders != 0 && !stays(self.keys[number].hash) {
                self.leave(number as u16, u8::MAX);
            }
        }
    }

    pub(super) fn halve_counts(&mut self) {
        self.keys.iter_mut().for_each(|key| key.count /= 2);
    }

    #[inline]
    fn chain(&self, hash: u32) -> usize {
        // Hashes are spread, but those of a sample are alike in what it is
        // drawn by.
        hash.wrapping_mul(0x85EB_CA6B) as usize >> 12 & (self.chains.len() - 1)
    }

    #[cfg(test)]
    pub(super) fn held_by(&self, arms: u8) -> Vec<u16> {
        let numbers = 0..self.keys.len() as u16;
        numbers.filter(|n| self.keys[usize::from(*n)].holders & arms != 0).collect()
    }

    /// Every number is either vacant or in the chain of its hash.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let follow = |first: u16| {
            let next = |n: &u16| Some(self.keys[usize::from(*n)].next).filter(|n| *n != NONE);
            std::iter::successors(Some(first).filter(|n| *n != NONE), next)
        };
        let mut numbers: Vec<u16> = follow(self.vacant).collect();
        for (chain, first) in self.chains.iter().enumerate() {
            for number in follow(*first) {
                let key = &self.keys[usize::from(number)];
                assert!(key.holders != 0 && self.chain(key.hash) == chain);
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..self.keys.len() as u16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_number_as_long_as_anybody_holds_it() {
        let mut keys = Keys::default();
        let hash = |key: u32| key.wrapping_mul(0x85EB_CA6B) ^ 0x5bd1_e995;
        let numbers: Vec<u16> = (0..1000).map(|key| keys.number(hash(key))).collect();
        numbers.iter().for_each(|number| keys.at(*number).holders = 0b11);
        keys.check();
        numbers.iter().step_by(2).for_each(|number| keys.leave(*number, 0b01));
        assert!((0..1000).map(|key| keys.number(hash(key))).eq(numbers.iter().copied()));
        numbers.iter().step_by(2).for_each(|number| keys.leave(*number, 0b10));
        keys.check();
        let again = keys.number(hash(5000));
        keys.at(again).holders = 1;
        assert!(numbers.contains(&again), "a vacant number is used first");
        keys.retain(|held| held == hash(5000));
        keys.check();
        assert_eq!(keys.held_by(ALL), [again]);
    }

    const ALL: u8 = u8::MAX;
}
