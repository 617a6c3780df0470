use larder::memoize;

#[memoize(name = "TOTALS")]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
