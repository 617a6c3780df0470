use larder::memoize;

#[memoize(negative_ttl = "1s")]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
