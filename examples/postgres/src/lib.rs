//! A table in PostgreSQL as a store for larder, and a server to try it with.
#![warn(missing_docs)]

mod server;

pub use server::Server;

use larder::store::{AsyncLoader, AsyncStore, Written};
use std::collections::HashMap;
use tokio_postgres::{Client, Error, Row};

/// What a row of the table `people` holds, besides its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// Visits so far.
    pub visits: i64,
}

impl Person {
    fn of(row: &Row, at: usize) -> Self {
        Person { name: row.get(at), visits: row.get(at + 1) }
    }
}

/// The table `people`. Batches are one statement each.
#[derive(Debug)]
pub struct People(Client);

impl People {
    /// Makes the table, if it is not there.
    ///
    /// # Errors
    /// The server's.
    pub async fn create(client: Client) -> Result<Self, Error> {
        client
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS people
                 (id BIGINT PRIMARY KEY, name TEXT NOT NULL, visits BIGINT NOT NULL)",
            )
            .await?;
        Ok(People(client))
    }

    /// The connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0
    }
}

impl AsyncLoader<i64, Person> for People {
    type Error = Error;

    async fn load(&self, id: &i64) -> Result<Option<Person>, Error> {
        let row = self.0.query_opt("SELECT name, visits FROM people WHERE id = $1", &[id]).await?;
        Ok(row.map(|row| Person::of(&row, 0)))
    }

    async fn load_many(&self, ids: &[&i64]) -> Result<Vec<Option<Person>>, Error> {
        let wanted: Vec<i64> = ids.iter().map(|id| **id).collect();
        let select = "SELECT id, name, visits FROM people WHERE id = ANY ($1)";
        let rows = self.0.query(select, &[&wanted]).await?;
        let mut found: HashMap<i64, Person> =
            rows.iter().map(|row| (row.get(0), Person::of(row, 1))).collect();
        Ok(wanted.iter().map(|id| found.remove(id)).collect())
    }

    /// A connection that broke before the answer came.
    fn is_ambiguous(&self, error: &Error) -> bool {
        error.is_closed()
    }
}

impl AsyncStore<i64, Person> for People {
    async fn write(&self, id: &i64, person: &Person) -> Result<(), Error> {
        self.write_many(&[(id, person)]).await.map(drop)
    }

    async fn delete(&self, id: &i64) -> Result<(), Error> {
        self.0.execute("DELETE FROM people WHERE id = $1", &[id]).await.map(drop)
    }

    async fn write_many(&self, people: &[(&i64, &Person)]) -> Result<Written<Error>, Error> {
        let ids: Vec<i64> = people.iter().map(|(id, _)| **id).collect();
        let names: Vec<&str> = people.iter().map(|(_, person)| person.name.as_str()).collect();
        let visits: Vec<i64> = people.iter().map(|(_, person)| person.visits).collect();
        let insert = "INSERT INTO people
             SELECT * FROM UNNEST ($1::BIGINT[], $2::TEXT[], $3::BIGINT[])
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, visits = excluded.visits";
        self.0.execute(insert, &[&ids, &names, &visits]).await?;
        Ok(Written::all())
    }

    async fn delete_many(&self, ids: &[&i64]) -> Result<Written<Error>, Error> {
        let ids: Vec<i64> = ids.iter().map(|id| **id).collect();
        self.0.execute("DELETE FROM people WHERE id = ANY ($1)", &[&ids]).await?;
        Ok(Written::all())
    }
}
