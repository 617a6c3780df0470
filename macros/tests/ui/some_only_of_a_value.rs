use larder::memoize;

#[memoize(some_only)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
