//! A lesson's samples on their way to a board: what it has already is not sent again, and what it has of something else is
//! given up first, as `host-trainer board teach` does.

use cnn_core::learn::{self, Fault, Samples, Set};
use cnn_core::network::HIDDEN;
use cnn_core::protocol::{HeadStatus, Refusal, Reply, Request};

use super::{Answer, BoardError, COMPUTE, ERASE, QUICK};
use crate::lesson::Shown;

/// Samples that a board is to have, and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Teaching {
    samples: Vec<Shown>,
    step: Step,
    /// Own and ordinary samples that the board had.
    there: [u32; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Ask,
    Forget,
    Send(usize),
    Confirm,
}

impl Teaching {
    /// Samples of a lesson, the own ones first, each set in its order.
    pub fn new(samples: &[Shown]) -> Self {
        Self { samples: samples.to_vec(), step: Step::Ask, there: [0, 0] }
    }

    /// How long the next reply may take: before it keeps a sample, a board runs the network.
    pub(super) fn timeout(&self) -> f64 {
        match self.step {
            Step::Ask | Step::Confirm => QUICK,
            Step::Forget => ERASE,
            Step::Send(_) => COMPUTE,
        }
    }

    /// Samples that the board has, and how many there are.
    pub(super) fn progress(&self) -> (usize, usize) {
        let len = self.samples.len();
        match self.step {
            Step::Ask | Step::Forget => (0, len),
            Step::Send(at) => (at, len),
            Step::Confirm => (len, len),
        }
    }

    pub(super) fn request(&self) -> Request<'_> {
        match self.step {
            Step::Ask | Step::Confirm => Request::Head,
            Step::Forget => Request::Forget { heads: false },
            Step::Send(at) => {
                let Shown { set, index, label, pixels, .. } = &self.samples[at];
                Request::Teach { set: *set, index: *index, label: *label, pixels }
            }
        }
    }

    /// Takes a reply. The answer, once the board has all samples.
    pub(super) fn hear(&mut self, reply: Reply<'_>) -> Result<Option<Answer>, BoardError> {
        match (self.step, reply) {
            (Step::Ask, Reply::Head(status)) => {
                status.check()?;
                return self.begin(&status);
            }
            (Step::Forget, Reply::Head(status)) => {
                status.check()?;
                self.send_from(0);
            }
            (Step::Send(at), Reply::Taught(taught)) => {
                let Shown { set, index, label, hidden, .. } = &self.samples[at];
                if taught.checksum != learn::checksum((hidden, *label)) {
                    return Err(BoardError::OtherSample { set: *set, index: *index });
                }
                self.send_from(at + 1);
            }
            (Step::Confirm, Reply::Head(status)) => {
                status.check()?;
                if status.checksum == checksum(&self.samples) {
                    return Ok(Some(Answer::Taught));
                }
                return Err(BoardError::Unexpected);
            }
            _ => return Err(BoardError::Unexpected),
        }
        Ok(None)
    }

    fn begin(&mut self, status: &HeadStatus) -> Result<Option<Answer>, BoardError> {
        let (count, capacity) = (self.samples.len(), status.capacity);
        if count as u64 > u64::from(capacity) {
            return Err(Refusal::Learning(Fault::Full { capacity }).into());
        }
        // What the board has may be the beginning of the lesson, or all of it.
        let there = [status.own, status.ordinary];
        let part: Vec<Shown> = self.samples.iter().filter(|it| it.index < there[it.set as usize]).cloned().collect();
        let is_part = part.len() as u64 == u64::from(there[0]) + u64::from(there[1]);
        if !is_part || checksum(&part) != status.checksum {
            self.step = Step::Forget;
        } else if part.len() == count {
            return Ok(Some(Answer::Taught));
        } else {
            self.there = there;
            self.send_from(0);
        }
        Ok(None)
    }

    /// The next sample that the board has not is sent, from this one on.
    fn send_from(&mut self, at: usize) {
        let missing = |it: &Shown| it.index >= self.there[it.set as usize];
        let next = self.samples.iter().skip(at).position(missing);
        self.step = next.map_or(Step::Confirm, |skipped| Step::Send(at + skipped));
    }
}

/// [`Samples::checksum`] of a board that has these.
fn checksum(samples: &[Shown]) -> u32 {
    let (mut hidden, mut labels) = (vec![[0.0; HIDDEN]; samples.len()], vec![0; samples.len()]);
    let mut memory = Samples::new(&mut hidden, &mut labels);
    for Shown { set, index, label, hidden, .. } in samples {
        memory.add(*set, *index, *label, hidden).expect("there is room, and each set is in its order");
    }
    memory.checksum()
}

const _: () = assert!(Set::Own as usize == 0 && Set::Ordinary as usize == 1, "places in `there`");
