use larder::memoize;

#[memoize]
fn f(n: u64) {
    println!("{n}");
}

fn main() {}
