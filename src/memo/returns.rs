//! What of a returned value is kept.
//!
//! | the function returns | kept | by the plan |
//! |---|---|---|
//! | a value | all of it | [`Returned`] |
//! | a `Result` behind an alias | all of it, if it is `Ok` | [`Aliased`] |
//! | `Result` | what is in `Ok` | [`SharedFails`], or [`Fails`] if the error cannot be shared |
//! | `Option`, with `some_only` | what is in `Some` | [`Maybe`] |
//! | `Result` of `Option`, with `some_only` | what is in `Ok(Some)` | [`SharedMaybeFails`], [`MaybeFails`] |
//!
//! Traits decide, not names. The one exception is the *type* of the cache,
//! which has to be written down: it is that of what is in `Ok` if the type is
//! spelled `Result`, or the user says that it is one.

use std::convert::Infallible;
use std::marker::PhantomData;

/// What a cache of a function can keep.
#[diagnostic::on_unimplemented(
    message = "a memoized function cannot return `{Self}`",
    label = "not `Clone + Send + Sync + 'static`",
    note = "every hit clones the value: `#[derive(Clone)]` it, or return an `Arc` of it"
)]
pub trait Kept: Clone + Send + Sync + 'static {}

impl<T: Clone + Send + Sync + 'static> Kept for T {}

/// `Result`, under any name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Result`",
    label = "not `std::result::Result`",
    note = "a type that is only named `Result` can be renamed where it is imported"
)]
pub trait Fallible {
    type Ok;
    type Err;
    fn into_result(self) -> Result<Self::Ok, Self::Err>;
    fn from_result(result: Result<Self::Ok, Self::Err>) -> Self;
}

impl<T, E> Fallible for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn into_result(self) -> Self {
        self
    }

    fn from_result(result: Self) -> Self {
        result
    }
}

/// `Option`, under any name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an `Option`",
    label = "`some_only` keeps what is in `Some`",
    note = "`some_only` is for functions that return `Option<T>` or `Result<Option<T>, E>`"
)]
pub trait Optional {
    type Some;
    fn into_option(self) -> Option<Self::Some>;
    fn from_option(option: Option<Self::Some>) -> Self;
}

impl<T> Optional for Option<T> {
    type Some = T;

    fn into_option(self) -> Self {
        self
    }

    fn from_option(option: Self) -> Self {
        option
    }
}

/// An error that all who waited for it can have.
#[diagnostic::on_unimplemented(
    message = "an error of type `{Self}` cannot be remembered",
    label = "not `Clone + Send + Sync + 'static`",
    note = "`negative_ttl` hands out clones of the error: `#[derive(Clone)]` it, or return an `Arc` of it"
)]
pub trait Shareable: Clone + Send + Sync + 'static {}

impl<T: Clone + Send + Sync + 'static> Shareable for T {}

/// How a function's result is taken apart for the cache, and put together.
pub trait Plan {
    /// Whether there may be nothing to keep.
    const IS_OPTIONAL: bool = false;

    type Returned;
    type Kept;
    type Error;
    /// The error as those who wait get it.
    type Told: Send + Sync + 'static;

    fn split(returned: Self::Returned) -> Result<Option<Self::Kept>, Self::Error>;
    fn join(result: Result<Option<Self::Kept>, Self::Error>) -> Self::Returned;
    fn tell(error: &Self::Error) -> Self::Told;
    /// `None`: it could not be told, so whoever waited calls the function.
    fn hear(told: &Self::Told) -> Option<Self::Error>;
}

macro_rules! plans {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<R>(PhantomData<fn() -> R>);

        impl<R> $name<R> {
            pub const NEW: Self = $name(PhantomData);
        }
    )*};
}

plans! {
    /// A value, unless it turns out to be a `Result`.
    Returned;
    /// A `Result` whose type was not spelled so: `Err` is not kept.
    Aliased;
    /// A `Result` whose error cannot be shared: whoever waited for it calls
    /// the function, too.
    Fails;
    /// A `Result` whose error all get who waited for it.
    SharedFails;
    /// An `Option` of which only `Some` is kept.
    Maybe;
    /// [`Fails`], keeping `Ok(Some)` only.
    MaybeFails;
    /// [`SharedFails`], keeping `Ok(Some)` only.
    SharedMaybeFails;
}

/// That an error occurred which cannot be shared.
#[derive(Debug)]
pub struct Untold;

impl<R> Plan for Returned<R> {
    type Returned = R;
    type Kept = R;
    type Error = Infallible;
    type Told = Infallible;

    fn split(returned: R) -> Result<Option<R>, Infallible> {
        Ok(Some(returned))
    }

    fn join(result: Result<Option<R>, Infallible>) -> R {
        match result {
            Ok(value) => sure(value),
            Err(never) => match never {},
        }
    }

    fn tell(error: &Infallible) -> Infallible {
        *error
    }

    fn hear(told: &Infallible) -> Option<Infallible> {
        match *told {}
    }
}

impl<T: Clone, E: Shareable> Plan for Aliased<Result<T, E>> {
    type Returned = Result<T, E>;
    type Kept = Result<T, E>;
    type Error = E;
    type Told = E;

    fn split(returned: Self::Returned) -> Result<Option<Self::Kept>, E> {
        returned.map(|value| Some(Ok(value)))
    }

    fn join(result: Result<Option<Self::Kept>, E>) -> Self::Returned {
        result.and_then(sure)
    }

    fn tell(error: &E) -> E {
        error.clone()
    }

