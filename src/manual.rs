//! `mend completions` and `mend man`: what a shell and `man` read, made out of the commands themselves.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

/// Print completions for a shell
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mend completions bash > ~/.local/share/bash-completion/completions/mend\n  mend completions zsh > ~/.zfunc/_mend\n  mend completions fish > ~/.config/fish/completions/mend.fish"
)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Print the manual page, or write those of all commands to a folder
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mend man | man -l -\n  mend man --out ~/.local/share/man/man1"
)]
pub(crate) struct ManArgs {
    /// The folder for the pages of all commands.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs `mend completions`.
pub(crate) fn completions(args: &CompletionsArgs, mut command: Command) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "mend", &mut text);
    Ok(terminal::bytes(&text)?)
}

/// Runs `mend man`.
///
/// # Errors
///
/// When the folder cannot be made or written.
pub(crate) fn man(args: &ManArgs, command: Command) -> anyhow::Result<()> {
    let Some(dir) = &args.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return Ok(terminal::bytes(&page)?);
    };
    let shown = dir.display();
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(command, dir))
        .with_context(|| format!("cannot write manual pages to {shown}; check the folder"))?;
    Ok(terminal::line(format_args!("manual pages are in {shown}"))?)
}
