use larder::memoize;

#[memoize(key: u64 = n, skip(m))]
fn f(n: u64, m: u64) -> u64 {
    n + m
}

fn main() {}