    fn hear(told: &E) -> Option<E> {
        Some(told.clone())
    }
}

impl<R: Fallible> Plan for Fails<R> {
    type Returned = R;
    type Kept = R::Ok;
    type Error = R::Err;
    type Told = Untold;

    fn split(returned: R) -> Result<Option<R::Ok>, R::Err> {
        returned.into_result().map(Some)
    }

    fn join(result: Result<Option<R::Ok>, R::Err>) -> R {
        R::from_result(result.map(sure))
    }

    fn tell(_error: &R::Err) -> Untold {
        Untold
    }

    fn hear(_told: &Untold) -> Option<R::Err> {
        None
    }
}

impl<R: Fallible<Err: Shareable>> Plan for SharedFails<R> {
    type Returned = R;
    type Kept = R::Ok;
    type Error = R::Err;
    type Told = R::Err;

    fn split(returned: R) -> Result<Option<R::Ok>, R::Err> {
        returned.into_result().map(Some)
    }

    fn join(result: Result<Option<R::Ok>, R::Err>) -> R {
        R::from_result(result.map(sure))
    }

    fn tell(error: &R::Err) -> R::Err {
        error.clone()
    }

    fn hear(told: &R::Err) -> Option<R::Err> {
        Some(told.clone())
    }
}

impl<R: Optional> Plan for Maybe<R> {
    const IS_OPTIONAL: bool = true;

    type Returned = R;
    type Kept = R::Some;
    type Error = Infallible;
    type Told = Infallible;

    fn split(returned: R) -> Result<Option<R::Some>, Infallible> {
        Ok(returned.into_option())
    }

    fn join(result: Result<Option<R::Some>, Infallible>) -> R {
        match result {
            Ok(option) => R::from_option(option),
            Err(never) => match never {},
        }
    }

    fn tell(error: &Infallible) -> Infallible {
        *error
    }

    fn hear(told: &Infallible) -> Option<Infallible> {
        match *told {}
    }
}

impl<R: Fallible<Ok: Optional>> Plan for MaybeFails<R> {
    const IS_OPTIONAL: bool = true;

    type Returned = R;
    type Kept = <R::Ok as Optional>::Some;
    type Error = R::Err;
    type Told = Untold;

    fn split(returned: R) -> Result<Option<Self::Kept>, R::Err> {
        returned.into_result().map(Optional::into_option)
    }

    fn join(result: Result<Option<Self::Kept>, R::Err>) -> R {
        R::from_result(result.map(Optional::from_option))
    }

    fn tell(_error: &R::Err) -> Untold {
        Untold
    }

    fn hear(_told: &Untold) -> Option<R::Err> {
        None
    }
}

impl<R: Fallible<Ok: Optional, Err: Shareable>> Plan for SharedMaybeFails<R> {
    const IS_OPTIONAL: bool = true;

    type Returned = R;
    type Kept = <R::Ok as Optional>::Some;
    type Error = R::Err;
    type Told = R::Err;

    fn split(returned: R) -> Result<Option<Self::Kept>, R::Err> {
        returned.into_result().map(Optional::into_option)
    }

    fn join(result: Result<Option<Self::Kept>, R::Err>) -> R {
        R::from_result(result.map(Optional::from_option))
    }

    fn tell(error: &R::Err) -> R::Err {
        error.clone()
    }

    fn hear(told: &R::Err) -> Option<R::Err> {
        Some(told.clone())
    }
}

/// What was split into `Some` comes back so.
fn sure<T>(value: Option<T>) -> T {
    value.unwrap_or_else(|| unreachable!("a value that is always kept was not"))
}

// Method look-up tries `&self` with the type in hand before a reference to it,
// so `(&Returned::<R>::NEW).plan()` is the first of these where it applies, and
// the second everywhere else.

/// The plan for what is a `Result`, as far as can be seen.
pub trait ReturnKind {
    type Plan;
    fn plan(&self) -> Self::Plan;
}

impl<T, E> ReturnKind for Returned<Result<T, E>> {
    type Plan = Aliased<Result<T, E>>;

    fn plan(&self) -> Self::Plan {
        Aliased::NEW
    }
}

/// The plan for everything else.
pub trait ValueKind {
    type Plan;
    fn plan(&self) -> Self::Plan;
}

impl<R> ValueKind for &Returned<R> {
    type Plan = Returned<R>;

    fn plan(&self) -> Self::Plan {
        Returned::NEW
    }
}

/// The plan for an error that can be shared.
pub trait FallibleKind {
    type Plan;
    fn plan(&self) -> Self::Plan;
}

impl<R: Fallible<Err: Shareable>> FallibleKind for Fails<R> {
    type Plan = SharedFails<R>;

    fn plan(&self) -> Self::Plan {
        SharedFails::NEW
    }
}

impl<R: Fallible<Ok: Optional, Err: Shareable>> FallibleKind for MaybeFails<R> {
    type Plan = SharedMaybeFails<R>;

    fn plan(&self) -> Self::Plan {
        SharedMaybeFails::NEW
    }
}

/// The plan for any other error.
pub trait RetryKind {
    type Plan;
    fn plan(&self) -> Self::Plan;
}

impl<R: Fallible> RetryKind for &Fails<R> {
    type Plan = Fails<R>;

    fn plan(&self) -> Self::Plan {
        Fails::NEW
    }
}

impl<R: Fallible<Ok: Optional>> RetryKind for &MaybeFails<R> {
    type Plan = MaybeFails<R>;

    fn plan(&self) -> Self::Plan {
        MaybeFails::NEW
    }
}
