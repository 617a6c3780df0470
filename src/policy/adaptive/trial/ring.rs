//! A queue of small numbers in one array, which it goes round in.

#[derive(Default)]
pub(super) struct Ring {
    /// A power of two of them, or none.
    cells: Vec<u16>,
    first: usize,
    len: usize,
}

impl Ring {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn front(&self) -> Option<u16> {
        (self.len > 0).then(|| self.cells[self.place(0)])
    }

    #[inline]
    pub(super) fn push(&mut self, number: u16) {
        if self.len == self.cells.len() {
            self.grow();
        }
        let end = self.place(self.len);
        self.cells[end] = number;
        self.len += 1;
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<u16> {
        let number = self.front()?;
        self.first = self.place(1);
        self.len -= 1;
        Some(number)
    }

    /// Moves the first one to the end.
    #[inline]
    pub(super) fn turn(&mut self) {
        let number = self.pop();
        self.extend(number);
    }

    #[inline]
    pub(super) fn extend(&mut self, numbers: impl IntoIterator<Item = u16>) {
        numbers.into_iter().for_each(|number| self.push(number));
    }

    /// Takes out those for which `stays` does not hold.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(u16) -> bool) {
        for _ in 0..self.len {
            let number = self.pop().filter(|number| stays(*number));
            self.extend(number);
        }
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = u16> {
        (0..self.len).map(|at| self.cells[self.place(at)])
    }

    #[inline]
    fn place(&self, at: usize) -> usize {
        self.first.wrapping_add(at) & self.cells.len().wrapping_sub(1)
    }

    #[cold]
    fn grow(&mut self) {
        self.cells.rotate_left(self.first);
        self.first = 0;
        let larger = (2 * self.cells.len()).max(4);
        self.cells.resize(larger, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn a_ring_agrees_with_a_deque(ops in prop::collection::vec((0u8..6, 0u16..9), 0..200)) {
            let (mut ring, mut model) = (Ring::default(), VecDeque::new());
            for (op, number) in ops {
                match op {
                    0..=2 => {
                        ring.push(number);
                        model.push_back(number);
                    }
                    3 => prop_assert_eq!(ring.pop(), model.pop_front()),
                    4 => {
                        ring.turn();
                        let first = model.pop_front();
                        model.extend(first);
                    }
                    _ if number == 0 => {
                        ring.retain(|number| number % 3 != 0);
                        model.retain(|number| number % 3 != 0);
                    }
                    _ => {}
                }
                prop_assert_eq!(ring.front(), model.front().copied());
                prop_assert!(ring.iter().eq(model.iter().copied()));
                prop_assert_eq!(ring.len(), model.len());
            }
        }
    }
}
