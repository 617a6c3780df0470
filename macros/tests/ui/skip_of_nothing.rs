use larder::memoize;

#[memoize(skip(m))]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
