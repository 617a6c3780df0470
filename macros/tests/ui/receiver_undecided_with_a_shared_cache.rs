use larder::memoize;

static CACHE: std::sync::LazyLock<larder::Cache<u32, u32>> =
    std::sync::LazyLock::new(|| larder::Cache::new(10));

struct Shape(u32);

impl Shape {
    #[memoize(cache = CACHE)]
    fn area(&self, scale: u32) -> u32 {
        self.0 * scale
    }
}

fn main() {}
