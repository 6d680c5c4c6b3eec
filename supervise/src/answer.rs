//! What an agent is told about its proposal: statements of what is true, never a permission.
//!
//! Clients hand late results to their model as "not user input, not an approval". "pypi.org is live since …" can be acted upon
//! all the same, and tested; "you may now" could not.

use contract::{ProposalId, ProposalStatus, Timestamp};
use rmcp::model::{CallToolResult, ContentBlock, DetailedTask, JsonObject, Task, TaskPayload, TaskStatus};
use serde::Serialize;
use serde_json::Value;

use crate::queue::Standing;

/// How often a client should ask for its task, in milliseconds: people are slower.
const ASK_EVERY_MILLIS: u64 = 1000;

/// The most of an operator's or launcher's words that is passed on, in bytes.
const MAX_WORDS: usize = 16 * 1024;

/// The structured result of an asking tool.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    proposal_id: &'a ProposalId,
    status: ProposalStatus,
    statement: String,
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_id: Option<&'a contract::GrantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    once: bool,
}

/// What a decided proposal's call returns.
pub fn result(id: &ProposalId, standing: &Standing) -> CallToolResult {
    let statement = statement(id, standing);
    let in_force = matches!(
        standing.status,
        ProposalStatus::Applied | ProposalStatus::Modified
    );
    let outcome = Outcome {
        proposal_id: id,
        status: standing.status,
        statement: statement.clone(),
        since: standing.since,
        grant_id: standing.grant_id.as_ref(),
        expires_at: standing.expires_at.filter(|_| in_force),
        once: standing.once && in_force,
    };
    let mut result = CallToolResult::success(vec![ContentBlock::text(statement)]);
    result.structured_content = serde_json::to_value(outcome).ok();
    result
}

/// What is true now, in one or two sentences.
pub fn statement(id: &ProposalId, standing: &Standing) -> String {
    let since = standing.since;
    let words = standing
        .words
        .as_deref()
        .map(cut)
        .filter(|words| !words.is_empty());
    match standing.status {
        ProposalStatus::Pending => format!("{id} is waiting for the operator."),
        ProposalStatus::Approved => format!("{id} is approved since {since}, and not in force yet."),
        ProposalStatus::Applying => format!("{id} is being put in force since {since}."),
        ProposalStatus::Applied => words.map_or_else(
            || format!("{id} is in force as asked since {since}."),
            str::to_owned,
        ),
        ProposalStatus::Modified => words.map_or_else(
            || format!("{id} is in force since {since}, not as it was asked but as the operator changed it."),
            str::to_owned,
        ),
        ProposalStatus::Rejected => format!(
            "{id} is rejected since {since}; nothing has changed. The operator's reason: {}",
            words.unwrap_or("none was given.")
        ),
        ProposalStatus::Failed => format!(
            "{id} was approved and is not in force. {}",
            words.unwrap_or("What was in force before still is.")
        ),
        ProposalStatus::Expired => {
            format!(
                "{id} is expired since {since}: nobody decided before the session ended. Nothing has changed."
            )
        }
        ProposalStatus::Withdrawn => format!(
            "{id} is withdrawn since {since} ({}). Nothing has changed.",
            words.unwrap_or("nobody waited for it")
        ),
    }
}

fn cut(words: &str) -> &str {
    let mut end = words.len().min(MAX_WORDS);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    words.get(..end).unwrap_or_default().trim()
}

/// The task that stands for a proposal.
pub fn task(id: &ProposalId, asked_at: Timestamp, standing: &Standing) -> Task {
    Task::new(
        id.as_str(),
        status_of_task(standing.status),
        asked_at.to_string(),
        standing.since.to_string(),
    )
    .with_status_message(statement(id, standing))
    .with_poll_interval_ms(ASK_EVERY_MILLIS)
}

/// The same with its result, if there is one.
pub fn detailed_task(id: &ProposalId, asked_at: Timestamp, standing: &Standing) -> DetailedTask {
    let payload = match status_of_task(standing.status) {
        TaskStatus::Completed => TaskPayload::Completed {
            result: as_object(&result(id, standing)),
        },
        TaskStatus::Cancelled => TaskPayload::Cancelled,
        _ => TaskPayload::Working,
    };
    DetailedTask::new(task(id, asked_at, standing), payload)
}

fn status_of_task(status: ProposalStatus) -> TaskStatus {
    match status {
        ProposalStatus::Pending | ProposalStatus::Approved | ProposalStatus::Applying => TaskStatus::Working,
        ProposalStatus::Withdrawn => TaskStatus::Cancelled,
        ProposalStatus::Applied
        | ProposalStatus::Modified
        | ProposalStatus::Rejected
        | ProposalStatus::Failed
        | ProposalStatus::Expired => TaskStatus::Completed,
    }
}

fn as_object(result: &CallToolResult) -> JsonObject {
    match serde_json::to_value(result) {
        Ok(Value::Object(object)) => object,
        _ => JsonObject::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(status: ProposalStatus, words: Option<&str>) -> Standing {
        Standing {
            status,
            words: words.map(str::to_owned),
            ..Standing::pending(Timestamp::from_millis(1_795_000_000_000))
        }
    }

    #[test]
    fn answers_are_statements_of_what_is_true() {
        let id: ProposalId = "p-00000001".parse().unwrap();
        for (status, words, said) in [
            (
                ProposalStatus::Applied,
                Some("pypi.org is live since 12:00"),
                "pypi.org is live since 12:00",
            ),
            (
                ProposalStatus::Rejected,
                Some("use the mirror"),
                "p-00000001 is rejected since 2026-11-18T11:06:40.000Z; nothing has changed. The operator's reason: use the mirror",
            ),
            (
                ProposalStatus::Failed,
                Some("The seat refused it; the old routes are in force."),
                "p-00000001 was approved and is not in force. The seat refused it; the old routes are in force.",
            ),
            (
                ProposalStatus::Expired,
                None,
                "p-00000001 is expired since 2026-11-18T11:06:40.000Z: nobody decided before the session ended. Nothing has changed.",
            ),
            (
                ProposalStatus::Withdrawn,
                Some("cancelled by the client"),
                "p-00000001 is withdrawn since 2026-11-18T11:06:40.000Z (cancelled by the client). Nothing has changed.",
            ),
        ] {
            assert_eq!(statement(&id, &standing(status, words)), said);
        }
    }

    #[test]
    fn every_result_conforms_to_the_tools_schema() {
        let id: ProposalId = "p-00000001".parse().unwrap();
        let schema = crate::tools::all().remove(0).output_schema.unwrap();
        let known = schema["properties"].as_object().unwrap();
        let statuses = known["status"]["enum"].as_array().unwrap();
        for status in statuses {
            let status: ProposalStatus = serde_json::from_value(status.clone()).unwrap();
            let mut standing = standing(status, Some("x"));
            standing.grant_id = Some(id.grant());
            standing.expires_at = Some(standing.since);
            standing.once = true;
            let structured = result(&id, &standing).structured_content.unwrap();
            let given = structured.as_object().unwrap();
            assert!(given.keys().all(|name| known.contains_key(name)), "{structured}");
            let required = schema["required"].as_array().unwrap();
            assert!(
                required
                    .iter()
                    .all(|name| given.contains_key(name.as_str().unwrap())),
                "{structured}"
            );
            assert!(statuses.contains(&given["status"]));
        }
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let words = "ü".repeat(MAX_WORDS);
        assert_eq!(cut(&words).len(), MAX_WORDS);
        assert_eq!(cut(&format!("x{words}")).len(), MAX_WORDS - 1);
    }
}
