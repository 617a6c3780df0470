use larder::memoize;

#[memoize]
fn f(path: impl AsRef<str>) -> usize {
    path.as_ref().len()
}

fn main() {}
