use larder::memoize;

struct Shape(f32);

impl Shape {
    #[memoize(include(self))]
    fn area(&self, scale: u32) -> u32 {
        self.0 as u32 * scale
    }
}

fn main() {}
