use larder::memoize;

#[memoize(capacity = "10")]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
