//! The end of a process, with real signals sent to a real child.
//!
//! The child is this test binary again, told by a variable which part to play.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tidegate_chassis::admin::AdminSettings;
use tidegate_chassis::exit::{Exit, Failure};
use tidegate_chassis::logs::LogSettings;
use tidegate_chassis::metrics::Catalogue;
use tidegate_chassis::process::{Parts, Process};
use tidegate_chassis::shutdown::{Shutdown, ShutdownSettings, run_to_completion};

const PART: &str = "CHASSIS_TEST_PART";
const PORT: &str = "CHASSIS_TEST_PORT";
const NEVER: Duration = Duration::from_secs(3600);

/// Not a test by itself: what the child does.
#[test]
fn the_child_plays_its_part() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let port = std::env::var(PORT).map_or(0, |port| port.parse().unwrap());
    let admin = AdminSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
    };
    let deadline = if part == "late" {
        Duration::from_millis(10)
    } else {
        NEVER
    };
    let started = Process::start(
        "child",
        &LogSettings::default(),
        &admin,
        &ShutdownSettings { deadline },
        &Catalogue::new(),
    );
    let exit = match started {
        Ok(process) => process.run(move |parts| play(&part, &parts)),
        Err(failure) => failure.print(),
    };
    std::process::exit(exit.code().into());
}

fn play(part: &str, parts: &Parts) -> Result<(), Failure> {
    eprintln!("playing");
    match part {
        "obedient" => parts.shutdown.wait(),
        "failing" => {
            parts.shutdown.wait();
            return Err(Failure::unavailable("no broker answers"));
        }
        "panicking" => panic!("a lane has no session"),
        _ => loop {
            std::thread::park();
        },
    }
    Ok(())
}

struct Played {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Played {
    fn start(part: &str) -> Self {
        let mut child = Self::command(part).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    fn command(part: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "the_child_plays_its_part", "--nocapture"])
            .env(PART, part)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Reads the log up to a line with `text` in it.
    fn until(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            let read = self.log.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the log ended without {text}");
        }
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The exit code and the rest of the log.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

#[test]
fn sigterm_lets_the_work_finish_and_ends_cleanly() {
    let mut child = Played::start("obedient");
    child.until("playing");
    child.signal("TERM");
    let (code, log) = child.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains(r#""message":"shutdown requested","reason":"SIGTERM""#),
        "{log}"
    );
    assert!(
        log.contains(r#""message":"ended: clean","reason":"SIGTERM""#),
        "{log}"
    );
}

#[test]
fn work_that_does_not_finish_by_the_deadline_is_left_and_the_log_says_so() {
    let mut child = Played::start("late");
    child.until("playing");
    child.signal("INT");
    let (code, log) = child.end();
    assert_eq!(code, Some(70), "{log}");
    assert!(
        log.contains("ended: deadline passed with work unfinished"),
        "{log}"
    );
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let mut child = Played::start("stuck");
    child.until("playing");
    child.signal("TERM");
    child.until("shutdown requested");
    child.signal("INT");
    let (code, log) = child.end();
    assert_eq!(code, Some(130), "{log}");
    assert!(log.contains("second signal: ending at once"), "{log}");
}

#[test]
fn work_that_fails_gives_its_own_exit_code() {
    let mut child = Played::start("failing");
    child.until("playing");
    child.signal("TERM");
    let (code, log) = child.end();
    assert_eq!(code, Some(69), "{log}");
    assert!(
        log.contains(r#""message":"ended: failed","error":"no broker answers""#),
        "{log}"
    );
}

#[test]
fn work_that_panics_is_logged_with_its_place_and_ends_the_process() {
    let (code, log) = Played::start("panicking").end();
    assert_eq!(code, Some(70), "{log}");
    assert!(log.contains(r#""message":"panic","location":"#), "{log}");
    assert!(log.contains("a lane has no session"), "{log}");
    assert!(log.contains("ended: panicked"), "{log}");
}

#[test]
fn a_taken_admin_port_is_the_first_failure_and_the_only_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut command = Played::command("obedient");
    let output = command
        .env(PORT, address.port().to_string())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("error: admin address {address} is in use: choose another with admin.listen\n")
    );
}

#[test]
fn work_that_ends_by_itself_needs_no_signal() {
    assert_eq!(
        run_to_completion(&Shutdown::new(), NEVER, || Ok(())),
        Exit::Clean
    );
}

#[test]
fn plain_threads_and_tasks_both_hear_the_request_and_its_first_reason_stays() {
    let shutdown = Shutdown::new();
    assert!(!shutdown.is_requested());
    assert!(!shutdown.wait_for(Duration::ZERO));
    let (heard, hears) = mpsc::channel();
    let threads: Vec<_> = [0, 1]
        .map(|kind| {
            let (shutdown, heard) = (shutdown.clone(), heard.clone());
            std::thread::spawn(move || {
                if kind == 0 {
                    shutdown.wait();
                } else {
                    let runtime = tokio::runtime::Builder::new_current_thread().build();
                    runtime.unwrap().block_on(shutdown.requested());
                }
                heard.send(kind).unwrap();
            })
        })
        .into_iter()
        .collect();
    shutdown.request("first");
    shutdown.request("second");
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(hears.try_iter().count(), 2);
    assert_eq!(shutdown.reason(), Some("first"));
}
