//! Loads what is missing in an async task, and hears of an error.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = larder::Cache::<String, String>::new(1000);
    let read = || async { std::fs::read_to_string("Cargo.toml") };
    let text = cache.try_get_with_async("Cargo.toml", read()).await?;
    println!("{} bytes", text.len());
    Ok(())
}
