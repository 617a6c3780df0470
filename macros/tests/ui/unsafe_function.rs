use larder::memoize;

#[memoize]
unsafe fn f(n: u64) -> u64 {
    n
}

fn main() {}
