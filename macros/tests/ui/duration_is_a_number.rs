use larder::memoize;

#[memoize(ttl = 60)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
