//! What is counted, and what is not.

use std::hint::black_box;

/// The function between whose entry and return callgrind counts, and the one at whose return it dumps: of two options
/// that name the same it heeds one. They are looked for by these names with anything before and behind them, for
/// compilers differ in how they write a path.
pub(crate) const COUNTED: &str = "*counted_by_callgrind*";
pub(crate) const DUMPED: &str = "*dumped_by_callgrind*";

#[inline(never)]
fn counted_by_callgrind(work: &mut dyn FnMut()) {
    work();
    // So that the call before is not the last thing done, which would make it a jump out of here.
    black_box(&work);
}

#[inline(never)]
fn dumped_by_callgrind(work: &mut dyn FnMut()) {
    counted_by_callgrind(work);
    black_box(&work);
}

/// Has callgrind count `work`, which does so many `operations`, and writes a line for it: their number and its name. Once
/// before it is done uncounted, so that memory that is taken once is there.
pub(crate) fn count(name: &str, operations: u32, mut work: impl FnMut()) {
    count_with(name, operations, || (), |()| work());
}

/// The same of work that needs something made anew each time. To make it and to drop it is not counted.
pub(crate) fn count_with<T>(
    name: &str,
    operations: u32,
    mut make: impl FnMut() -> T,
    mut work: impl FnMut(&mut T),
) {
    work(&mut make());
    let mut made = make();
    dumped_by_callgrind(&mut || work(&mut made));
    println!("{operations} {name}");
}
