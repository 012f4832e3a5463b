//! Which time a query asks for.

use super::answer::Failure;
use super::query::Query;
use crate::statistics::{Window, Windows};

/// Which time is asked for, for each kind of number.
///
/// # Errors
/// When that would be too many points.
pub fn windows(query: &Query, now: u64) -> Result<Windows, Failure> {
    let window = |prefix: &str| {
        let number = |name: &str| query.get(&format!("{prefix}_{name}"))?.parse::<i64>().ok();
        let Some((age, step)) = number("age").zip(number("incr")) else {
            return Ok(None);
        };
        let sound = u64::try_from(age).ok().zip(u64::try_from(step).ok());
        let window = sound.and_then(|(age, step)| Window::of(now, age, step));
        window.map(Some).ok_or_else(|| Failure::BadPage {
            error: "invalid_range_parameters",
            reason: format!("Invalid range parameters: age {age}, incr {step}"),
        })
    };
    Ok(Windows {
        lengths: window("lengths")?,
        messages: window("msg_rates")?,
        data: window("data_rates")?,
        node: window("node_stats")?,
    })
}

/// The window that `trend=` asks for, in seconds.
pub fn trend(query: &Query, now: u64) -> Option<Window> {
    let age = query.get("trend")?.parse().ok()?;
    Some(Window::covering(now, age, 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_needs_a_step_and_not_too_many() {
        let asked = |text: &str| windows(&Query::of(&format!("/?{text}").parse().expect("a URL")), 1000);
        assert_eq!(asked("lengths_age=60"), Ok(Windows::default()));
        assert_eq!(asked("lengths_age=x&lengths_incr=5"), Ok(Windows::default()));
        let windows = asked("lengths_age=60&lengths_incr=5&node_stats_age=10&node_stats_incr=1").expect("sound");
        assert_eq!((windows.lengths, windows.messages), (Window::of(1000, 60, 5), None));
        for unsound in [
            "age=6000&msg_rates_incr=1",
            "age=0&msg_rates_incr=5",
            "age=-60&msg_rates_incr=5",
        ] {
            assert!(asked(&format!("msg_rates_{unsound}")).is_err(), "{unsound}");
        }
    }
}
