//! CPU time and memory of a process, as Linux reports them; elsewhere nothing is reported.

use std::{fs, path::Path, time::Duration};

/// CPU time that a process used, all threads and both modes; `None` where it can't be read.
#[must_use]
pub(super) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, which may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // USER_HZ is 100 on every Linux that this runs on.
    Some(Duration::from_millis(ticks * 10))
}

/// CPU time that all cores together spent at work and in all, since the machine was started; `None`
/// where it can't be read.
#[must_use]
pub(super) fn machine_time() -> Option<[Duration; 2]> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let first = stat.lines().next()?.strip_prefix("cpu ")?;
    // User, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user already.
    let ticks: Vec<u64> = first
        .split_ascii_whitespace()
        .take(8)
        .map_while(|field| field.parse().ok())
        .collect();
    let (all, idle) = (ticks.iter().sum::<u64>(), ticks.get(3)? + ticks.get(4)?);
    Some([all - idle, all].map(|ticks| Duration::from_millis(ticks * 10)))
}

/// Resident memory of a process in bytes; `None` where it can't be read.
#[must_use]
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(
        line.trim()
            .trim_end_matches(" kB")
            .trim()
            .parse::<u64>()
            .ok()?
            * 1024,
    )
}

/// CPU time of the thread that asks; elsewhere than on Unix its wall time since some moment.
#[must_use]
pub(super) fn thread_cpu_time() -> Duration {
    #[cfg(unix)]
    {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the pointer is to a `timespec` of this function's own.
        let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        if answer == 0 {
            let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
            return Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default());
        }
    }
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
}

/// The process that listens on a TCP port of this machine; `None` where there is none, or it may
/// not be looked at.
#[must_use]
pub(super) fn listener(port: u16) -> Option<u32> {
    const LISTENS: &str = "0A";
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|table| {
            let listening = table.lines().filter_map(|line| {
                let fields: Vec<&str> = line.split_ascii_whitespace().collect();
                let at = fields.get(1)?.rsplit_once(':')?.1;
                let here = u16::from_str_radix(at, 16).ok()? == port;
                (here && fields.get(3) == Some(&LISTENS))
                    .then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
            });
            listening.collect::<Vec<_>>()
        })
        .collect();
    let holds = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| sockets.iter().any(|socket| target == Path::new(socket)))
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .find(holds)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_on_a_port_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(listener(port), Some(std::process::id()));
        drop(socket);
        assert_eq!(listener(port), None);
    }

    #[test]
    fn a_thread_that_sleeps_uses_no_cpu() {
        let before = thread_cpu_time();
        std::thread::sleep(Duration::from_millis(50));
        assert!(thread_cpu_time() - before < Duration::from_millis(40));
    }

    #[test]
    fn this_process_uses_memory_and_cpu() {
        let before = cpu_time(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while cpu_time(std::process::id()).unwrap() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(resident_bytes(std::process::id()).unwrap() > 1 << 20);
    }

    #[test]
    fn the_machine_worked_for_at_least_as_long_as_this_process() {
        let [busy, all] = machine_time().unwrap();
        assert!(busy >= cpu_time(std::process::id()).unwrap() && all >= busy);
    }

    #[test]
    fn a_process_that_is_not_there_has_no_figures() {
        assert_eq!(cpu_time(u32::MAX), None);
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
