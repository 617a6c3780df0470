use larder::memoize;

static CACHE: std::sync::LazyLock<larder::Cache<u64, u32>> =
    std::sync::LazyLock::new(|| larder::Cache::new(10));

#[memoize(cache = CACHE)]
fn f(n: u64) -> u64 {
    n
}

fn main() {}
