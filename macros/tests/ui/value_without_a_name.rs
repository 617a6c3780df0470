use larder::memoize;

#[memoize(100)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
