//! What a shell needs to complete the commands and their options, made from the table of commands.

use clap::CommandFactory;
use clap_complete::Shell;

use super::command::{Output, Table, Tool};
use super::failed::Failed;
use super::{Cli, options};

/// The script for a shell: of the tool, or of `warren` with all that it has.
///
/// # Errors
/// When it is no shell that is known.
pub fn script(table: &Table, program: &str, shell: &str) -> Result<Output, Failed> {
    let shell = match shell {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        other => {
            return Err(Failed::arguments(format!(
                "'{other}' is no shell of bash, zsh and fish"
            )));
        }
    };
    let (mut command, name) = described(table, program);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    Ok(Output::Written(String::from_utf8_lossy(&script).into_owned()))
}

/// The program as clap knows commands, and the word it is called by.
fn described(table: &Table, program: &str) -> (clap::Command, &'static str) {
    match Tool::of(program) {
        Some(tool) => {
            let command = clap::Command::new(tool.name()).disable_help_subcommand(true);
            (command.subcommands(commands(table, program)), tool.name())
        }
        None => {
            let command = <Cli as CommandFactory>::command().mut_subcommand("ctl", |command| {
                command
                    .disable_help_subcommand(true)
                    .mut_args(|argument| argument.hide(true))
                    .subcommands(commands(table, program))
            });
            (command, "warren")
        }
    }
}

fn commands(table: &Table, program: &str) -> impl Iterator<Item = clap::Command> {
    table.of(program).map(|command| {
        clap::Command::new(command.name)
            .about(command.help)
            .disable_help_flag(true)
            .args(options::arguments(command.options))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ctl::TABLE;

    #[test]
    fn what_is_described_is_well_formed() {
        for program in ["warren ctl", "rabbitmqctl", "rabbitmq-upgrade"] {
            described(&TABLE, program).0.debug_assert();
        }
    }
}
