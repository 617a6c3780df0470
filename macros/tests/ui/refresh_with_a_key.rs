use larder::memoize;

#[memoize(refresh_after = "1m", key: u64 = n + 1)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
