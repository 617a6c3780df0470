//! A cache beside a database: your own SQL, and no stale rows.
use larder::{Aside, Cache};
use rusqlite::{Connection, OptionalExtension};
use std::sync::Mutex;

type People = Aside<i64, String, Mutex<Connection>>;

fn name(people: &People, id: i64) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let select = |db: &Mutex<Connection>| {
        let db = db.lock().unwrap();
        println!("  SELECT for {id}");
        db.query_row("SELECT name FROM people WHERE id = ?1", [id], |row| row.get(0)).optional()
    };
    Ok(people.read(&id, select)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Connection::open_in_memory()?;
    db.execute_batch("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")?;
    db.execute("INSERT INTO people VALUES (7, 'Ann')", [])?;
    let people: People = Aside::new(Cache::new(1000), Mutex::new(db));
    for _ in 0..2 {
        println!("{:?}", name(&people, 7)?); // asks the database once
    }
    people.write(&7, |db| {
        let mut db = db.lock().unwrap();
        let transaction = db.transaction()?;
        transaction.execute("UPDATE people SET name = 'Anna' WHERE id = 7", [])?;
        transaction.commit()
    })?;
    println!("{:?}", name(&people, 7)?); // Some("Anna")
    Ok(())
}
