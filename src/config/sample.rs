//! `docs/rabbitmq.conf.sample`, written from the table of keys.

use super::key::{BETWEEN, Key, Sample};
use super::keys::TABLE;

/// The sample file: every key with what it does, what it takes, and its default, commented out.
pub fn text() -> String {
    let mut text = String::from(HEAD);
    for part in TABLE.iter() {
        text.push_str(&format!("\n## ---- {} ----\n", part.title));
        for key in &part.keys {
            text.push('\n');
            for line in [key.help, &format!("Takes {}.", key.expected)] {
                text.push_str(&format!("## {line}\n"));
            }
            if let Some(flag) = &key.flag {
                text.push_str(&format!("## Also {}.\n", flag.name));
            }
            if key.sample_is_example() {
                text.push_str("## Not set by default. Example:\n");
            }
            for line in lines(key) {
                text.push_str(&format!("# {line}\n"));
            }
        }
    }
    text
}

/// The key and its default or example values as lines of a configuration file.
pub fn lines(key: &Key) -> impl Iterator<Item = String> {
    key.samples().map(|(placeholder, value)| {
        let mut placeholders = placeholder.split(BETWEEN);
        let mut named = |part| match str::starts_with(part, '$') {
            true => placeholders.next().unwrap_or_default(),
            false => part,
        };
        let name: Vec<_> = key.pattern.split('.').map(&mut named).collect();
        format!("{} = {value}", name.join("."))
    })
}

impl Key {
    fn sample_is_example(&self) -> bool {
        matches!(self.sample, Sample::Example(_))
    }
}

const HEAD: &str = "\
## Every key of rabbitmq.conf that means something to Warren, with its default.
##
## Each can also be set in the environment: heartbeat is WARREN_HEARTBEAT, log.console.level is
## WARREN_LOG_CONSOLE_LEVEL. The command line comes over the environment, the environment over this
## file. Other keys of RabbitMQ's are accepted with a warning; unknown ones are refused.
##
## A value ends at '#' unless it stands in single quotes; $(NAME) is the environment variable NAME.
## Sizes take units (512MiB, 2GB), times are milliseconds or take units (30s, 5m, 1h).
";
