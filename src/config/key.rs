//! One row of the table of keys: its name, what it takes, what it means, and where it goes.
//!
//! A row is built as it is read:
//! ```text
//! key("heartbeat", integer(0..=65535)).default("60").help("…").sets(|c, seconds| c.limits.heartbeat_s = seconds)
//! ```
//! A `$name` in the pattern stands for one segment of the key, which the setter gets. The sample
//! file, the names in the environment and the error texts all come from the rows.

use super::Config;
use super::value::Value;

type Apply = Box<dyn Fn(&mut Config, &str, &str) -> bool + Send + Sync>;

/// A key that means something here.
pub struct Key {
    /// Segments with dots between them; at most one of them is a placeholder.
    pub pattern: String,
    pub expected: String,
    pub help: &'static str,
    pub sample: Sample,
    /// The flag of the command line that sets it.
    pub flag: Option<Flag>,
    /// The value is not to be repeated in messages.
    pub secret: bool,
    /// Why the key does nothing yet, if it does nothing.
    pub unbuilt: Option<&'static str>,
    /// What Erlang calls it, with the application first, where it is not the same name below the application.
    pub terms: Vec<&'static str>,
    apply: Apply,
}

/// A flag of `warren server`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// With its dashes.
    pub name: &'static str,
    /// What stands for the value in the help.
    pub value: &'static str,
    /// It may be given several times.
    pub is_list: bool,
}

impl Flag {
    /// The variable of the environment that says the same.
    pub fn variable(&self) -> String {
        let word = self.name.trim_start_matches('-').replace('-', "_");
        format!("WARREN_{}", word.to_uppercase())
    }
}

/// What the sample file shows for a key.
///
/// A placeholder is the word before the value, as in `bob = administrator`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// What holds when the key is not set; several for a key with a placeholder.
    Default(Vec<&'static str>),
    /// Something that could be set; by default nothing is.
    Example(&'static str),
}

impl Key {
    /// Whether this row is about `key`; gives what the placeholder stands for (else nothing).
    pub fn matches(&self, key: &[String]) -> Option<String> {
        matches(&self.pattern, key)
    }

    /// Puts a value where it goes; `false` when it is not what is expected.
    pub fn apply(&self, config: &mut Config, placeholder: &str, value: &str) -> bool {
        (self.apply)(config, placeholder, value)
    }

    /// Whether it is what is expected.
    pub fn takes(&self, placeholder: &str, value: &str) -> bool {
        self.apply(&mut Config::default(), placeholder, value)
    }

    /// Puts what holds when the key is not set where it goes.
    pub fn apply_default(&self, config: &mut Config) {
        if let Sample::Default(_) = self.sample {
            for (placeholder, value) in self.samples() {
                let is_taken = self.apply(config, placeholder, value);
                assert!(is_taken, "the default of {} is none", self.pattern);
            }
        }
    }

    /// What the sample shows: for the placeholder (nothing if there is none), and the value.
    pub fn samples(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let samples = match &self.sample {
            Sample::Default(samples) => samples.as_slice(),
            Sample::Example(sample) => std::slice::from_ref(sample),
        };
        let has_placeholder = self.pattern.contains('$');
        samples.iter().map(move |sample| {
            let named = sample.split_once(" = ").filter(|_| has_placeholder);
            named.unwrap_or(("", sample))
        })
    }

    /// The variable of the environment for this key; keys with a placeholder have none.
    pub fn variable(&self) -> Option<String> {
        let plain = !self.pattern.contains('$');
        plain.then(|| format!("WARREN_{}", self.pattern.replace('.', "_").to_uppercase()))
    }
}

/// Begins a row.
pub fn key<T: 'static>(pattern: impl Into<String>, value: Value<T>) -> Draft<T> {
    Draft {
        pattern: pattern.into(),
        value,
        help: "",
        sample: Sample::Example(""),
        flag: None,
        unbuilt: None,
        terms: Vec::new(),
    }
}

/// A row that does not yet say where its value goes.
pub struct Draft<T> {
    pattern: String,
    value: Value<T>,
    help: &'static str,
    sample: Sample,
    flag: Option<Flag>,
    unbuilt: Option<&'static str>,
    terms: Vec<&'static str>,
}

