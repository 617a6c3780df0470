use larder::memoize;

struct Big;

#[memoize]
fn f(n: u64) -> Big {
    let _ = n;
    Big
}

fn main() {}
