//! Questions to the user, printed to standard error and answered on standard input.
//!
//! They are asked only if both are terminals; each names the flag that answers it otherwise. They block
//! their thread, and must be called on dkr's tokio runtime: it turns Ctrl-C into an answer. Otherwise
//! Ctrl-C would kill dkr and leave the cursor hidden.

use console::Term;
use dialoguer::theme::SimpleTheme;
use dialoguer::{Confirm, Select};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Kind, Result};
use crate::text::{columns, cut, sanitize, sanitize_line};
use crate::ui::{Suspended, Ui, terminal};

impl Ui {
    /// Asks for one of `choices` and returns its index; `default` is preselected. `flag` answers the
    /// question on the command line.
    ///
    /// # Errors
    /// [`Kind::Unanswered`] without a terminal, [`Kind::Interrupted`] on Ctrl-C or Esc.
    pub fn choose(
        &self,
        question: &str,
        choices: &[&str],
        default: usize,
        flag: &str,
    ) -> Result<usize> {
        self.can_ask(question, flag)?;
        let _suspended = self.suspend();
        let width = terminal::size(std::io::stderr()).0;
        // dialoguer counts lines when it redraws: each choice must stay on one line, and the question is
        // printed without it.
        let items: Vec<String> = choices
            .iter()
            .map(|choice| cut(&sanitize_line(choice), width.saturating_sub(3), "..."))
            .collect();
        self.print(&format!("{}\n", sanitize(question)));
        let term = Term::stderr();
        let ask = Select::with_theme(&SimpleTheme)
            .items(&items)
            .default(default);
        let chosen = until_interrupted(&term, question, || ask.interact_on_opt(&term))?;
        self.print(&format!("> {}\n", items[chosen]));
        Ok(chosen)
    }

    /// Asks for yes or no; Enter means `default`. `flag` answers the question on the command
    /// line.
    ///
    /// # Errors
    /// As [`Ui::choose`].
    pub fn confirm(&self, question: &str, default: bool, flag: &str) -> Result<bool> {
        self.can_ask(question, flag)?;
        let _suspended = self.suspend();
        let width = terminal::size(std::io::stderr()).0;
        let question_text = sanitize(question);
        let one_line = !question_text.contains('\n') && columns(&question_text) + 10 < width;
        let mut ask = Confirm::with_theme(&SimpleTheme).default(default);
        if one_line {
            ask = ask.with_prompt(question_text);
        } else {
            self.print(&format!("{question_text}\n"));
        }
        let term = Term::stderr();
        let answer = until_interrupted(&term, question, || ask.interact_on_opt(&term));
        if answer.is_err() {
            // The cursor is still on the line of the question.
            self.print("\n");
        }
        answer
    }

    /// Leaves the terminal to a program that asks `question` itself, until the result is dropped.
    /// `flag` answers the question otherwise.
    ///
    /// # Errors
    /// As [`Ui::choose`].
    pub fn leave_to_ask(&self, question: &str, flag: &str) -> Result<Suspended> {
        self.can_ask(question, flag)?;
        Ok(self.suspend())
    }

    fn can_ask(&self, question: &str, flag: &str) -> Result<()> {
        if self.terminal().can_ask() {
            return Ok(());
        }
        let message = format!("cannot ask without a terminal: {question}");
        Err(Error::new(Kind::Unanswered, message).hint(format!("answer with `{flag}`")))
    }
}

/// Runs a prompt of dialoguer: Ctrl-C, Esc and the end of input interrupt it, and the cursor is
/// visible afterwards in any case.
fn until_interrupted<T>(
    term: &Term,
    question: &str,
    ask: impl FnOnce() -> dialoguer::Result<Option<T>>,
) -> Result<T> {
    let _caught = catch_interrupt();
    let answer = ask();
    if let Ok(Some(answer)) = answer {
        return Ok(answer);
    }
    // Fails if the terminal is closed, which does not matter.
    let _ = term.show_cursor();
    match answer {
        Err(dialoguer::Error::IO(e)) if !is_interrupt(&e) => {
            Err(Error::failed(format!("cannot ask: {question}")).source(e))
        }
        _ => Err(Error::interrupted()),
    }
}

fn is_interrupt(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, UnexpectedEof};
    matches!(error.kind(), Interrupted | UnexpectedEof)
}

/// dialoguer's terminal raises SIGINT when it reads Ctrl-C; a listener prevents that from killing the
/// process, so that the prompt returns an error instead.
fn catch_interrupt() -> Option<Signal> {
    Handle::try_current().ok()?;
    signal(SignalKind::interrupt()).ok()
}

#[cfg(test)]
mod tests {
    use crate::error::Kind;
    use crate::ui::progress::ProgressMode;
    use crate::ui::testing::pipe;

    #[test]
    fn without_a_terminal_a_question_names_the_flag_that_answers_it() {
        let ui = pipe(ProgressMode::default()).ui;
        let choices = ["rebuild from scratch", "quit"];
        let errors = [
            ui.choose("rebuild?", &choices, 0, "--drift").unwrap_err(),
            ui.confirm("rebuild?", true, "--drift").unwrap_err(),
            ui.leave_to_ask("rebuild?", "--drift").err().unwrap(),
        ];
        for error in errors {
            assert_eq!(error.kind, Kind::Unanswered);
            assert_eq!(
                error.to_string(),
                "error: cannot ask without a terminal: rebuild?\nhint: answer with `--drift`"
            );
        }
    }
}
