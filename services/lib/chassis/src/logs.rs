//! Logs to stderr: readable lines on a terminal, JSON elsewhere.
//!
//! Levels say what an operator must do: ERROR, data is at risk or a person is needed; WARN,
//! something failed and was recovered; INFO, a change of state (start, ready, assignment, end);
//! DEBUG, detail whose amount does not grow with the number of events; TRACE, per batch.

use std::any::Any;
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::settings::{Mistakes, Validate};

/// The section `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSettings {
    /// `auto` is `text` on a terminal and `json` elsewhere.
    pub format: LogFormat,
    /// Which lines are written, such as `info` or `info,tidegate_kafka=debug`.
    pub filter: String,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            filter: "info".to_owned(),
        }
    }
}

impl Validate for LogSettings {
    fn validate(&self, mistakes: &mut Mistakes) {
        if let Err(error) = filter(self) {
            mistakes.add("filter", format!("is not a log filter: {error}"));
        }
    }
}

/// Why there can be no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("log.filter is not a log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something in this process set up logging before.
    #[error("logs are already set up in this process: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging for the whole process, and logs panics from here on. Call it once, early.
///
/// # Errors
/// The filter is wrong, or logging was set up before.
pub fn init(settings: &LogSettings) -> Result<(), LogError> {
    let terminal = io::stderr().is_terminal();
    let layer = layer(settings.format, terminal, io::stderr);
    tracing_subscriber::registry()
        .with(layer.with_filter(filter(settings)?))
        .try_init()?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// A subscriber that writes as [`init`] would, but to `writer`, for tests.
///
/// # Errors
/// The filter is wrong.
pub fn subscriber<W>(
    settings: &LogSettings,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = layer(settings.format, false, writer).with_filter(filter(settings)?);
    Ok(tracing_subscriber::registry().with(layer))
}

fn filter(settings: &LogSettings) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(&settings.filter)
}

fn layer<W>(format: LogFormat, terminal: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_thread_names(true);
    if json {
        // One flat object: what a collector indexes without a rule of its own.
        lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed()
    } else {
        lines.with_ansi(terminal).boxed()
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    let thread = std::thread::current();
    let backtrace = std::backtrace::Backtrace::capture();
    tracing::error!(
        location = place.as_deref().unwrap_or("unknown"),
        thread = thread.name().unwrap_or("unnamed"),
        reason = panic_reason(info.payload(), cfg!(debug_assertions)),
        backtrace = (backtrace.status() == std::backtrace::BacktraceStatus::Captured)
            .then(|| tracing::field::display(&backtrace)),
        "panic"
    );
}

/// What a panic said. A message that was put together at run time may hold a user's text (slicing a
/// string prints it), so that it is shown in debug builds only.
fn panic_reason(payload: &dyn Any, show_all: bool) -> &str {
    if let Some(fixed) = payload.downcast_ref::<&'static str>() {
        fixed
    } else {
        match payload.downcast_ref::<String>() {
            Some(text) if show_all => text,
            _ => "not shown: it may hold a user's text (see location and RUST_BACKTRACE=1)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines_of(settings: &LogSettings, act: impl FnOnce()) -> Vec<String> {
        let sink = Sink::default();
        let copy = sink.clone();
        let subscriber = subscriber(settings, move || copy.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        let bytes = sink.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn json() -> LogSettings {
        LogSettings {
            format: LogFormat::Json,
            ..LogSettings::default()
        }
    }

    #[test]
    fn a_json_line_is_one_flat_object_with_time_level_target_message_and_fields() {
        let lines = lines_of(&json(), || {
            let span = tracing::info_span!("lane", lane = 3);
            span.in_scope(|| tracing::warn!(records = 12, "batch was aborted"));
        });
        assert_eq!(lines.len(), 1);
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "batch was aborted");
        assert_eq!(line["records"], 12);
        assert_eq!(line["span"]["name"], "lane");
        assert_eq!(line["span"]["lane"], 3);
        assert_eq!(line["target"], "tidegate_chassis::logs::tests");
        let time = line["timestamp"].as_str().unwrap();
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
    }

    #[test]
    fn a_text_line_off_a_terminal_has_no_colour_codes() {
        let settings = LogSettings {
            format: LogFormat::Text,
            ..LogSettings::default()
        };
        let lines = lines_of(&settings, || tracing::info!(port = 9000, "listening"));
        assert!(lines[0].contains("INFO"), "{}", lines[0]);
        assert!(lines[0].ends_with("listening port=9000"), "{}", lines[0]);
        assert!(!lines[0].contains('\x1b'));
    }

    #[test]
    fn the_filter_decides_per_target_what_is_written() {
        let settings = LogSettings {
            filter: "warn,wanted=debug".to_owned(),
            ..json()
        };
        let lines = lines_of(&settings, || {
            tracing::info!(target: "other", "no");
            tracing::debug!(target: "wanted", "yes");
        });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("yes"));
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_a_mistake_in_the_settings() {
        let settings = LogSettings {
            filter: "loud=very".to_owned(),
            ..json()
        };
        let mut mistakes = Mistakes::default();
        settings.validate(&mut mistakes);
        assert!(!mistakes.is_empty());
    }

    #[test]
    fn a_panic_message_that_was_put_together_at_run_time_is_not_logged() {
        let formatted: Box<dyn Any> = Box::new("inside of `my address is …`".to_owned());
        assert!(panic_reason(formatted.as_ref(), false).starts_with("not shown"));
        let fixed: Box<dyn Any> = Box::new("a lane has no session");
        assert_eq!(panic_reason(fixed.as_ref(), false), "a lane has no session");
    }
}
