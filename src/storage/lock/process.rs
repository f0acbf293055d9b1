//! Whether the process that wrote a lock file is surely gone.

use std::fmt;

/// A process, named so that no other one of any time and machine has the same name.
///
/// The boot id changes with every start of a kernel, and a kernel gives no two living pid
/// namespaces the same number. So where boot and namespace are ours, the pid means to us what
/// it meant to the writer, and the start time tells a process from a later one with its pid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    host: String,
    boot: String,
    pid_namespace: String,
    pid: u32,
    /// In ticks since the boot.
    started: u64,
}

impl Process {
    /// This process; `None` where the system does not tell all of it.
    pub(super) fn current() -> Option<Self> {
        let pid = std::process::id();
        Some(Self {
            host: read_word("/proc/sys/kernel/hostname")?,
            boot: read_word("/proc/sys/kernel/random/boot_id")?,
            pid_namespace: std::fs::read_link("/proc/self/ns/pid").ok()?.to_str()?.to_owned(),
            pid,
            started: stat(pid)?.started,
        })
    }

    /// Whether this process is surely gone. Asked on the same machine, by `observer`.
    ///
    /// `false` is no proof of life: of another machine, or of another container, nothing is known.
    pub(super) fn is_gone(&self, observer: &Self) -> bool {
        if self.boot != observer.boot || self.pid_namespace != observer.pid_namespace {
            return false;
        }
        match stat(self.pid) {
            Some(found) => found.started != self.started || found.is_dead,
            None => !exists(self.pid),
        }
    }

    /// Reads what [`fmt::Display`] wrote, with other words around it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let word = |key: &str| text.split(' ').find_map(|word| word.strip_prefix(key));
        Some(Self {
            host: word("host=")?.to_owned(),
            boot: word("boot=")?.to_owned(),
            pid_namespace: word("pidns=")?.to_owned(),
            pid: word("pid=")?.parse().ok()?,
            started: word("started=")?.parse().ok()?,
        })
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, boot, pid_namespace, pid, started } = self;
        write!(f, "host={host} pid={pid} started={started} boot={boot} pidns={pid_namespace}")
    }
}

struct Stat {
    started: u64,
    is_dead: bool,
}

/// What `/proc` says of a process; `None` if it is gone or hidden from us.
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some(Stat { started, is_dead: matches!(state, "Z" | "X" | "x") })
}

/// Whether a process has this pid; asked by a signal, since `/proc` can hide the processes of
/// others.
#[cfg(target_os = "linux")]
fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_none_or(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(target_os = "linux"))]
fn exists(_pid: u32) -> bool {
    true
}

fn read_word(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().replace(' ', "_")).filter(|word| !word.is_empty())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn this_process_lives_and_its_name_round_trips() {
        let process = Process::current().unwrap();
        assert!(!process.is_gone(&process));
        assert_eq!(Process::parse(&format!("lakebed owner=x {process}")), Some(process));
        assert_eq!(Process::parse("main"), None);
    }

    #[test]
    fn a_child_lives_until_it_has_ended_and_is_gone_then() {
        let observer = Process::current().unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let named =
            Process { pid: child.id(), started: stat(child.id()).unwrap().started, ..observer.clone() };
        assert!(!named.is_gone(&observer));
        child.kill().unwrap();
        while !stat(child.id()).unwrap().is_dead {
            std::thread::yield_now();
        }
        assert!(named.is_gone(&observer), "a dead process that nobody has waited for yet");
        child.wait().unwrap();
        assert!(named.is_gone(&observer));
    }

    #[test]
    fn a_later_process_with_the_same_pid_is_another_one() {
        let observer = Process::current().unwrap();
        let earlier = Process { started: observer.started - 1, ..observer.clone() };
        assert!(earlier.is_gone(&observer));
    }

    #[test]
    fn of_other_machines_and_containers_nothing_is_known() {
        let observer = Process::current().unwrap();
        let dead = Process { pid: 4_194_303, ..observer.clone() };
        assert!(dead.is_gone(&observer));
        assert!(!Process { boot: "another".into(), ..dead.clone() }.is_gone(&observer));
        assert!(!Process { pid_namespace: "pid:[1]".into(), ..dead }.is_gone(&observer));
    }
}
