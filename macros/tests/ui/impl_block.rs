use larder::memoize;

struct Shape(u32);

#[memoize]
impl Shape {
    fn area(&self) -> u32 {
        self.0
    }
}

fn main() {}
