//! Reads the hit ratio.
fn main() {
    let cache = larder::Cache::builder().capacity(1000).record_stats().build().unwrap();
    for word in "the pear and the plum and the fig".split(' ') {
        cache.entry(word).or_insert_with(|| word.len());
    }
    println!("{:?}", cache.stats().hit_ratio()); // 3 of 8 words were there: Some(0.375)
}
