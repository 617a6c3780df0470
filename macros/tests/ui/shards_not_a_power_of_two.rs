use larder::memoize;

#[memoize(shards = 12)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
