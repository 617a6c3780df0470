use larder::memoize;

#[memoize(refresh_after = "1m", skip(m))]
fn f(n: u64, m: u64) -> u64 {
    n + m
}

fn main() {}
