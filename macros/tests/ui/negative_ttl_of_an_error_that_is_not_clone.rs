use larder::memoize;

#[memoize(negative_ttl = "1s")]
fn f(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

fn main() {}
