//! The MCP server: four tools over one queue, delivered as a task or as a call that waits.
//!
//! Nothing of it lives in memory alone: a task is its proposal, under the same identifier, so it is there before its client
//! hears of it and after this process has been killed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use contract::{
    AccessEvent, Ask, AskedBy, Decision, DenialReason, Guard, ProposalId, ProposalStatus, SCHEMA_VERSION,
};
use guard::event_log::{EventLog, Place};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, CompleteRequestMethod,
    CompleteRequestParams, CompleteResult, ContentBlock, CreateTaskResult, ErrorData, GetTaskParams,
    GetTaskResult, Implementation, ListPromptsRequestMethod, ListPromptsResult,
    ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities,
    ServerConfig, Tool, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use tokio_util::sync::CancellationToken;

use crate::answer;
use crate::caller;
use crate::calls::Calls;
use crate::live_table;
use crate::progress::Progress;
use crate::queue::{Delivery, Found, NotAsked, Queue, Standing, Waiting};
use crate::tools;

/// How often a waiting client hears that its call goes on. Clients give up after 60 s (until something comes) and 300 s
/// (without progress); intermediaries often sooner.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// The server. Clones share everything.
#[derive(Debug, Clone)]
pub struct Supervise(Arc<Parts>);

/// What the server works with.
#[derive(Debug)]
pub struct Parts {
    /// The proposals.
    pub queue: Queue,
    /// The socket of egress' front door.
    pub egress: PathBuf,
    /// The calls under way.
    pub calls: Calls,
    /// Access events.
    pub log: EventLog,
    /// Cancelled when the server stops: what breaks off then was not cancelled by its client.
    pub shutdown: CancellationToken,
    /// How often a waiting client hears of it.
    pub progress_every: Duration,
}

/// Why a call was refused: what the agent is told, and what the log.
struct Refused {
    told_agent: String,
    logged: DenialReason,
}

// === impl Supervise ===

impl Supervise {
    /// Serves with these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    async fn list_routes(&self) -> Result<CallToolResult, Refused> {
        let table = live_table::read(&self.0.egress).await.map_err(|error| Refused {
            told_agent: format!(
                "The live table could not be read: {error}. What the sandbox may reach has not changed by that. Try again in a moment"
            ),
            logged: DenialReason::UpstreamUnreachable,
        })?;
        let value = serde_json::to_value(&table).map_err(|error| Refused {
            told_agent: format!("The live table could not be written: {error}"),
            logged: DenialReason::InternalError,
        })?;
        let mut result = CallToolResult::success(vec![ContentBlock::text(value.to_string())]);
        result.structured_content = Some(value);
        Ok(result)
    }

    async fn ask(
        &self,
        ask: Ask,
        asked_by: Option<AskedBy>,
        delivery: Delivery,
    ) -> Result<(Found, Option<Waiting>), Refused> {
        let queue = self.0.queue.clone();
        let asking = tokio::task::spawn_blocking(move || queue.ask(&ask, asked_by, delivery));
        let asked = asking.await.map_err(|_| Refused {
            told_agent: "supervise failed, and nothing was asked. Try again".to_owned(),
            logged: DenialReason::InternalError,
        })?;
        asked.map_err(|error| Refused {
            logged: match error {
                NotAsked::Full | NotAsked::TooFast(_) => DenialReason::LimitReached,
                NotAsked::NotWritten(_) => DenialReason::InternalError,
            },
            told_agent: error.to_string(),
        })
    }

    /// Waits until the proposal is decided, and in force if that was decided.
    async fn wait(&self, mut waiting: Waiting, context: &RequestContext<RoleServer>) -> Standing {
        let call = self.0.calls.begin(caller::key(context));
        let stateless = context
            .protocol_version()
            .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str());
        let mut progress = Progress::new(context, self.0.progress_every);
        loop {
            let standing = waiting.standing.borrow_and_update().clone();
            if standing.status.is_final() {
                return standing;
            }
            progress.tell(&waiting.id, &standing).await;
            tokio::select! {
                changed = waiting.standing.changed() => {
                    // The sender goes when the proposal is decided, after its last word.
                    if changed.is_err() {
                        return waiting.standing.borrow().clone();
                    }
                }
                () = progress.due() => {}
                () = call.cancelled() => return self.give_up(waiting, standing, "cancelled by the client").await,
                () = context.ct.cancelled() => {
                    // Closing the stream cancels on the newest revision; on the others it is a lost connection.
                    if stateless && !self.0.shutdown.is_cancelled() {
                        return self.give_up(waiting, standing, "the client closed the call").await;
                    }
                    return standing;
                }
            }
        }
    }

    async fn give_up(&self, waiting: Waiting, last: Standing, reason: &'static str) -> Standing {
        let queue = self.0.queue.clone();
        let id = waiting.id.clone();
        let _ = tokio::task::spawn_blocking(move || waiting.give_up(reason)).await;
        match queue.standing(&id) {
            Ok(Some((_, standing))) => standing,
            _ => last,
        }
    }

    async fn answer_ask(
        &self,
        ask: Ask,
        context: &RequestContext<RoleServer>,
    ) -> Result<(ProposalId, CallToolResponse), Refused> {
        let takes_tasks = context
            .client_capabilities()
            .is_some_and(|capabilities| capabilities.supports_tasks());
        let delivery = if takes_tasks {
            Delivery::Task
        } else {
            Delivery::Blocking
        };
        let tool = ask.tool();
        let (found, waiting) = self.ask(ask, caller::client(context), delivery).await?;
        let how = if found.is_new { "asked" } else { "asked again" };
        let delivery = match delivery {
            Delivery::Blocking => "the call waits",
            Delivery::Task => "as a task",
        };
        tracing::info!("{} {how}: {tool}, {delivery}", found.id);
        let Some(waiting) = waiting else {
            let task = answer::task(&found.id, found.asked_at, &found.standing);
            return Ok((found.id, CallToolResponse::Task(CreateTaskResult::new(task))));
        };
        let standing = self.wait(waiting, context).await;
        tracing::info!("{} answered: {}", found.id, standing.status);
        let result = answer::result(&found.id, &standing);
        Ok((found.id, CallToolResponse::Complete(result)))
    }

    /// One access event per call.
    fn log(&self, place: Place, tool: &str, started: Started, ended: Ended) {
        let guarded = AccessEvent {
            schema_version: SCHEMA_VERSION,
            event_id: self.0.log.next_id(),
            time: started.time.into(),
            guard: Guard::Supervise,
            decision: if ended.reason.is_some() {
                Decision::Denied
            } else {
                Decision::Allowed
            },
            reason: ended.reason,
            rule: Some(contract::text::harmless(tool)),
            way_in: "mcp".to_owned(),
            method: None,
            host: ended.host,
            path: None,
            status: None,
            request_bytes: 0,
            response_bytes: 0,
            microseconds: u64::try_from(started.clock.elapsed().as_micros()).unwrap_or(u64::MAX),
            generation: 0,
            grant_id: None,
            proposal_id: ended.proposal,
            git: None,
            lost_before: 0,
        };
        self.0.log.write(place, guarded);
    }

    fn task_id(&self, text: &str) -> Result<ProposalId, ErrorData> {
        text.parse().map_err(|_| no_task(text))
    }
}

