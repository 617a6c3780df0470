use larder::memoize;

#[memoize(result)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
