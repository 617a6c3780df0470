use larder::memoize;

#[memoize]
const fn f(n: u64) -> u64 {
    n
}

fn main() {}
