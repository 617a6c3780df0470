use larder::memoize;

#[memoize(weigher = weigh)]
fn f(n: u64) -> u64 {
    n
}

fn weigh(_: &u64, _: &u64) -> u32 {
    1
}

fn main() {}
