//! What one caller may use: calls a second, calls at once, streams at once.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::HashMapStateStore,
};

use crate::server::settings::LimitsSection;

type Rate = RateLimiter<String, HashMapStateStore<String>, DefaultClock>;

/// Why a call is not taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMuch {
    /// Too many calls a second; one may be made after this time.
    Rate(Duration),
    /// Too many calls at once.
    InFlight,
    /// Too many streams at once.
    Streams,
}

/// The limits of all callers. Clones share them.
#[derive(Clone)]
pub(crate) struct Limits {
    rate: Arc<Rate>,
    clock: DefaultClock,
    calls: Counts,
    streams: Counts,
    all_streams: Counts,
}

/// Something counted that ends when this is dropped.
pub(crate) struct Held {
    counts: Counts,
    caller: String,
}

/// How many of something each caller has.
#[derive(Clone)]
struct Counts {
    most: usize,
    counts: Arc<Mutex<HashMap<String, usize>>>,
}

impl Limits {
    pub(crate) fn new(settings: &LimitsSection) -> Self {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(settings.calls_per_second))
            .allow_burst(at_least_one(settings.burst));
        Self {
            rate: Arc::new(RateLimiter::hashmap(quota)),
            clock: DefaultClock::default(),
            calls: Counts::new(settings.in_flight_per_caller),
            streams: Counts::new(settings.streams_per_caller),
            all_streams: Counts::new(settings.streams),
        }
    }

    /// Takes a call of `caller`, until what it returns is dropped.
    pub(crate) fn call(&self, caller: &str) -> Result<Held, TooMuch> {
        // Callers are agents of the store, so that there are few; without this, those that are
        // gone would be remembered for ever.
        if self.rate.len() > 10_000 {
            self.rate.retain_recent();
        }
        self.rate
            .check_key(&caller.to_owned())
            .map_err(|not_until| TooMuch::Rate(not_until.wait_time_from(self.clock.now())))?;
        self.calls.take(caller).ok_or(TooMuch::InFlight)
    }

    /// Takes a stream of `caller`, until what it returns is dropped.
    pub(crate) fn stream(&self, caller: &str) -> Result<[Held; 2], TooMuch> {
        let own = self.streams.take(caller).ok_or(TooMuch::Streams)?;
        let all = self.all_streams.take("").ok_or(TooMuch::Streams)?;
        Ok([own, all])
    }
}

impl Counts {
    fn new(most: usize) -> Self {
        Self {
            most,
            counts: Arc::default(),
        }
    }

    fn take(&self, caller: &str) -> Option<Held> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(caller.to_owned()).or_default();
        if *count == self.most {
            return None;
        }
        *count += 1;
        Some(Held {
            counts: self.clone(),
            caller: caller.to_owned(),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let counts = &self.counts.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(&LimitsSection {
            calls_per_second: 1,
            burst: 3,
            in_flight_per_caller: 2,
            streams_per_caller: 1,
            streams: 2,
            ..LimitsSection::default()
        })
    }

    #[test]
    fn one_callers_calls_do_not_use_up_anothers() {
        let limits = limits();
        let _held = [limits.call("ana").ok(), limits.call("ana").ok()];
        assert_eq!(limits.call("ana").err(), Some(TooMuch::InFlight));
        assert!(limits.call("ben").is_ok());
    }

    #[test]
    fn a_burst_is_taken_and_what_comes_after_it_is_told_when_to_come_back() {
        let limits = limits();
        for _ in 0..3 {
            drop(limits.call("ana").ok().unwrap());
        }
        let Err(TooMuch::Rate(wait)) = limits.call("ana") else {
            panic!("a fourth call was taken");
        };
        assert!(wait <= Duration::from_secs(1));
    }

    #[test]
    fn a_stream_that_ended_makes_room_for_another() {
        let limits = limits();
        let first = limits.stream("ana").ok().unwrap();
        assert_eq!(limits.stream("ana").err(), Some(TooMuch::Streams));
        drop(first);
        let _again = limits.stream("ana").ok().unwrap();
        let _other = limits.stream("ben").ok().unwrap();
        assert_eq!(limits.stream("cem").err(), Some(TooMuch::Streams));
    }
}
