//! larder over a PostgreSQL server that the tests start. Where there is none to
//! be started, they say so and pass.

use larder::store::{StoreCache, WriteBack, WriteError, WritePolicy};
use larder::{Aside, Cache};
use larder_postgres::{People, Person, Server};
use std::time::Duration;

fn person(visits: i64) -> Person {
    Person { name: "Ann".to_owned(), visits }
}

async fn visits(people: &People, id: i64) -> Option<i64> {
    let select = "SELECT visits FROM people WHERE id = $1";
    people.client().query_opt(select, &[&id]).await.unwrap().map(|row| row.get(0))
}

/// A server, or the test is over.
macro_rules! server {
    ($name:literal) => {
        match Server::start($name).await.unwrap() {
            Some(server) => server,
            None => return,
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_and_database_agree_under_every_policy() {
    let server = server!("policies");
    let back = WriteBack::new().delay(Duration::from_millis(5));
    for policy in [WritePolicy::Through, WritePolicy::Around, WritePolicy::Back(back)] {
        let people = People::create(server.connect().await.unwrap()).await.unwrap();
        people.client().batch_execute("TRUNCATE people").await.unwrap();
        let cache = StoreCache::builder(Cache::new(10), people).policy(policy.clone());
        let cache = cache.build_async().unwrap();
        let flusher = tokio::spawn(cache.flusher());
        let tasks: Vec<_> = (0..4_i64)
            .map(|task| {
                let cache = cache.clone();
                tokio::spawn(async move {
                    for round in 1..=50 {
                        for id in (task * 10)..(task * 10 + 10) {
                            cache.put_async(id, person(round)).await.unwrap();
                            let seen = cache.get_async(&id).await.unwrap();
                            assert_eq!(seen, Some(person(round)));
                        }
                    }
                    cache.delete_async(task * 10).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(cache.close_async(Duration::from_secs(60)).await.is_clean());
        if matches!(policy, WritePolicy::Back(_)) {
            flusher.await.unwrap();
        }
        let ids: Vec<i64> = (0..40).collect();
        let cached = cache.get_many_async(&ids).await.unwrap();
        for (id, cached) in ids.iter().zip(cached) {
            let expected = if id % 10 == 0 { None } else { Some(50) };
            assert_eq!(cached.map(|person| person.visits), expected, "{id}");
            assert_eq!(visits(cache.store(), *id).await, expected, "{id} in the database");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_ambiguous_and_the_key_is_forgotten() {
    let server = server!("broken");
    let people = People::create(server.connect().await.unwrap()).await.unwrap();
    let cache = StoreCache::new(Cache::new(10), people);
    cache.put_async(7, person(1)).await.unwrap();
    let other = server.connect().await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
    other.execute(end, &[]).await.unwrap();
    let error = loop {
        // Until the client has noticed, the server may still say why.
        match cache.put_async(7, person(2)).await {
            Err(WriteError::Ambiguous(error)) => break error,
            Err(WriteError::Store(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(error.is_closed());
    assert_eq!(cache.cache().peek(&7), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_aside_runs_transactions_and_reads_what_they_wrote() {
    let server = server!("aside");
    let people = People::create(server.connect().await.unwrap()).await.unwrap();
    people.client().batch_execute("INSERT INTO people VALUES (7, 'Ann', 1)").await.unwrap();
    let aside: Aside<i64, i64, People> = Aside::new(Cache::new(10), people);
    let select = async |people: &People| Ok::<_, tokio_postgres::Error>(visits(people, 7).await);
    assert_eq!(aside.read_async(&7, select).await.unwrap(), Some(1));
    let update = "BEGIN; UPDATE people SET visits = 2 WHERE id = 7; COMMIT";
    aside
        .write_async(&7, async |people| people.client().batch_execute(update).await)
        .await
        .unwrap();
    assert_eq!(aside.read_async(&7, select).await.unwrap(), Some(2));
    let failing = "BEGIN; UPDATE people SET visits = 3 WHERE id = 7; SELECT nonsense; COMMIT";
    let failed = aside.write_async(&7, async |people| people.client().batch_execute(failing).await);
    assert!(failed.await.is_err());
    aside.db().client().batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(aside.cache().peek(&7), None);
    assert_eq!(aside.read_async(&7, select).await.unwrap(), Some(2));
}
