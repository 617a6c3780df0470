use larder::memoize;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Shape(u32);

impl Shape {
    #[memoize(include(self), stale_if_error = "1m")]
    fn area(&self) -> u32 {
        self.0
    }
}

fn main() {}
