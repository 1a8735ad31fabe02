//! An answer that comes from another thread, for threads and for tasks, with an end to the waiting.

use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

struct Slot<T> {
    state: Mutex<State<T>>,
    answered: Condvar,
}

struct State<T> {
    answer: Option<T>,
    waker: Option<Waker>,
}

/// The side that waits.
pub(crate) struct Pending<T>(Arc<Slot<T>>);

/// The side that answers.
pub(crate) struct Reply<T>(Arc<Slot<T>>);

pub(crate) fn pending<T>() -> (Reply<T>, Pending<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State { answer: None, waker: None }), answered: Condvar::new() });
    (Reply(slot.clone()), Pending(slot))
}

impl<T> Reply<T> {
    pub(crate) fn answer(self, answer: T) {
        let mut state = self.0.state.lock().expect("never left half changed");
        state.answer = Some(answer);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        drop(state);
        self.0.answered.notify_one();
    }

    /// Nobody waits any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl<T> Pending<T> {
    pub(crate) fn wait(self, at_most: Duration) -> Option<T> {
        let state = self.0.state.lock().expect("never left half changed");
        let waited = self.0.answered.wait_timeout_while(state, at_most, |state| state.answer.is_none());
        waited.expect("never left half changed").0.answer.take()
    }

    pub(crate) async fn wait_async(self, at_most: Duration) -> Option<T> {
        let answered = poll_fn(|context| {
            let mut state = self.0.state.lock().expect("never left half changed");
            match state.answer.take() {
                Some(answer) => Poll::Ready(answer),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        });
        tokio::time::timeout(at_most, answered).await.ok()
    }
}
