use larder::memoize;

struct Point {
    x: u32,
}

#[memoize]
fn f(point: &Point) -> u32 {
    point.x
}

fn main() {}
