use super::Script;
use crate::slot::ghosts::Ghosts;

/// So many of the last that left are never forgotten: a bucket has room for
/// them even if they all share it.
const NEVER_FORGOTTEN: usize = 4;

/// Ghosts beside a list of all that left: those who just left are known,
/// nobody is who is asked for again at once, and nobody at all before any left.
/// (Others may be mistaken for ghosts: eleven bits are kept of a hash.)
pub fn ghosts(bytes: &[u8]) {
    let mut ghosts = Ghosts::default();
    // `None`: it came back.
    let mut left: Vec<Option<u32>> = Vec::new();
    let mut script = Script(bytes);
    while !script.is_over() {
        let (operation, hash) = (script.byte(), script.hash());
        let reach = usize::from(script.byte()) * [0, 1, 8][script.below(3)];
        if operation % 2 == 0 {
            ghosts.remember(hash, reach);
            left.push(Some(hash));
            continue;
        }
        let is_known = ghosts.take(hash, reach);
        let place = left.iter().rposition(|other| *other == Some(hash));
        let age = place.map(|place| left.len() - 1 - place);
        let must_be = age.is_some_and(|age| age < reach.min(NEVER_FORGOTTEN));
        assert!(is_known || !must_be, "{hash} is forgotten after {age:?}");
        assert!(!is_known || !left.is_empty(), "{hash} is known, and nobody has left");
        assert!(!ghosts.take(hash, reach), "{hash} has come back, and is known again");
        // Whoever is mistaken for it is forgotten with it.
        left.iter_mut().for_each(|other| *other = None);
    }
}
