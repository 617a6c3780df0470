use larder::memoize;

#[memoize(ttl = "1m", jitter = 1.5)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
