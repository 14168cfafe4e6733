//! Threads that work through an epoch side by side.
//!
//! Every thread runs the same function. Work is handed out by a counter or in fixed shares, threads wait for each other at
//! meetings, and what must happen in the order of the samples takes turns. All waits are short and many thousand a second,
//! so threads spin before they sleep: to be woken takes the system longer than a whole phase of a step.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, PoisonError};

/// Looks at the awaited value before a waiting thread sleeps: a hundred microseconds. One thread is often later than
/// the other by thirty, and to be woken takes longer than that.
const SPINS: u32 = 10_000;

/// The meeting point of a team, and the order of its turns.
pub struct Team {
    threads: usize,
    /// Looks before sleeping; none if the team has more threads than there are processors to run them.
    spins: u32,
    arrived: AtomicUsize,
    meetings: AtomicUsize,
    meeting_ended: Bell,
    /// The next item of work.
    next: AtomicUsize,
    /// Whose turn it is.
    turn: AtomicUsize,
    turn_ended: Bell,
    /// A thread panicked: nobody must wait for it.
    broken: AtomicBool,
}

impl Team {
    /// A team of `threads` threads, none of which has arrived.
    pub fn new(threads: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            spins: if threads <= processors { SPINS } else { 0 },
            arrived: AtomicUsize::new(0),
            meetings: AtomicUsize::new(0),
            meeting_ended: Bell::default(),
            next: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            turn_ended: Bell::default(),
            broken: AtomicBool::new(false),
        }
    }

    /// The membership of thread number `number`, which tells the others if it panics.
    pub fn join(&self, number: usize) -> Member<'_> {
        Member { team: self, number }
    }

    /// Waits for `holds`, which becomes true before `bell` rings.
    fn wait_until(&self, bell: &Bell, holds: impl Fn() -> bool) {
        let is_over = || holds() || self.broken.load(Ordering::Relaxed);
        if !(0..self.spins).any(|_| {
            is_over() || {
                std::hint::spin_loop();
                false
            }
        }) {
            bell.sleep_until(is_over);
        }
        assert!(!self.broken.load(Ordering::Relaxed), "another thread of the team panicked");
    }
}

/// Wakes those who sleep, and costs next to nothing if nobody does.
#[derive(Default)]
struct Bell {
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    rung: Condvar,
}

impl Bell {
    fn sleep_until(&self, holds: impl Fn() -> bool) {
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        // With the fence in `ring`: either the ringer sees the sleeper, or the sleeper sees what the ringer changed.
        fence(Ordering::SeqCst);
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.rung.wait_while(guard, |()| !holds()).unwrap_or_else(PoisonError::into_inner));
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// To be called after the change that others wait for.
    fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            // A sleeper that is about to wait holds the lock: taken once, it lets the sleeper get there first.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.rung.notify_all();
        }
    }
}

/// A thread of a team.
pub struct Member<'a> {
    team: &'a Team,
    number: usize,
}

impl Member<'_> {
    /// The next item of work, if there are more than have been taken since the last meeting. Items are handed out in
    /// order.
    pub fn take(&self, items: usize) -> Option<usize> {
        Some(self.team.next.fetch_add(1, Ordering::Relaxed)).filter(|&item| item < items)
    }

    /// This thread's share of the items: every time the same, so that what belongs to them stays in its core's cache.
    pub fn share(&self, items: usize) -> Range<usize> {
        let start = |number| items * number / self.team.threads;
        start(self.number)..start(self.number + 1)
    }

    /// Whether it is the turn of `item`.
    pub fn is_turn(&self, item: usize) -> bool {
        self.team.turn.load(Ordering::Acquire) == item
    }

    /// Waits for the turn of `item`. Every thread ends the turns of its items in their order, so the turn does come.
    pub fn wait_for_turn(&self, item: usize) {
        self.team.wait_until(&self.team.turn_ended, || self.is_turn(item));
    }

    /// Ends the turn that this thread has.
    pub fn end_turn(&self) {
        self.team.turn.fetch_add(1, Ordering::Release);
        self.team.turn_ended.ring();
    }

    /// Waits until every thread has arrived. The last one to arrive calls `before_parting`; then work is handed out
    /// from the start again, and turns begin anew.
    pub fn barrier(&self, before_parting: impl FnOnce()) {
        let Team { threads, arrived, meetings, meeting_ended, next, turn, .. } = self.team;
        let meeting = meetings.load(Ordering::Relaxed);
        if arrived.fetch_add(1, Ordering::AcqRel) + 1 < *threads {
            return self.team.wait_until(meeting_ended, || meetings.load(Ordering::Acquire) != meeting);
        }
        before_parting();
        arrived.store(0, Ordering::Relaxed);
        next.store(0, Ordering::Relaxed);
        turn.store(0, Ordering::Relaxed);
        meetings.store(meeting.wrapping_add(1), Ordering::Release);
        meeting_ended.ring();
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.team.broken.store(true, Ordering::Relaxed);
            self.team.turn_ended.ring();
            self.team.meeting_ended.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Runs `work` on every thread of a team; whether none of them panicked.
    fn run(threads: usize, work: impl Fn(&Member<'_>) + Sync) -> bool {
        let team = Team::new(threads);
        std::thread::scope(|scope| {
            let (team, work) = (&team, &work);
            let start = |number| scope.spawn(move || work(&team.join(number)));
            let threads: Vec<_> = (0..threads).map(start).collect();
            let panics = threads.into_iter().filter_map(|thread| thread.join().err()).count();
            panics == 0
        })
    }

    #[test]
    fn items_are_all_taken_once_and_turns_are_in_their_order_at_every_meeting() {
        for threads in [1, 2, 3, 17] {
            let order = Mutex::new(Vec::new());
            let meetings = AtomicUsize::new(0);
            let ended = run(threads, |member| {
                for _ in 0..50 {
                    while let Some(item) = member.take(20) {
                        member.wait_for_turn(item);
                        order.lock().unwrap().push(item);
                        member.end_turn();
                    }
                    member.barrier(|| {
                        meetings.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
                        order.lock().unwrap().clear();
                    });
                }
            });
            assert!(ended);
            assert_eq!(meetings.into_inner(), 50, "{threads} threads");
        }
    }

    #[test]
    fn every_item_is_in_one_share() {
        for threads in [1, 2, 3, 17] {
            let owners = Mutex::new([0; 10]);
            assert!(run(threads, |member| member.share(10).for_each(|item| owners.lock().unwrap()[item] += 1)));
            assert_eq!(*owners.lock().unwrap(), [1; 10], "{threads} threads");
        }
    }

    #[test]
    fn nobody_waits_for_a_thread_that_panicked() {
        let first = AtomicBool::new(true);
        let ended = run(3, |member| {
            assert!(!first.swap(false, Ordering::Relaxed), "this one is meant");
            member.barrier(|| {});
        });
        assert!(!ended);
    }
}
