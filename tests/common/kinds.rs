//! Callers of every kind that load key 1, each under the test's control.

use larder::{Cache, Load, LoadError};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

/// Where a caller runs, and which method it uses.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    place: Place,
    is_infallible: bool,
    patience: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Thread,
    /// A task of tokio's runtime with several threads.
    Shared,
    /// A task of a tokio runtime of its own, with one thread.
    Alone,
    /// A future that a thread polls by hand.
    Bare,
}

impl Kind {
    pub const THREAD: Kind = Kind::of(Place::Thread);
    pub const SHARED: Kind = Kind::of(Place::Shared);
    pub const ALONE: Kind = Kind::of(Place::Alone);
    pub const BARE: Kind = Kind::of(Place::Bare);

    const fn of(place: Place) -> Self {
        Kind { place, is_infallible: false, patience: None }
    }

    /// The same with a method that cannot return an error.
    pub fn infallible(self) -> Self {
        Kind { is_infallible: true, ..self }
    }

    /// The same with a limit on how long it waits for others.
    pub fn patient_for(self, patience: Duration) -> Self {
        Kind { patience: Some(patience), ..self }
    }

    pub fn can_be_dropped(self) -> bool {
        self.place != Place::Thread
    }
}

pub const KINDS: [Kind; 4] = [Kind::THREAD, Kind::SHARED, Kind::ALONE, Kind::BARE];

/// Who leads and who waits: each with each, but for those that say the same.
pub const PAIRS: [(Kind, Kind); 7] = [
    (Kind::THREAD, Kind::THREAD),
    (Kind::THREAD, Kind::SHARED),
    (Kind::SHARED, Kind::THREAD),
    (Kind::SHARED, Kind::SHARED),
    (Kind::ALONE, Kind::ALONE),
    (Kind::BARE, Kind::THREAD),
    (Kind::BARE, Kind::BARE),
];

/// How a load shall end.
#[derive(Clone, Copy, Debug)]
pub enum Landing {
    Ok(u64),
    Fail(&'static str),
    Panic,
}

type Got = Result<u64, LoadError<&'static str>>;

#[derive(Default)]
struct State {
    calls: usize,
    landing: Option<Landing>,
    wakers: Vec<Waker>,
    is_dropped: bool,
    got: Option<thread::Result<Option<Got>>>,
}

#[derive(Default)]
struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

/// A load that runs, or waits for another one.
pub struct Running {
    control: Arc<Control>,
}

impl Control {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn wait_for<R>(&self, what: impl Fn(&mut State) -> Option<R>) -> R {
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(result) = what(&mut state) {
                return result;
            }
            state = self.changed.wait(state).unwrap();
        }
    }

    fn begin(&self) {
        self.change(|state| state.calls += 1);
    }

    fn load(&self) -> Result<u64, &'static str> {
        self.begin();
        ended(self.wait_for(|state| state.landing))
    }

    async fn load_async(&self) -> Result<u64, &'static str> {
        self.begin();
        let landing = std::future::poll_fn(|cx| {
            let mut state = self.state.lock().unwrap();
            state.wakers.push(cx.waker().clone());
            state.landing.map_or(Poll::Pending, Poll::Ready)
        });
        ended(landing.await)
    }
}

fn ended(landing: Landing) -> Result<u64, &'static str> {
    match landing {
        Landing::Ok(value) => Ok(value),
        Landing::Fail(error) => Err(error),
        Landing::Panic => panic!("on purpose"),
    }
}

impl Running {
    /// Returns once the loader runs.
    pub fn has_begun(&self) {
        self.control.wait_for(|state| (state.calls > 0).then_some(()));
    }

    /// How often the loader was called.
    pub fn calls(&self) -> usize {
        self.control.state.lock().unwrap().calls
    }

    /// Lets the loader end like that, if it is called.
    pub fn land(&self, landing: Landing) {
        self.control.change(|state| state.landing = Some(landing));
    }

    fn result(&self) -> thread::Result<Option<Got>> {
        self.control.wait_for(|state| state.got.take())
    }

    /// What the caller got.
    pub fn end(&self) -> Got {
        self.result().expect("it did not panic").expect("it was not dropped")
    }

    /// What the caller's panic said.
    pub fn panic(&self) -> String {
        let panic = self.result().expect_err("it panicked");
        super::quiet::message_of(&*panic).to_owned()
    }

    /// Drops the caller's future, and returns when that is done.
    pub fn drop_it(&self) {
        self.control.change(|state| state.is_dropped = true);
        assert!(self.result().expect("it did not panic").is_none());
    }
}

type Call = Pin<Box<dyn Future<Output = Option<Got>> + Send>>;

/// Ends with the call, or drops it as soon as it shall be dropped.
struct Droppable {
    call: Option<Call>,
    control: Arc<Control>,
}

impl Future for Droppable {
    type Output = Option<Got>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Got>> {
        let is_dropped = {
            let mut state = self.control.state.lock().unwrap();
            state.wakers.push(cx.waker().clone());
            state.is_dropped
        };
        if is_dropped {
            self.call = None;
            return Poll::Ready(None);
        }
        self.call.as_mut().expect("not polled after its end").as_mut().poll(cx)
    }
}

fn request<'a>(
    cache: &'a Cache<u64, u64>,
    kind: Kind,
) -> Load<'a, u64, u64, larder::DefaultHashBuilder, u64> {
    let options = larder::EntryOptions::new().tag("loaded");
    let load = cache.load(&1).options(options);
    match kind.patience {
        Some(patience) => load.wait_timeout(patience),
        None => load,
    }
}

fn call(cache: &Cache<u64, u64>, kind: Kind, control: &Control) -> Got {
    let request = request(cache, kind);
    match kind.is_infallible {
        true => Ok(request.with(|| control.load().expect("it cannot fail"))),
        false => request.try_with(|| control.load()),
    }
}

fn call_async(cache: Cache<u64, u64>, kind: Kind, control: Arc<Control>) -> Call {
    Box::pin(async move {
        let request = request(&cache, kind);
        let load = control.load_async();
        Some(match kind.is_infallible {
            true => Ok(request.with_async(async { load.await.expect("it cannot fail") }).await),
            false => request.try_with_async(load).await,
        })
    })
}

static SHARED: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
});

/// Lets a caller of `kind` ask for key 1.
pub fn start(cache: &Cache<u64, u64>, kind: Kind) -> Running {
    let control: Arc<Control> = Arc::default();
    let (cache, shared) = (cache.clone(), Arc::clone(&control));
    if kind.place == Place::Thread {
        thread::spawn(move || {
            let got = catch_unwind(AssertUnwindSafe(|| Some(call(&cache, kind, &shared))));
            drop(cache);
            shared.change(|state| state.got = Some(got));
        });
        return Running { control };
    }
    let call = Some(call_async(cache, kind, Arc::clone(&shared)));
    let droppable = Droppable { call, control: Arc::clone(&shared) };
    let end = move |got| shared.change(|state| state.got = Some(got));
    match kind.place {
        Place::Shared => drop(SHARED.spawn(async move {
            end(SHARED.spawn(droppable).await.map_err(tokio::task::JoinError::into_panic));
        })),
        Place::Alone => drop(thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            end(catch_unwind(AssertUnwindSafe(|| runtime.block_on(droppable))));
        })),
        Place::Thread | Place::Bare => drop(thread::spawn(move || {
            end(catch_unwind(AssertUnwindSafe(|| pollster::block_on(droppable))));
        })),
    }
    Running { control }
}
