use larder::memoize;

#[memoize(key: String = n)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
