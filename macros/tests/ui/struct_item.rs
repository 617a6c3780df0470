use larder::memoize;

#[memoize]
struct Shape(u32);

fn main() {}
