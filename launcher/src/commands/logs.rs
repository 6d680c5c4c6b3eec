//! `bottle logs`

use crate::cli::Context;
use crate::engine::Engine;
use crate::engine::logs::Part;
use crate::engine::resources::Container;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::lifecycle::interrupt::Interrupts;
use crate::lifecycle::{Bottle, folder, observe};
use crate::naming;
use clap::Args;
use contract::Slug;
use futures_util::stream::{Peekable, select_all};
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use std::pin::Pin;

/// Show what a bottle's containers logged, in the order of time.
#[derive(Debug, Args)]
pub struct Logs {
    /// The bottle, by the slug that `bottle list` shows or the beginning of it.
    pub slug: String,

    /// Only this guard, or `agent`.
    #[arg(long, value_name = "GUARD")]
    pub guard: Option<String>,

    /// Go on until the bottle ends.
    #[arg(long, short)]
    pub follow: bool,
}

/// A container's lines, each after the service's name.
type Lines = Pin<Box<dyn Stream<Item = Result<(String, String)>>>>;

impl Logs {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        let engine = Engine::connect(&context.environment).await?;
        let bottles = observe::all(&engine, &home).await?;
        let bottle = match (observe::find(&bottles, &self.slug), self.slug.parse::<Slug>()) {
            (Ok(bottle), _) => bottle,
            (Err(error), Ok(slug)) => match folder::logs_aside(&home, &slug) {
                Some(log) => return self.kept(context, &slug, &log),
                None => return Err(over(error, &home, &slug)),
            },
            (Err(error), Err(_)) => return Err(error),
        };
        if bottle.owned.containers.is_empty() {
            let own = home.state(&bottle.slug).compose_log();
            let log = match own.is_file() {
                true => own,
                false => folder::logs_aside(&home, &bottle.slug).unwrap_or(own),
            };
            return self.kept(context, &bottle.slug, &log);
        }
        let part = if self.follow { Part::Follow } else { Part::All };
        let lines: Vec<Lines> = self
            .meant(bottle)?
            .into_iter()
            .map(|container| {
                let service = container.service.clone();
                let lines = engine.log_lines(&container.id, part);
                Box::pin(lines.map(move |line| Ok((service.clone(), line?)))) as Lines
            })
            .collect();
        let print = |(service, line): (String, String)| self.print(context, &service, &line);
        if !self.follow {
            return in_order_of_time(lines, print).await;
        }
        let mut interrupts = Interrupts::listen()?;
        let mut all = select_all(lines);
        loop {
            tokio::select! {
                line = all.next() => match line {
                    Some(line) => print(line?)?,
                    None => return Ok(()),
                },
                _ = interrupts.next() => return Ok(()),
            }
            if !context.printer.has_reader() {
                return Ok(());
            }
        }
    }

    /// A line as the engine keeps it: the time, a space, and what was written.
    fn print(&self, context: &Context, service: &str, line: &str) -> Result<()> {
        let printer = &context.printer;
        if printer.wants_json() {
            return printer.json_line(&Line::of(service, line));
        }
        if self.guard.is_some() {
            printer.data(line);
        } else {
            printer.data(&format!("{service:<10} {line}"));
        }
        Ok(())
    }

    fn meant<'b>(&self, bottle: &'b Bottle) -> Result<Vec<&'b Container>> {
        let Some(guard) = &self.guard else {
            return Ok(bottle.owned.containers.iter().collect());
        };
        match bottle.owned.service(guard) {
            Some(container) => Ok(vec![container]),
            None => {
                let services: Vec<&str> = bottle
                    .owned
                    .containers
                    .iter()
                    .map(|container| container.service.as_str())
                    .collect();
                Err(Error::usage(format!(
                    "{} has no `{}`; it has {}",
                    bottle.slug,
                    contract::text::harmless(guard),
                    services.join(", ")
                )))
            }
        }
    }

    /// A bottle that is down: what was kept of its logs.
    fn kept(&self, context: &Context, slug: &Slug, log: &std::path::Path) -> Result<()> {
        let text = fs_err::read_to_string(log).map_err(|error| {
            Error::failed(format!("{slug} does not run, and its logs were not kept")).because(error)
        })?;
        let container = self.guard.as_deref().map(|guard| naming::container(slug, guard));
        for line in text.lines() {
            // `container  | time text`; v1 may shorten the name to the service.
            let (from, rest) = line.split_once('|').unwrap_or(("", line));
            let from = from.trim();
            if container.as_deref().is_some_and(|container| from != container) {
                continue;
            }
            if context.printer.wants_json() {
                let service = naming::service_of(slug, from);
                context.printer.json_line(&Line::of(service, rest.trim_start()))?;
            } else {
                context.printer.data(line);
            }
        }
        Ok(())
    }
}

