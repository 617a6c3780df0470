use larder::memoize;

#[memoize]
fn f(n: &mut u64) -> u64 {
    *n
}

fn main() {}
