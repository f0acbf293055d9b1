//! What the process has in memory, which is what it uses and what its allocator keeps for later.

use std::convert::Infallible;
use std::time::Duration;

/// How often to look.
const PERIOD: Duration = Duration::from_millis(100);

/// What a process may grow by, as a part of its budget, before it is looked after again.
const GROWTH_SHARE: u64 = 8;

/// Keeps the process near its budget: where it has more, the allocator is told to give back what nobody
/// uses. glibc keeps what threads free for these threads; what was freed by one is of no use to another.
///
/// Never ends: spawn it beside the work. Does nothing where the allocator is another one.
pub async fn keep_within(budget_bytes: u64) -> Infallible {
    let mut bearable_bytes = budget_bytes;
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(mut bytes) = resident_bytes() else { continue };
        if bytes > bearable_bytes {
            // A panic cannot come from there, and an abort ends this as well.
            let _ = tokio::task::spawn_blocking(give_back).await;
            bytes = resident_bytes().unwrap_or(bytes);
            bearable_bytes = u64::MAX;
        }
        // Where it is in use there is nothing to give back: not before it has grown.
        bearable_bytes = bearable_bytes.min(bytes + budget_bytes / GROWTH_SHARE).max(budget_bytes);
    }
}

/// Bytes of this process that are in memory; `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    let status = super::read("/proc/self/status")?;
    let kib: u64 = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    Some(kib * 1024)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "it is a function of the system's library")]
fn give_back() {
    // SAFETY: it takes a number and may be called at any time from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_resident() {
        let page = std::hint::black_box(vec![1_u8; 32 << 20]);
        assert!(resident_bytes().is_none_or(|bytes| bytes >= page.len() as u64));
    }
}
