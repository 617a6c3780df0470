//! A function that is computed once for each argument.
#[larder::memoize]
fn fib(n: u64) -> u64 {
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}
fn main() {
    println!("fib(90) = {}, of {} values computed", fib(90), fib::cache().len())
}
