use larder::memoize;

#[memoize(record_stats = true)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
