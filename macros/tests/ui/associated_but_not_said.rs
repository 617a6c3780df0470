use larder::memoize;

struct Shape(u32);

impl Shape {
    #[memoize]
    fn area(scale: u32) -> u32 {
        scale
    }
}

fn main() {}
