//! Memory that the parts of a work share.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Memory for parts of a work, some of which are worked on at the same time.
///
/// Each has a share, which is more than one of many where there are few parts. What turns out to need more lets go
/// of its own, waits until others are done, and has twice as much.
#[derive(Debug)]
pub struct Room {
    shares: Semaphore,
    count: u32,
    /// How many a part begins with.
    first: u32,
    share_bytes: usize,
}

/// What a part of a work may take, until this is dropped.
#[derive(Debug)]
pub struct Share<'a> {
    room: &'a Room,
    held: Option<SemaphorePermit<'a>>,
    count: u32,
}

impl Room {
    /// Room of so many shares, at least one, of so many bytes each, for the parts of a work.
    pub fn new(shares: usize, share_bytes: usize, parts: usize) -> Self {
        let count = u32::try_from(shares).unwrap_or(u32::MAX).max(1);
        let parts = u32::try_from(parts).unwrap_or(u32::MAX).max(1);
        Self { shares: Semaphore::new(count as usize), count, first: (count / parts).max(1), share_bytes }
    }

    /// Bytes of all shares.
    pub fn bytes(&self) -> usize {
        self.bytes_of(self.count)
    }

    fn bytes_of(&self, shares: u32) -> usize {
        self.share_bytes.saturating_mul(shares as usize)
    }

    /// What the next part begins with, once it is free.
    pub async fn share(&self) -> Share<'_> {
        self.take(self.first).await
    }

    async fn take(&self, count: u32) -> Share<'_> {
        // Nobody closes the semaphore.
        Share { room: self, held: self.shares.acquire_many(count).await.ok(), count }
    }
}

impl<'a> Share<'a> {
    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.room.bytes_of(self.count)
    }

    /// Whether it is all there is, and nobody else is at work.
    pub fn is_all(&self) -> bool {
        self.count == self.room.count
    }

    /// How many shares it is made of: so many others could be at work.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Twice as much, or all there is, once others are done. Whoever asks holds nothing any more of what it had
    /// room for.
    pub async fn grown(self) -> Share<'a> {
        let (room, count) = (self.room, self.count);
        drop(self.held);
        room.take(count.saturating_mul(2).min(room.count)).await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_needs_more_waits_for_the_others_and_comes_before_those_after_it() {
        let room = Room::new(2, 10, 5);
        let (first, second) = (room.share().await, room.share().await);
        assert_eq!((first.bytes(), first.is_all()), (10, false));
        let mut all = Box::pin(first.grown());
        assert!(all.as_mut().now_or_never().is_none(), "the second is at work");
        let mut third = Box::pin(room.share());
        assert!(third.as_mut().now_or_never().is_none(), "it came later");
        drop(second);
        let all = all.await;
        assert_eq!((all.bytes(), all.is_all(), all.count()), (20, true, 2));
        assert!(third.as_mut().now_or_never().is_none());
        drop(all);
        assert_eq!(third.await.bytes(), 10);
    }

    #[tokio::test]
    async fn shares_grow_step_by_step() {
        let room = Room::new(5, 10, 9);
        let mut share = room.share().await;
        for bytes in [20, 40, 50, 50] {
            share = share.grown().await;
            assert_eq!((share.bytes(), share.is_all()), (bytes, bytes == 50));
        }
    }

    #[tokio::test]
    async fn few_parts_have_more_each() {
        for (shares, parts, bytes) in [(4, 1, 40), (4, 2, 20), (4, 3, 10), (4, 9, 10), (4, 0, 40), (0, 3, 10)]
        {
            assert_eq!(Room::new(shares, 10, parts).share().await.bytes(), bytes, "{shares} {parts}");
        }
    }
}
