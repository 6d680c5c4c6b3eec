//! The four tools as an agent sees them: names, descriptions, and strict schemas for what goes in and what comes out.
//!
//! The schemas are written by hand: they are what other programs rely on (a golden file holds them), and what a call may
//! really say is decided by the types of `contract`.

use std::sync::{Arc, LazyLock};

use contract::ask::{MAX_DOCKERFILE, MAX_JUSTIFICATION, MAX_LISTED, MAX_RULE};
use contract::{Ask, ProposalStatus};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

/// Asks for a route.
pub const EGRESS_BLOCK: &str = "egress-block";
/// Reads the live table.
pub const LIST_EGRESS_ROUTES: &str = "list-egress-routes";
/// Asks the seat.
pub const PIPELOCK_BLOCK: &str = "pipelock-block";
/// Asks for another image.
pub const CAPABILITY_BLOCK: &str = "capability-block";

/// What a client is told about the server as a whole.
pub const INSTRUCTIONS: &str = "\
You work in a sandbox without a network of its own. HTTP and HTTPS go through a proxy that admits listed hosts, methods and \
paths; everything else is refused with a JSON body that says why and, under `remedy`, which of these tools to call with which \
arguments. Asking is normal and cheap: a person, the operator, reads each request and approves, changes or rejects it, \
usually within minutes. A call returns once that is decided AND in force (or not), so wait for it, then try again what was \
refused. Ask for the least that does the job, one request per need, with a justification that says what you are doing and why. \
Do not look for ways around a refusal; none of them work, and each is logged. Credentials are put in outside of the sandbox: \
never send one, and never ask your user for one.";

const RESULT: &str = "The result says what is true now: status `applied` (in force as you asked), `modified` (in force, but not as you \
asked: read the statement), `rejected` (read the operator's reason; do not ask the same again), `failed` (approved, but it could not be put \
in force), `expired` or `withdrawn` (nobody decided). Asking the same thing again while it is pending joins the pending request.";

/// All four, in the order in which they are listed. Made once: between long-lived calls, what is made and dropped for each would leave
/// holes in the heap.
static ALL: LazyLock<[Tool; 4]> = LazyLock::new(|| {
    [
        egress_block(),
        list_egress_routes(),
        pipelock_block(),
        capability_block(),
    ]
});

/// All four, in the order in which they are listed.
pub fn all() -> Vec<Tool> {
    ALL.to_vec()
}

/// The one with this name.
pub fn named(name: &str) -> Option<Tool> {
    ALL.iter().find(|tool| tool.name == name).cloned()
}

fn egress_block() -> Tool {
    let description = format!(
        "Ask the operator to let this sandbox reach one host over HTTP or HTTPS. Use it when a request was refused with \
         `\"denied_by\":\"egress\"` (call it with the `arguments` of the refusal's `remedy`, and put your own reason into \
         `justification`), or before you need a host that `list-egress-routes` does not show. Give one exact host name (no \
         wildcards, no IP addresses, no port). Narrow it: `path_allowlist` with the path prefixes you need and `methods` with the \
         methods you need are approved more readily than a whole host. For a host that is listed already, paths and methods are \
         added to what it has. The call may take minutes: a person decides. {RESULT} After `applied`, repeat the request that was \
         refused."
    );
    let input = object(
        json!({
            "host": host("The exact host name, such as pypi.org"),
            "path_allowlist": {
                "type": "array",
                "maxItems": MAX_LISTED,
                "items": {"type": "string", "pattern": "^/"},
                "description": "Path prefixes that are needed, such as /simple/. A prefix matches whole path segments. Leave it out to ask for every path of the host."
            },
            "methods": {
                "type": "array",
                "maxItems": MAX_LISTED,
                "items": {"type": "string", "pattern": "^[A-Z][A-Z-]*$"},
                "description": "HTTP methods that are needed, such as GET. Leave it out to ask for every method."
            },
            "auth": {
                "type": "object",
                "additionalProperties": false,
                "required": ["scheme", "token_ref"],
                "properties": {
                    "scheme": {
                        "type": "string",
                        "pattern": "^(Bearer|token|Basic|header:[A-Za-z0-9-]+)$",
                        "description": "How the credential is written into the request"
                    },
                    "token_ref": {
                        "type": "string",
                        "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                        "description": "The operator's name for the credential, such as GITHUB_TOKEN; never a value"
                    }
                },
                "description": "Only for a host that needs a credential which the operator has: it is put into your requests outside of the sandbox. Ignored for a host that is listed already."
            },
            "justification": justification(),
            "denial_id": denial_id(),
        }),
        &["host", "justification"],
    );
    asking(EGRESS_BLOCK, "Ask for a host", description, input)
}

fn list_egress_routes() -> Tool {
    let description = "List what this sandbox may reach right now: every host with its admitted path prefixes and methods (absent: all of \
                       them), whether a credential is put into its requests, and when a grant ends. Read from the running proxy. Use it \
                       before you plan around a host, and after a refusal to see what is close to it. Takes no arguments and asks nobody.";
    let route = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["host"],
        "properties": {
            "host": {"type": "string"},
            "path_allowlist": {"type": "array", "items": {"type": "string"}, "description": "Admitted path prefixes; absent: every path"},
            "methods": {"type": "array", "items": {"type": "string"}, "description": "Admitted methods; absent: every method"},
            "auth_scheme": {"type": "string", "description": "A credential is put into requests to this host in this form"},
            "token_env": {"type": "string", "description": "The proxy's own name for that credential"},
            "grant_id": {"type": "string", "description": "The permission under which this ends by itself"},
            "expires_at": {"type": "string", "description": "When it ends, RFC 3339"},
            "once": {"type": "boolean", "description": "It admits one request"}
        }
    });
    let output = object(
        json!({
            "schema_version": {"type": "integer"},
            "generation": {"type": "integer", "description": "Grows with every change"},
            "policy_sha256": {"type": "string"},
            "routes": {"type": "array", "items": route},
        }),
        &["schema_version", "generation", "policy_sha256", "routes"],
    );
    Tool::new(LIST_EGRESS_ROUTES, description, object(json!({}), &[]))
        .with_title("List reachable hosts")
        .with_raw_output_schema(output)
        .with_annotations(
            ToolAnnotations::new()
                .read_only(true)
                .destructive(false)
                .idempotent(true)
                .open_world(false),
        )
}

