use larder::memoize;

#[memoize(key: &'static str = "all")]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
