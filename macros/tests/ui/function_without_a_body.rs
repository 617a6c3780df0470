use larder::memoize;

trait Area {
    #[memoize(skip(self))]
    fn area(&self) -> u32;
}

fn main() {}
