use larder::memoize;

#[memoize(size = 10, time = 60)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
