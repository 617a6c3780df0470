use larder::memoize;

#[memoize]
fn f(name: &str) -> &str {
    name.trim()
}

fn main() {}
