//! Loads what is missing, and hears of an error.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = larder::Cache::<String, u64>::new(1000);
    let pages = cache.try_get_with("42", || "42".parse::<u64>())?;
    println!("{pages} pages"); // 42 pages
    Ok(())
}
