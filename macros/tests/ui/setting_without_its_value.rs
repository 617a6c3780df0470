use larder::memoize;

#[memoize(capacity)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
