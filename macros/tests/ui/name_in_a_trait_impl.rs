use larder::memoize;

trait Area {
    fn area(&self) -> u32;
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Shape(u32);

impl Area for Shape {
    #[memoize(include(self), name = area_memo)]
    fn area(&self) -> u32 {
        self.0
    }
}

fn main() {}
