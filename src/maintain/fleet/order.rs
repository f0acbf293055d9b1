//! Which table is served first.

use std::cmp::Reverse;

use super::due::Due;

/// The order in which tables are served, of which each has something due: numbers of `tables`.
///
/// First those where something is overdue, the longest before all, so that no table waits for ever; then
/// those where readers save most for each byte that is read, which are those first where nothing is.
pub fn order(tables: &[Vec<Due>]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..tables.len()).filter(|number| !tables[*number].is_empty()).collect();
    numbers.sort_by_key(|number| key(&tables[*number]));
    numbers
}

/// Least first.
fn key(due: &[Due]) -> (Reverse<u64>, Reverse<u64>) {
    let overdue = due.iter().map(|due| due.overdue_millis).max().unwrap_or_default();
    let saved: u64 = due.iter().map(|due| due.saved_bytes).sum();
    let read: u64 = due.iter().map(|due| due.read_bytes).sum();
    let worth = if read == 0 { f64::INFINITY } else { saved as f64 / read as f64 };
    // Positive floats order as their bits do.
    (Reverse(overdue), Reverse(worth.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintain::fleet::Service;

    fn compaction(read_bytes: u64, saved_bytes: u64, overdue_millis: u64) -> Due {
        Due { read_bytes, saved_bytes, overdue_millis, ..Due::cheap(Service::Compaction, 1) }
    }

    #[test]
    fn the_longest_overdue_come_first_then_what_costs_nothing_then_what_saves_most() {
        let tables = [
            vec![compaction(100, 10, 0)],
            vec![],
            vec![compaction(100, 20, 0), Due::cheap(Service::Archive, 3)],
            vec![Due::cheap(Service::Clean, 1)],
            vec![compaction(1_000, 1, 5)],
            vec![compaction(1_000, 1, 9)],
        ];
        assert_eq!(order(&tables), [5, 4, 3, 2, 0]);
    }
}
