use larder::memoize;

#[memoize(include(n))]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
