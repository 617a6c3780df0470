use larder::memoize;

enum Handle {}

#[memoize(name = Handle)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
