//! A PostgreSQL server for as long as this process needs one.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process};
use tokio_postgres::{Client, Error, NoTls};

/// A server in a temporary folder; dropping it stops it and removes the folder.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: PathBuf,
    port: u16,
}

const TO_INSTALL: &str = "SKIPPED: there is no PostgreSQL server here. It takes the programs \
     `initdb` and `postgres`, on the path or in /usr/lib/postgresql/*/bin; on Debian and Ubuntu: \
     apt-get install postgresql";

impl Server {
    /// Starts one; `None`, with a word on what to install, if there is none to
    /// be started.
    ///
    /// # Errors
    /// What the system says, if there is a server and it does not start.
    pub async fn start(name: &str) -> io::Result<Option<Self>> {
        let Some(programs) = programs() else {
            eprintln!("{TO_INSTALL}");
            return Ok(None);
        };
        let folder = env::temp_dir().join(format!("larder-postgres-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&folder))?;
        }
        let data = folder.join("data");
        let mut initdb = as_user(&programs.join("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--username=larder", "--encoding=UTF8", "-D"]);
        run(initdb.arg(&data).stdout(Stdio::null()))?;
        // Free now; that somebody else takes it in the next moment is told by
        // the server, which then does not start.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut postgres = as_user(&programs.join("postgres"));
        postgres.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        postgres.args(["-h", "127.0.0.1", "-F", "-k"]).arg(&folder);
        let log = fs::File::create(folder.join("log"))?;
        let child = postgres.stdout(Stdio::null()).stderr(log).spawn()?;
        let mut server = Server { child, folder, port };
        server.await_ready().await?;
        Ok(Some(server))
    }

    async fn await_ready(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.connect().await.is_err() {
            let has_ended = self.child.try_wait()?.is_some();
            if has_ended || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("the server did not start:\n{log}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// A connection to it.
    ///
    /// # Errors
    /// The server's.
    pub async fn connect(&self) -> Result<Client, Error> {
        let settings = format!("host=127.0.0.1 port={} user=larder dbname=postgres", self.port);
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await?;
        tokio::spawn(async move {
            // It ends with the client, or with the server.
            let _ = connection.await;
        });
        Ok(client)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server's own number: the child may be `runuser`.
        let first = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = first.lines().next() {
            let _ = Command::new("kill").args(["-INT", pid]).status();
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path);
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let has_both = |folder: &PathBuf| {
        ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
    };
    debian.into_iter().rev().chain(on_path).find(has_both)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

/// `program`, but not as root, which the server refuses.
fn as_user(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
    }
    // It need not be able to read the folder that we are in.
    command.current_dir("/");
    command
}

fn run(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command:?} ended with {status}"))),
    }
}
