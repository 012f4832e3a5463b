//! A page of metrics, read as strictly as a scraper may read it.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Answer, Broker};

/// The samples of a page by what stands before their value, and the types of metrics.
pub struct Scraped {
    pub text: String,
    pub samples: BTreeMap<String, f64>,
    pub types: BTreeMap<String, String>,
}

impl Scraped {
    /// Scrapes a page.
    #[track_caller]
    pub fn of(broker: &Broker, path: &str) -> Self {
        Self::read(broker.metrics().get(path).expect_status(200))
    }

    /// Reads a page; each metric has a type and help before its samples, and no sample comes twice.
    #[track_caller]
    fn read(answer: &Answer) -> Self {
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
        let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
        let mut current = String::new();
        for line in answer.body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                assert!(help.split_once(' ').is_some_and(|(_, text)| !text.is_empty()), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and a type");
                assert!(["counter", "gauge", "histogram", "untyped"].contains(&kind), "{line}");
                assert!((kind == "counter") == name.ends_with("_total"), "{line}");
                assert_eq!(types.insert(name.to_owned(), kind.to_owned()), None, "twice: {line}");
                current = name.to_owned();
            } else {
                let (what, value) = line.rsplit_once(' ').expect("a sample and its value");
                let name = what.split('{').next().expect("at least nothing");
                let is_of_histogram = types.get(&current).is_some_and(|kind| kind == "histogram");
                let rest = name.strip_prefix(current.as_str()).filter(|_| is_of_histogram);
                let is_below = rest.map_or(name == current, |rest| ["_bucket", "_sum", "_count"].contains(&rest));
                assert!(is_below, "a sample stands below its type: {line}");
                let value = value.parse().expect("a number");
                assert_eq!(samples.insert(what.to_owned(), value), None, "twice: {line}");
            }
        }
        let text = answer.body.clone();
        Self { text, samples, types }
    }

    /// A sample that must be there.
    #[track_caller]
    pub fn value(&self, what: &str) -> f64 {
        let value = self.samples.get(what).copied();
        value.unwrap_or_else(|| panic!("no {what} in\n{}", self.text))
    }

    /// Whether Prometheus' own tool reads it without an error; `None` where the tool is not installed. What
    /// it says of names that RabbitMQ has given is not listened to.
    pub fn checked_by_promtool(&self) -> Option<Result<(), String>> {
        let mut tool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut input = tool.stdin.take().expect("piped");
        input.write_all(self.text.as_bytes()).expect("it reads");
        drop(input);
        let output = tool.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // 3 is a name that the tool would have chosen otherwise.
        let is_read = matches!(output.status.code(), Some(0 | 3));
        Some(if is_read { Ok(()) } else { Err(said) })
    }
}
