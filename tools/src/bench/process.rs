//! Memory and CPU time of running processes, as the system counts them.

use std::fs;
use std::io;

use rustix::param::clock_ticks_per_second;
use rustix::process::Pid;

/// Forgets the peak of a process's memory so far.
pub fn forget_peak(process: Pid) -> io::Result<()> {
    fs::write(format!("/proc/{}/clear_refs", process.as_raw_nonzero()), "5")
}

/// The most memory that a process had since its peak was forgotten, in bytes.
pub fn peak_bytes(process: Pid) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    let bytes = kilobytes.and_then(|text| text.trim().parse::<u64>().ok()).map(|kilobytes| kilobytes * 1024);
    bytes.ok_or_else(|| io::Error::other("the system does not tell the peak of a process's memory"))
}

/// The CPU time of all threads of a process so far.
pub fn cpu_seconds(process: Pid) -> io::Result<f64> {
    let stat = fields(process)?;
    let ticks = |field: usize| stat.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Ok((ticks(UTIME) + ticks(STIME)) as f64 / clock_ticks_per_second() as f64)
}

/// The running processes of a group.
pub fn group(leader: Pid) -> io::Result<Vec<Pid>> {
    let wanted = leader.as_raw_nonzero().to_string();
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let process = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        // Processes may end meanwhile.
        if let Some(process) = process
            && fields(process).is_ok_and(|stat| stat.get(PGRP) == Some(&wanted))
        {
            processes.push(process);
        }
    }
    Ok(processes)
}

/// Where fields of `/proc/PID/stat` stand behind the name of the program.
const PGRP: usize = 2;
const UTIME: usize = 11;
const STIME: usize = 12;

fn fields(process: Pid) -> io::Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()))?;
    let (_, behind_name) = stat.rsplit_once(')').ok_or_else(|| io::Error::other("a stat without a name"))?;
    Ok(behind_name.split_whitespace().map(str::to_owned).collect())
}
