use larder::memoize;

#[memoize]
fn f(n: u64) -> impl Future<Output = u64> {
    async move { n }
}

fn main() {}