/// One line, in JSON.
#[derive(Serialize)]
struct Line<'l> {
    /// The container: a guard's name or `agent`.
    from: &'l str,
    /// When the engine took it.
    time: &'l str,
    /// What was written, where it is JSON: every access event is.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<serde_json::Value>,
    /// What was written, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'l str>,
}

impl<'l> Line<'l> {
    fn of(from: &'l str, line: &'l str) -> Self {
        let (time, text) = line.split_once(' ').unwrap_or((line, ""));
        let event = serde_json::from_str(text)
            .ok()
            .filter(serde_json::Value::is_object);
        Self {
            from,
            time,
            text: event.is_none().then_some(text),
            event,
        }
    }
}

/// Of a bottle that ended and left nothing, the decisions are still there.
fn over(error: Error, home: &Home, slug: &Slug) -> Error {
    let events = home.events(slug);
    if events.is_file() {
        Error::usage(format!("{slug} has ended, and its containers' logs went with it")).hinted(format!(
            "what its guards decided is kept, one JSON line each: `zstdcat {}`",
            events.display()
        ))
    } else {
        error
    }
}

/// Merges logs that are each in order: the time before every line sorts as text.
async fn in_order_of_time(
    lines: Vec<Lines>,
    mut print: impl FnMut((String, String)) -> Result<()>,
) -> Result<()> {
    let mut heads: Vec<Peekable<Lines>> = lines.into_iter().map(|lines| lines.peekable()).collect();
    loop {
        let mut earliest: Option<(usize, String)> = None;
        for (index, head) in heads.iter_mut().enumerate() {
            let time = match Pin::new(head).peek().await {
                None => continue,
                // An error is told first of all.
                Some(Err(_)) => String::new(),
                Some(Ok((_, line))) => line.split(' ').next().unwrap_or_default().to_owned(),
            };
            if earliest.as_ref().is_none_or(|(_, before)| time < *before) {
                earliest = Some((index, time));
            }
        }
        let Some((index, _)) = earliest else {
            return Ok(());
        };
        if let Some(head) = heads.get_mut(index)
            && let Some(line) = head.next().await
        {
            print(line?)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_of_several_containers_are_shown_in_the_order_of_time() {
        let lines = |service: &str, lines: &[&str]| -> Lines {
            let lines: Vec<Result<(String, String)>> = lines
                .iter()
                .map(|line| Ok((service.to_owned(), (*line).to_owned())))
                .collect();
            Box::pin(futures_util::stream::iter(lines))
        };
        let mut shown = Vec::new();
        in_order_of_time(
            vec![
                lines("agent", &["2026-01-01T00:00:02Z b", "2026-01-01T00:00:03Z c"]),
                lines("egress", &["2026-01-01T00:00:01Z a", "2026-01-01T00:00:09Z d"]),
                lines("empty", &[]),
            ],
            |(service, line)| {
                shown.push(format!("{service} {}", line.rsplit(' ').next().unwrap()));
                Ok(())
            },
        )
        .await
        .unwrap();
        assert_eq!(shown, ["egress a", "agent b", "agent c", "egress d"]);
    }

    #[test]
    fn as_json_a_line_is_its_event_or_its_text() {
        let told = |line| serde_json::to_string(&Line::of("egress", line)).unwrap();
        assert_eq!(
            told(r#"2026-01-01T00:00:01Z {"decision":"denied"}"#),
            r#"{"from":"egress","time":"2026-01-01T00:00:01Z","event":{"decision":"denied"}}"#
        );
        assert_eq!(
            told("2026-01-01T00:00:01Z 5 \" is no event"),
            r#"{"from":"egress","time":"2026-01-01T00:00:01Z","text":"5 \" is no event"}"#
        );
    }
}
