use larder::memoize;

#[memoize]
fn f(x: f64, n: u32) -> f64 {
    x * f64::from(n)
}

fn main() {}
