use larder::memoize;

#[memoize(eviction = "mru")]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
