use larder::memoize;

#[memoize]
fn f(shown: &dyn std::fmt::Display) -> String {
    shown.to_string()
}

fn main() {}
