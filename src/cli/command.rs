//! A command of `warren ctl` as the table has it, and what its handler reads and says.

use std::cell::OnceCell;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::column::Column;
use super::failed::{Failed, exit, no_vhost};
use super::options::Options;
pub use super::tool::Tool;
use super::unreachable::Unreachable;

/// How the node's answer begins when its broker would have to run, or to be stopped.
pub const MISPLACED: &str = "this command requires";

/// One row of the table of commands.
pub struct Command {
    pub name: &'static str,
    /// The tools of RabbitMQ's that have it; `warren ctl` has all.
    pub tools: &'static [Tool],
    pub group: Group,
    /// What stands behind the name in the usage.
    pub usage: &'static str,
    pub help: &'static str,
    /// How many arguments it takes.
    pub arguments: RangeInclusive<usize>,
    /// Its own options, without the dashes.
    pub options: &'static [&'static str],
    /// Where arguments are columns: which there are.
    pub columns: &'static [Column],
    /// What is said before it is begun; empty for nothing.
    pub banner: fn(&Call) -> String,
    pub run: fn(&Call) -> Result<Output, Failed>,
}

impl Command {
    /// What goes without saying in a row.
    pub const ROW: Self = Self {
        name: "",
        tools: &[],
        group: Group::Other,
        usage: "",
        help: "",
        arguments: 0..=0,
        options: &[],
        columns: &[],
        banner: |_| String::new(),
        run: |_| Ok(Output::Nothing),
    };
}

/// Where a command stands in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Help,
    Nodes,
    Cluster,
    Replication,
    Users,
    AccessControl,
    Monitoring,
    Parameters,
    Policies,
    VirtualHosts,
    Queues,
    Operations,
    FeatureFlags,
    Configuration,
    Definitions,
    /// Of `rabbitmq-plugins` alone: their names say nothing elsewhere.
    Plugins,
    Streams,
    Upgrade,
    Other,
    Deprecated,
}

impl Group {
    /// All, in the order of the help, with their titles.
    pub const ALL: [(Self, &'static str); 20] = [
        (Self::Help, "Help"),
        (Self::Nodes, "Nodes"),
        (Self::Cluster, "Cluster"),
        (Self::Replication, "Replication"),
        (Self::Users, "Users"),
        (Self::AccessControl, "Access Control"),
        (Self::Monitoring, "Monitoring, observability and health checks"),
        (Self::Parameters, "Parameters"),
        (Self::Policies, "Policies"),
        (Self::VirtualHosts, "Virtual hosts"),
        (Self::Queues, "Queues"),
        (Self::Operations, "Operations"),
        (Self::FeatureFlags, "Feature flags"),
        (Self::Configuration, "Configuration and Environment"),
        (Self::Definitions, "Definitions"),
        (Self::Plugins, "Plugin Management"),
        (Self::Streams, "Stream plugin"),
        (Self::Upgrade, "Upgrade"),
        (Self::Other, "Other"),
        (Self::Deprecated, "Deprecated"),
    ];
}

/// All commands, by noun.
pub struct Table(pub &'static [&'static [Command]]);

impl Table {
    /// All commands.
    pub fn all(&self) -> impl Iterator<Item = &'static Command> {
        self.0.iter().copied().flatten()
    }

    /// The commands of a tool.
    pub fn of(&self, program: &str) -> impl Iterator<Item = &'static Command> {
        let tool = Tool::of(program);
        self.all().filter(move |command| match tool {
            Some(tool) => command.tools.contains(&tool),
            None => command.group != Group::Plugins,
        })
    }

    /// The command of that name.
    pub fn find(&self, program: &str, name: &str) -> Option<&'static Command> {
        self.of(program).find(|command| command.name == name)
    }
}

/// One call of a command.
pub struct Call {
    pub program: String,
    pub commands: &'static Table,
    pub options: Options,
    pub client: Client,
    /// The node's name as it is configured here.
    pub(super) configured_node: String,
    pub(super) node: OnceCell<String>,
}

impl Call {
    /// An argument behind the command's name. The table says how many there are.
    pub fn argument(&self, at: usize) -> &str {
        self.arguments().get(at).map_or("", String::as_str)
    }

