//! Work on several threads where the system starts them, on fewer where it does not: one is always enough.
//!
//! Limits on processes (`ulimit -u`, a container's `pids.max`) are met at any moment, and
//! [`std::thread::spawn`] and Rayon's global pool panic there.

use std::io;
use std::panic::resume_unwind;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle, available_parallelism, scope};

/// Runs both: side by side, or one after the other if the system starts no thread.
pub fn join<A: Send, B>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    // The thread that is refused does not give its work back.
    let first = Mutex::new(Some(first));
    let run_first = || {
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.expect("it is run once")()
    };
    scope(|scope| {
        let other = start(scope, run_first);
        let second = second();
        let first = match other {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => run_first(),
        };
        (first, second)
    })
}

/// Starts a thread of a scope.
///
/// # Errors
/// If the system starts no more.
pub fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work)
}

/// Calls `work` with every item and its index, on all processors if the system starts the threads.
pub fn for_each<T: Send>(items: &mut [T], work: &(impl Fn(usize, &mut T) + Sync)) {
    divide(available_parallelism().map_or(1, usize::from), 0, items, work);
}

fn divide<T: Send>(threads: usize, first: usize, items: &mut [T], work: &(impl Fn(usize, &mut T) + Sync)) {
    if threads < 2 || items.len() < 2 {
        (first..).zip(items).for_each(|(index, item)| work(index, item));
        return;
    }
    let middle = items.len() / 2;
    let (left, right) = items.split_at_mut(middle);
    join(|| divide(threads / 2, first, left, work), || divide(threads - threads / 2, first + middle, right, work));
}

/// How many of `wanted` threads the system runs at the same time, beside the one that asks.
pub fn startable(wanted: usize) -> usize {
    let (asked, all_asked) = (Mutex::new(false), Condvar::new());
    let wait = || {
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        drop(all_asked.wait_while(asked, |asked| !*asked).unwrap_or_else(PoisonError::into_inner));
    };
    scope(|scope| {
        let threads: Vec<_> = (0..wanted).map_while(|_| start(scope, wait).ok()).collect();
        *asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        all_asked.notify_all();
        threads.len()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn both_are_run_and_can_run_at_the_same_time() {
        let meeting = Barrier::new(2);
        let (first, second) = join(|| meeting.wait().is_leader(), || meeting.wait().is_leader());
        assert_ne!(first, second);
    }

    #[test]
    #[should_panic(expected = "of the first")]
    fn a_panic_of_the_other_thread_comes_through() {
        join(|| panic!("of the first"), || ());
    }

    #[test]
    fn every_item_is_visited_once_with_its_index() {
        for length in [0, 1, 2, 3, 64, 1001] {
            for threads in [1, 2, 3, 16] {
                let mut items = vec![usize::MAX; length];
                let calls = AtomicUsize::new(0);
                divide(threads, 0, &mut items, &|index, item| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    *item = index;
                });
                assert_eq!((items, calls.into_inner()), ((0..length).collect(), length), "{threads} threads");
            }
        }
    }

    #[test]
    fn threads_that_can_be_had_are_counted() {
        assert_eq!(startable(0), 0);
        assert_eq!(startable(3), 3);
    }
}
