//! Work on several things at the same time, by threads that do nothing else meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::WriteError;

/// What `made` makes of each of `all`, given its number, in their order; at most `at_once` at the same time.
///
/// Not by rayon: one of its threads that waits for the others begins whatever else there is to do, be it a file that
/// takes minutes, and memory that was given to this is held until that is done.
///
/// # Errors
/// The first that comes; nothing more is begun then.
pub(super) fn each<T: Sync, R: Send>(
    all: &[T],
    at_once: usize,
    made: impl Fn(usize, &T) -> Result<R, WriteError> + Sync,
) -> Result<Vec<R>, WriteError> {
    let helpers = at_once.min(all.len()).saturating_sub(1);
    if helpers == 0 {
        return all.iter().enumerate().map(|(number, one)| made(number, one)).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(number) else { return Ok(done) };
            match made(number, one) {
                Ok(result) => done.push((number, result)),
                Err(error) => {
                    next.store(all.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let mut done = thread::scope(|scope| {
        // Where the system has no more threads, there are fewer.
        let helper = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let helping: Vec<_> = (0..helpers).filter_map(helper).collect();
        let mut done = work();
        for helper in helping {
            let helped = helper.join().unwrap_or(Err(WriteError::Panicked));
            done = done.and_then(|mut done: Vec<(usize, R)>| {
                done.extend(helped?);
                Ok(done)
            });
        }
        done
    })?;
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_come_in_order_and_so_many_are_worked_on_at_once() {
        let all: Vec<usize> = (0..9).collect();
        for at_once in [0, 1, 3, 20] {
            // Whoever is alone would wait for ever.
            let together = Barrier::new(at_once.clamp(1, 3));
            let made = each(&all, at_once, |number, one| {
                together.wait();
                Ok(number * 10 + one)
            });
            assert_eq!(made.unwrap(), all.iter().map(|one| one * 11).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_and_a_panic_are_told_and_end_it() {
        let all = [1, 2, 3, 4];
        for at_once in [1, 2] {
            let failed = each(&all, at_once, |_, one| match one {
                2 => Err(WriteError::Abandoned),
                one => Ok(*one),
            });
            assert!(matches!(failed, Err(WriteError::Abandoned)), "{failed:?}");
        }
        let (own, together) = (thread::current().id(), Barrier::new(all.len()));
        let panicked = each(&all, 4, |_, one| {
            together.wait();
            assert_eq!(thread::current().id(), own, "as a bug of the encoder");
            Ok(*one)
        });
        assert!(matches!(panicked, Err(WriteError::Panicked)), "{panicked:?}");
    }
}
