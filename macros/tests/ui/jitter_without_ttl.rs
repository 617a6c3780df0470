use larder::memoize;

#[memoize(jitter = 0.1)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