    /// All arguments.
    pub fn arguments(&self) -> &[String] {
        self.options.words.get(1..).unwrap_or_default()
    }

    /// The node's name: as the caller says, else as the node itself says, else as it is configured
    /// here.
    pub fn node(&self) -> &str {
        self.node.get_or_init(|| match &self.options.node {
            Some(name) if !name.contains("://") => name.clone(),
            _ => self.named_by_itself().unwrap_or_else(|| self.configured_node.clone()),
        })
    }

    fn named_by_itself(&self) -> Option<String> {
        let (path, field) = match self.client.is_remote() {
            true => (["overview"].as_slice(), "node"),
            false => (["local", "name"].as_slice(), "name"),
        };
        let told = self.client.ask("GET", path, None).ok()?.json();
        told[field].as_str().map(str::to_owned)
    }

    /// The vhost that is meant.
    pub fn vhost(&self) -> &str {
        self.options.vhost.as_deref().unwrap_or("/")
    }

    /// The same command for a vhost.
    pub fn in_vhost(&self, vhost: &str) -> Self {
        Self {
            commands: self.commands,
            program: self.program.clone(),
            options: Options {
                vhost: Some(vhost.to_owned()),
                ..self.options.clone()
            },
            client: self.client.clone(),
            configured_node: self.configured_node.clone(),
            node: self.node.clone(),
        }
    }

    /// Asks the node and takes any answer.
    ///
    /// # Errors
    /// When the node cannot be asked, or its broker is stopped.
    pub fn ask(&self, verb: &str, path: &[&str], body: Option<&Value>) -> Result<Answer, Failed> {
        self.answered(self.client.ask(verb, path, body))
    }

    /// The same of a node whose broker may be stopped.
    ///
    /// # Errors
    /// When the node cannot be asked.
    pub fn ask_any(&self, path: &[&str]) -> Result<Answer, Failed> {
        let answer = self.client.ask("GET", path, None);
        answer.map_err(|error| self.unreachable(&error))
    }

    /// What the node answered, if its broker runs.
    ///
    /// # Errors
    /// When it does not, or the node could not be asked.
    pub fn answered(&self, answer: Result<Answer, Unreachable>) -> Result<Answer, Failed> {
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        match answer.status {
            503 if answer.reason().starts_with(MISPLACED) => Err(Failed::misplaced(answer.reason())),
            _ => Ok(answer),
        }
    }

    /// Reads something; what is not there is none.
    ///
    /// # Errors
    /// When the node cannot be asked, or refuses.
    pub fn find(&self, path: &[&str]) -> Result<Option<Value>, Failed> {
        let answer = self.ask("GET", path, None)?;
        if let Some(nodes) = &answer.silent {
            eprintln!("Warning: {nodes} did not answer; what is there is not shown");
        }
        match answer.status {
            404 => Ok(None),
            _ => answer.accepted().map(Some),
        }
    }

    /// Reads something that is always there.
    ///
    /// # Errors
    /// When the node cannot be asked, or refuses.
    pub fn get(&self, path: &[&str]) -> Result<Value, Failed> {
        self.ask("GET", path, None)?.accepted()
    }

