//! A bounded cache whose entries live for a minute.
fn main() {
    let minute = std::time::Duration::from_secs(60);
    let cache = larder::Cache::builder().capacity(1000).time_to_live(minute).build().unwrap();
    cache.insert("pear", 3);
    println!("{:?}, for {:?}", cache.get("pear"), cache.expires_in("pear")); // Some(3), for Some(60s)
}
