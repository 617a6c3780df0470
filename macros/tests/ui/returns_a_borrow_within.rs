use larder::memoize;

#[memoize]
fn f<'a>(name: &'a str) -> std::borrow::Cow<'a, str> {
    name.into()
}

fn main() {}
