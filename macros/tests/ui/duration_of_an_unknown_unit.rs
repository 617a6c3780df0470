use larder::memoize;

#[memoize(tti = "5min")]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