    /// Reads a list; nothing is in what is not there.
    ///
    /// # Errors
    /// When the node cannot be asked, or refuses.
    pub fn list(&self, path: &[&str]) -> Result<Vec<Value>, Failed> {
        match self.find(path)? {
            Some(Value::Array(items)) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    /// Puts something.
    ///
    /// # Errors
    /// When the node cannot be asked, or refuses.
    pub fn put(&self, path: &[&str], body: &Value) -> Result<Output, Failed> {
        self.ask("PUT", path, Some(body))?.accepted()?;
        Ok(Output::Nothing)
    }

    /// Deletes something; whether it was there.
    ///
    /// # Errors
    /// When the node cannot be asked, or refuses.
    pub fn delete(&self, path: &[&str]) -> Result<bool, Failed> {
        let answer = self.ask("DELETE", path, None)?;
        match answer.status {
            404 => Ok(false),
            _ => answer.accepted().map(|_| true),
        }
    }

    /// The same on conditions, as a query.
    ///
    /// # Errors
    /// When the node cannot be asked, or refuses.
    pub fn delete_if(&self, path: &[&str], conditions: &str) -> Result<bool, Failed> {
        let answer = self.answered(self.client.delete_if(path, conditions))?;
        match answer.status {
            404 => Ok(false),
            _ => answer.accepted().map(|_| true),
        }
    }

    /// Sends a document as it is.
    ///
    /// # Errors
    /// When the node cannot be asked.
    pub fn post(&self, path: &[&str], body: &[u8]) -> Result<Answer, Failed> {
        self.answered(self.client.post(path, body.to_vec()))
    }

    /// Reads with a query.
    ///
    /// # Errors
    /// When the node cannot be asked, or refuses.
    pub fn look(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Failed> {
        self.answered(self.client.look(path, query))?.accepted()
    }

    /// Why the node cannot be asked.
    fn unreachable(&self, error: &Unreachable) -> Failed {
        let node = self.node();
        match error {
            Unreachable::Late(patience) => {
                let command = self.options.words.first().map_or("", String::as_str);
                let text = format!(
                    "Error: operation {command} on node {node} timed out. Timeout value used: {}",
                    patience.as_millis()
                );
                Failed::bare(exit::TEMPORARY, text)
            }
            error => {
                let text = format!("Error: unable to perform an operation on node '{node}'.\n{error}");
                Failed::bare(exit::UNAVAILABLE, text)
            }
        }
    }

    /// # Errors
    /// When there is no such user.
    pub fn need_user(&self, name: &str) -> Result<Value, Failed> {
        let missing = || Failed::told(exit::NO_USER, format!("User {name} does not exist"));
        self.find(&["users", name])?.ok_or_else(missing)
    }

    /// The same where RabbitMQ says it by a term.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn need_listed_user(&self, name: &str) -> Result<Value, Failed> {
        let missing = || Failed::told(exit::UNAVAILABLE, format!("{{:no_such_user, \"{name}\"}}"));
        self.find(&["users", name])?.ok_or_else(missing)
    }

    /// # Errors
    /// When there is no such vhost.
    pub fn need_vhost(&self, name: &str) -> Result<Value, Failed> {
        self.find(&["vhosts", name])?.ok_or_else(|| no_vhost(name))
    }

    /// A check that failed: what is said, and a report for programs.
    pub fn ill(&self, text: impl Into<String>, report: &Value) -> Failed {
        match self.options.formatter.as_deref() {
            Some("json") => Failed::bare(exit::UNAVAILABLE, report.to_string()),
            _ => Failed::bare(exit::UNAVAILABLE, text),
        }
    }
}

/// What a command gives.
pub enum Output {
    /// It is done; programs hear that it is.
    Nothing,
    /// There is nothing to say to anybody.
    Silent,
    /// A text that is written as it is, whatever way is asked for.
    Written(String),
    /// A line or more for people, and the same for programs.
    Text { text: String, json: Value },
    /// A text for people, and the same as a list for programs.
    Listed {
        text: String,
        columns: Vec<Column>,
        items: Vec<Value>,
    },
    /// A line or more for programs, drawn as a table of this where people read it.
    Drawn {
        columns: Vec<Column>,
        items: Vec<Value>,
        json: Value,
    },
    /// A list; `fancy` is drawn with lines unless another way is asked for.
    Rows {
        columns: Vec<Column>,
        items: Vec<Value>,
        fancy: bool,
    },
}

impl Output {
    /// A line, also as the message of a JSON object.
    pub fn message(text: impl Into<String>) -> Self {
        let text = text.into();
        let json = json!({"message": text});
        Self::Text { text, json }
    }

    /// A line; programs hear that all is well.
    pub fn well(text: impl Into<String>) -> Self {
        let json = json!({"result": "ok"});
        Self::Text {
            text: text.into(),
            json,
        }
    }

    /// A plain list.
    pub fn rows(columns: Vec<Column>, items: Vec<Value>) -> Self {
        Self::Rows {
            columns,
            items,
            fancy: false,
        }
    }
}