fn pipelock_block() -> Tool {
    let description = format!(
        "Ask the operator about a refusal of the content scanner (`\"denied_by\":\"pipelock\"`): that one of its rules does not \
         apply at one host. Give `host` and the `rule` that the refusal names. First make sure that the request really carries no \
         secret: a finding is usually right, and then the fix is to send something else. To reach a host that is not listed, use \
         `egress-block` instead, which covers the scanner, too; `host` without `rule` asks for the scanner's own list alone, and \
         a host that only the scanner knows stays unreachable. {RESULT}"
    );
    let input = object(
        json!({
            "host": host("The exact host name that the refusal names"),
            "rule": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_RULE,
                "pattern": "^[ -~]+$",
                "description": "The rule that the refusal names"
            },
            "justification": justification(),
            "denial_id": denial_id(),
        }),
        &["host", "justification"],
    );
    asking(PIPELOCK_BLOCK, "Ask for a scanner exemption", description, input)
}

fn capability_block() -> Tool {
    let description = format!(
        "Ask the operator for a tool, package or service that this sandbox's image does not have, when installing it yourself is not \
         possible. Read the present Dockerfile at /etc/claude-bottle/current-config/Dockerfile, change only what you need, and send the \
         whole new file as `dockerfile`. Keep its FROM line and its user. The operator sees the difference, line by line. {RESULT}"
    );
    let input = object(
        json!({
            "dockerfile": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_DOCKERFILE,
                "description": "The whole new Dockerfile, not a patch"
            },
            "justification": justification(),
        }),
        &["dockerfile", "justification"],
    );
    asking(CAPABILITY_BLOCK, "Ask for another image", description, input)
}

fn asking(name: &'static str, title: &str, description: String, input: Arc<JsonObject>) -> Tool {
    Tool::new(name, description, input)
        .with_title(title)
        .with_raw_output_schema(outcome())
        .with_annotations(
            ToolAnnotations::new()
                .read_only(false)
                .destructive(false)
                .idempotent(true)
                .open_world(false),
        )
}

/// What an answered ask comes to. [`crate::answer`] writes it.
fn outcome() -> Arc<JsonObject> {
    let final_ones = [
        ProposalStatus::Applied,
        ProposalStatus::Modified,
        ProposalStatus::Rejected,
        ProposalStatus::Failed,
        ProposalStatus::Expired,
        ProposalStatus::Withdrawn,
    ];
    object(
        json!({
            "proposal_id": {"type": "string", "pattern": "^p-[0-9a-z]+$", "description": "By which the operator knows it"},
            "status": {"type": "string", "enum": final_ones.map(ProposalStatus::as_str)},
            "statement": {"type": "string", "description": "What is true now"},
            "since": {"type": "string", "description": "Since when, RFC 3339"},
            "grant_id": {"type": "string", "description": "The permission, when it ends by itself"},
            "expires_at": {"type": "string", "description": "When it ends, RFC 3339"},
            "once": {"type": "boolean", "description": "It ends with its first use"},
        }),
        &["proposal_id", "status", "statement", "since"],
    )
}

fn host(description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 253, "description": description})
}

fn justification() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_JUSTIFICATION,
        "description": "For the operator, in one to three sentences: what you are doing for whom, and why it needs exactly this"
    })
}

fn denial_id() -> Value {
    json!({
        "type": "string",
        "pattern": "^e-[0-9a-z]{4,40}$",
        "description": "The refusal that this follows, as its `remedy` gives it; leave it out when there was none"
    })
}

fn object(properties: Value, required: &[&str]) -> Arc<JsonObject> {
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema.insert("properties".to_owned(), properties);
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    Arc::new(schema)
}

/// The arguments of a call are not an ask, or not one that is taken. The text is for the agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tool}: {why}. Nothing was asked; correct the arguments and call again")]
pub struct ArgumentsError {
    tool: &'static str,
    why: String,
}

/// Whether a tool asks the operator, by its own constant name; none when there is no such tool.
pub fn asking_tool(name: &str) -> Option<&'static str> {
    [EGRESS_BLOCK, PIPELOCK_BLOCK, CAPABILITY_BLOCK]
        .into_iter()
        .find(|tool| *tool == name)
}

/// Reads the arguments of an asking tool.
pub fn read_ask(tool: &'static str, arguments: JsonObject) -> Result<Ask, ArgumentsError> {
    let error = |why: String| ArgumentsError {
        tool,
        why: contract::text::harmless(&why),
    };
    let call = Value::Object(arguments);
    let ask = match tool {
        EGRESS_BLOCK => serde_json::from_value(call).map(Ask::EgressBlock),
        PIPELOCK_BLOCK => serde_json::from_value(call).map(Ask::PipelockBlock),
        _ => serde_json::from_value(call).map(Ask::CapabilityBlock),
    };
    let ask = ask.map_err(|why| error(why.to_string()))?;
    ask.check().map_err(|why| error(why.to_string()))?;
    Ok(ask)
}

#[cfg(test)]
mod tests;