#[derive(Clone, Copy)]
struct Started {
    time: SystemTime,
    clock: Instant,
}

#[derive(Default)]
struct Ended {
    reason: Option<DenialReason>,
    host: Option<String>,
    proposal: Option<ProposalId>,
}

impl ServerHandler for Supervise {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder()
                .enable_tools()
                .enable_tasks()
                .build(),
        )
        .with_server_info(
            Implementation::new("supervise", env!("CARGO_PKG_VERSION")).with_title("The bottle's operator"),
        )
        .with_instructions(tools::INSTRUCTIONS)
    }

    // The library answers for these with empty lists, which says that they are there.

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourceTemplatesRequestMethod>())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::named(name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let started = Started {
            time: SystemTime::now(),
            clock: Instant::now(),
        };
        let arguments = request.arguments.unwrap_or_default();
        let asking = tools::asking_tool(&request.name);
        if asking.is_none() && request.name != tools::LIST_EGRESS_ROUTES {
            let name = contract::text::harmless(&request.name);
            return Err(ErrorData::invalid_params(
                format!("there is no tool `{name}`; tools/list names the four that are here"),
                None,
            ));
        }
        let Some(place) = self.0.log.reserve().await else {
            return Err(ErrorData::internal_error(
                "supervise cannot log, so it takes nothing",
                None,
            ));
        };
        let mut ended = Ended::default();
        let answered = match asking {
            None if !arguments.is_empty() => Err(Refused {
                told_agent: format!(
                    "{}: it takes no arguments; call it with {{}}",
                    tools::LIST_EGRESS_ROUTES
                ),
                logged: DenialReason::MalformedRequest,
            }),
            None => self.list_routes().await.map(CallToolResponse::Complete),
            Some(tool) => match tools::read_ask(tool, arguments) {
                Err(error) => Err(Refused {
                    told_agent: error.to_string(),
                    logged: DenialReason::MalformedRequest,
                }),
                Ok(ask) => {
                    ended.host = host(&ask);
                    self.answer_ask(ask, &context).await.map(|(id, response)| {
                        ended.proposal = Some(id);
                        response
                    })
                }
            },
        };
        let answered = answered.unwrap_or_else(|refused| {
            ended.reason = Some(refused.logged);
            CallToolResponse::Complete(CallToolResult::error(vec![ContentBlock::text(
                refused.told_agent,
            )]))
        });
        self.log(place, &request.name, started, ended);
        Ok(answered)
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let id = self.task_id(&request.task_id)?;
        match self.0.queue.standing(&id) {
            Ok(Some((asked_at, standing))) => Ok(GetTaskResult::new(answer::detailed_task(
                &id, asked_at, &standing,
            ))),
            Ok(None) => Err(no_task(&request.task_id)),
            Err(error) => {
                tracing::warn!("{id}: {error}");
                Err(ErrorData::internal_error(
                    format!("{id} cannot be read any more; ask again"),
                    None,
                ))
            }
        }
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        // A task here never asks its client for anything, and answers to nothing are to be ignored.
        let id = self.task_id(&request.task_id)?;
        match self.0.queue.standing(&id) {
            Ok(Some(_)) => Ok(()),
            _ => Err(no_task(&request.task_id)),
        }
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let id = self.task_id(&request.task_id)?;
        if !matches!(self.0.queue.standing(&id), Ok(Some(_))) {
            return Err(no_task(&request.task_id));
        }
        let queue = self.0.queue.clone();
        let withdrawing =
            tokio::task::spawn_blocking(move || queue.withdraw(&id, "cancelled by the client").status);
        if let Ok(ProposalStatus::Withdrawn) = withdrawing.await {
            tracing::info!("{} cancelled", contract::text::harmless(&request.task_id));
        }
        Ok(())
    }
}

fn no_task(text: &str) -> ErrorData {
    let shown = contract::text::harmless(text);
    ErrorData::invalid_params(format!("there is no task `{shown}`"), None)
}

fn host(ask: &Ask) -> Option<String> {
    match ask {
        Ask::EgressBlock(asked) => Some(asked.ask.host.to_string()),
        Ask::PipelockBlock(asked) => Some(asked.host.to_string()),
        Ask::CapabilityBlock(_) => None,
    }
}
