use larder::memoize;

#[memoize(colour = 10)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
