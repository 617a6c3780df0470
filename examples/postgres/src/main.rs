//! Counts visits in PostgreSQL, written back in batches.

use larder::Cache;
use larder::store::{StoreCache, WriteBack, WritePolicy};
use larder_postgres::{People, Person, Server};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(server) = Server::start("example").await? else { return Ok(()) };
    let people = People::create(server.connect().await?).await?;
    let cache = StoreCache::builder(Cache::new(1000), people)
        .policy(WritePolicy::Back(WriteBack::new().delay(Duration::from_millis(20))))
        .build_async()?;
    let flusher = tokio::spawn(cache.flusher());
    for visit in 0..10_000 {
        let id = visit % 100;
        let before = cache.get_async(&id).await?;
        let visits = before.map_or(0, |person| person.visits) + 1;
        cache.put_async(id, Person { name: format!("person {id}"), visits }).await?;
    }
    let report = cache.close_async(Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    flusher.await?;
    let row =
        cache.store().client().query_one("SELECT SUM(visits)::BIGINT FROM people", &[]).await?;
    let stats = cache.stats();
    println!(
        "{} visits in the database, by {} writes in {} calls of it",
        row.get::<_, i64>(0),
        stats.stored,
        stats.write_calls,
    );
    Ok(())
}
