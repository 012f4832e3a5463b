//! The command line tools of RabbitMQ's that this program takes the place of, by the name that it is
//! called by.

/// One of them. `warren ctl` is none: it has the commands of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Ctl,
    Diagnostics,
    Queues,
    Plugins,
    Streams,
    Upgrade,
}

impl Tool {
    /// All, with the names of the programs.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Ctl, "rabbitmqctl"),
        (Self::Diagnostics, "rabbitmq-diagnostics"),
        (Self::Queues, "rabbitmq-queues"),
        (Self::Plugins, "rabbitmq-plugins"),
        (Self::Streams, "rabbitmq-streams"),
        (Self::Upgrade, "rabbitmq-upgrade"),
    ];
    /// Each of them.
    pub const EACH: &'static [Self] = &[
        Self::Ctl,
        Self::Diagnostics,
        Self::Queues,
        Self::Plugins,
        Self::Streams,
        Self::Upgrade,
    ];

    /// The tool that a program's name, or the path to it, stands for.
    pub fn of(program: &str) -> Option<Self> {
        let name = program.rsplit('/').next().unwrap_or_default();
        let mut all = Self::ALL.into_iter();
        all.find(|(_, own)| *own == name).map(|(tool, _)| tool)
    }

    /// The name of the program.
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(own, _)| *own == self).map_or("", |(_, name)| name)
    }
}

/// The name of a program that is RabbitMQ's and that Warren has nothing in the place of, such as
/// `rabbitmqadmin`. Only `rabbitmq-server` runs a node.
pub fn foreign(program: &str) -> Option<&str> {
    let name = program.rsplit('/').next().unwrap_or_default();
    let is_ours = name == "rabbitmq-server" || Tool::of(name).is_some();
    (name.starts_with("rabbitmq") && !is_ours).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_a_tool_by_its_name() {
        assert_eq!(Tool::of("/usr/sbin/rabbitmqctl"), Some(Tool::Ctl));
        assert_eq!(Tool::of("rabbitmq-queues"), Some(Tool::Queues));
        assert_eq!(Tool::of("/usr/bin/warren"), None);
        for (tool, name) in Tool::ALL {
            assert_eq!((Tool::of(name), tool.name()), (Some(tool), name));
            assert!(Tool::EACH.contains(&tool));
        }
    }

    #[test]
    fn only_one_name_of_rabbitmqs_runs_a_node() {
        for ours in ["warren", "/usr/sbin/rabbitmq-server", "rabbitmqctl", "rabbitmq-upgrade"] {
            assert_eq!(foreign(ours), None, "{ours}");
        }
        for foreign_name in ["/usr/local/bin/rabbitmqadmin", "rabbitmq-collect-env", "rabbitmq-tool"] {
            assert!(foreign(foreign_name).is_some(), "{foreign_name}");
        }
    }
}
