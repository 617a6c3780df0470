use larder::memoize;

#[memoize]
fn f(name: Option<&str>) -> usize {
    name.map_or(0, str::len)
}

fn main() {}
