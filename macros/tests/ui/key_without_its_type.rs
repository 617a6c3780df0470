use larder::memoize;

#[memoize(key = n / 2)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