impl<T: 'static> Draft<T> {
    /// The flag that sets it too, and what stands for the value in the help.
    pub fn flag(mut self, name: &'static str, value: &'static str) -> Self {
        let is_list = false;
        self.flag = Some(Flag { name, value, is_list });
        self
    }

    /// The same of a flag that may be given several times.
    pub fn flags(mut self, name: &'static str, value: &'static str) -> Self {
        let is_list = true;
        self.flag = Some(Flag { name, value, is_list });
        self
    }

    /// The key is read and does nothing until what it is for is built.
    pub fn unbuilt(mut self, reason: &'static str) -> Self {
        self.unbuilt = Some(reason);
        self
    }

    /// What Erlang calls it; placeholders as in the key.
    pub fn term(mut self, path: &'static str) -> Self {
        self.terms.push(path);
        self
    }

    /// What holds when the key is not set, as it would be written: the one place that says so.
    pub fn default(self, value: &'static str) -> Self {
        self.defaults(&[value])
    }

    /// The same of several values for a key with a placeholder: `name = value` each.
    pub fn defaults(mut self, values: &[&'static str]) -> Self {
        self.sample = Sample::Default(values.to_vec());
        self
    }

    /// A value to show in the sample, for a key that is not set by default. With a placeholder
    /// in the pattern: `name = value`.
    pub fn example(mut self, value: &'static str) -> Self {
        self.sample = Sample::Example(value);
        self
    }

    /// A sentence for the sample file.
    pub fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// Where the value goes.
    pub fn sets(self, set: impl Fn(&mut Config, T) + Send + Sync + 'static) -> Key {
        self.sets_named(move |config, _, value| set(config, value))
    }

    /// Where the value goes, by what the two placeholders stand for.
    pub fn sets_pair(self, set: impl Fn(&mut Config, (&str, &str), T) + Send + Sync + 'static) -> Key {
        self.sets_named(move |config, both, value| set(config, both.split_once(BETWEEN).unwrap_or((both, "")), value))
    }

    /// Where the value goes, by what the placeholder stands for.
    pub fn sets_named(self, set: impl Fn(&mut Config, &str, T) + Send + Sync + 'static) -> Key {
        let parse = self.value.parse;
        Key {
            pattern: self.pattern,
            expected: self.value.expected,
            help: self.help,
            sample: self.sample,
            flag: self.flag,
            secret: self.value.secret,
            unbuilt: self.unbuilt,
            terms: self.terms,
            apply: Box::new(move |config, placeholder, text| match parse(text) {
                Some(value) => {
                    set(config, placeholder, value);
                    true
                }
                None => false,
            }),
        }
    }
}

/// Between what two placeholders stand for: nothing that stands in a line.
pub const BETWEEN: char = '\n';

/// The segments of a key; a backslash keeps a dot within its segment.
pub fn segments(key: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut letters = key.chars();
    while let Some(letter) = letters.next() {
        match (letter, segments.last_mut()) {
            ('.', _) | (_, None) => segments.push(String::new()),
            ('\\', Some(segment)) => segment.extend(letters.next()),
            (letter, Some(segment)) => segment.push(letter),
        }
    }
    segments
}

/// Whether a key fits a pattern of segments, `$placeholders`, and a last `**` for whatever
/// follows; gives what the placeholders stand for, with [`BETWEEN`] between them.
pub fn matches(pattern: &str, key: &[String]) -> Option<String> {
    let mut rest = key.iter();
    let mut placeholder = String::new();
    for part in pattern.split('.') {
        let segment = rest.next().filter(|segment| !segment.is_empty())?;
        match part {
            "**" => return Some(placeholder),
            _ if part.starts_with('$') => {
                if !placeholder.is_empty() {
                    placeholder.push(BETWEEN);
                }
                placeholder.push_str(segment);
            }
            _ if part == segment => {}
            _ => return None,
        }
    }
    rest.next().is_none().then_some(placeholder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholder(pattern: &str, key: &str) -> Option<String> {
        matches(pattern, &segments(key))
    }

    #[test]
    fn patterns_match_segment_by_segment() {
        assert_eq!(placeholder("heartbeat", "heartbeat").as_deref(), Some(""));
        assert_eq!(placeholder("heartbeat", "heartbeats"), None);
        assert_eq!(
            placeholder("listeners.tcp.$name", "listeners.tcp.1").as_deref(),
            Some("1")
        );
        assert_eq!(placeholder("listeners.tcp.$name", "listeners.tcp"), None);
        assert_eq!(placeholder("listeners.tcp.$name", "listeners.tcp."), None);
        assert_eq!(placeholder("listeners.tcp.$name", "listeners.tcp.1.2"), None);
        assert_eq!(
            placeholder("default_users.$name.tags", r"default_users.a\.b.tags").as_deref(),
            Some("a.b")
        );
        assert!(placeholder("mqtt.**", "mqtt.listeners.tcp.default").is_some());
        assert!(placeholder("mqtt.**", "mqtt").is_none());
        assert_eq!(
            placeholder("providers.$name.keys.$id", r"providers.a.keys.b\.c").as_deref(),
            Some("a\nb.c")
        );
    }
}
