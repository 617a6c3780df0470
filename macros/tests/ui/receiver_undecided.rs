use larder::memoize;

struct Shape(u32);

impl Shape {
    #[memoize]
    fn area(&self, scale: u32) -> u32 {
        self.0 * scale
    }
}

fn main() {}
