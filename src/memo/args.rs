//! Arguments as a key.
//!
//! One argument is looked up as it is. Several are looked up as [`Args`], a
//! tuple of references that finds the tuple of their owned forms: what is
//! borrowed is copied on a miss only.

use crate::{Equivalent, ToKey};
use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// An argument that can be part of a key.
#[diagnostic::on_unimplemented(
    message = "an argument of type `{Self}` cannot be part of the key",
    label = "not `Hash + Eq`, or there is no owned form that is `Send + Sync + 'static`",
    note = "leave the argument out with `skip(…)`, or say what the key is: `key: Type = expression`",
    note = "a type of your own needs `#[derive(Clone, PartialEq, Eq, Hash)]`"
)]
pub trait KeyPart:
    Hash + Eq + ToOwned<Owned: Borrow<Self> + Hash + Eq + Send + Sync + 'static>
{
}

impl<T> KeyPart for T where
    T: Hash + Eq + ToOwned<Owned: Borrow<T> + Hash + Eq + Send + Sync + 'static> + ?Sized
{
}

/// Arguments, borrowed. Not `Clone`: what is `ToOwned` is its own key.
#[derive(Debug)]
pub struct Args<T>(pub T);

macro_rules! tuples {
    ($(($($part:ident $place:tt),+))*) => {$(
        impl<$($part: Hash + ?Sized),+> Hash for Args<($(&$part,)+)> {
            #[inline]
            fn hash<H: Hasher>(&self, state: &mut H) {
                // As a tuple does it.
                $(self.0.$place.hash(state);)+
            }
        }

        // Errors shall speak of the argument, not of these.
        #[diagnostic::do_not_recommend]
        impl<$($part: Eq + ToOwned + ?Sized),+> Equivalent<($($part::Owned,)+)>
            for Args<($(&$part,)+)>
        {
            #[inline]
            fn equivalent(&self, key: &($($part::Owned,)+)) -> bool {
                $(*self.0.$place == *key.$place.borrow())&&+
            }
        }

        #[diagnostic::do_not_recommend]
        impl<$($part: Hash + Eq + ToOwned + ?Sized),+> ToKey<($($part::Owned,)+)>
            for Args<($(&$part,)+)>
        {
            fn to_key(&self) -> ($($part::Owned,)+) {
                ($(self.0.$place.to_owned(),)+)
            }
        }
    )*};
}

tuples! {
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, I 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, I 7, J 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, I 7, J 8, K 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, I 7, J 8, K 9, L 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, I 7, J 8, K 9, L 10, M 11)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    #[test]
    fn borrowed_arguments_hash_like_the_tuple_that_they_find() {
        let hasher = RandomState::new();
        let borrowed = Args(("pear", &3_u64, &[1_u8, 2][..]));
        let key = borrowed.to_key();
        assert_eq!(key, ("pear".to_owned(), 3_u64, vec![1_u8, 2]));
        assert_eq!(hasher.hash_one(&borrowed), hasher.hash_one(&key));
        assert!(borrowed.equivalent(&key));
        assert!(!Args(("plum", &3_u64, &[1_u8, 2][..])).equivalent(&key));
        assert!(!Args(("pear", &4_u64, &[1_u8, 2][..])).equivalent(&key));
        assert!(!Args(("pear", &3_u64, &[1_u8][..])).equivalent(&key));
    }
}
