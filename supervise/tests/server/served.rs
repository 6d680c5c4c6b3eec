//! A running server, a raw HTTP client for both revisions, and the operator's part.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use contract::{OperatorDecision, ProposalId, Response, SCHEMA_VERSION, Sha256Hex};
use serde_json::{Value, json};

/// A protocol revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2025-11-25.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// The program, running.
pub(crate) struct Served {
    pub(crate) folder: tempfile::TempDir,
    child: Child,
}

/// An answer that is being read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    reader: BufReader<UnixStream>,
}

// === impl Served ===

impl Served {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), None)
    }

    /// `limit`: the longest file that it can write, in blocks of the shell's `ulimit -f`.
    pub(crate) fn start_in(folder: tempfile::TempDir, limit: Option<u32>) -> Self {
        for part in ["proposals", "responses", "run"] {
            fs_err::create_dir_all(folder.path().join(part)).unwrap();
        }
        let bound = limit.map_or(String::new(), |blocks| {
            format!("trap '' XFSZ; ulimit -f {blocks}; ")
        });
        let script = format!(
            "{bound}exec \"$0\" run --proposals proposals --responses responses --run run --egress unix:egress.sock \
             --listen unix:door.sock"
        );
        let child = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_supervise")])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(appending(&folder.path().join("events")))
            .stderr(appending(&folder.path().join("log")))
            .spawn()
            .unwrap();
        let mut served = Self { folder, child };
        while UnixStream::connect(served.path("door.sock")).is_err() {
            if let Some(status) = served.child.try_wait().unwrap() {
                panic!("it ended ({status}): {}", served.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        served
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        fs_err::read_to_string(self.path("log")).unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let placeholder = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.folder, placeholder)
    }

    /// SIGTERM; gives the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// The proposals' files of this ending.
    pub(crate) fn proposals(&self, ending: &str) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = fs_err::read_dir(self.path("proposals"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_str().unwrap().ends_with(ending))
            .collect();
        paths.sort();
        paths
    }

    /// The one proposal, once it is there.
    pub(crate) fn the_proposal(&self) -> PathBuf {
        wait_for(|| self.proposals(".json").pop())
    }

    /// Decides about a proposal as the launcher does: a whole file, made by a link.
    pub(crate) fn decide(&self, proposal: &Path, decision: OperatorDecision) {
        let id = id_of(proposal);
        let response = Response {
            schema_version: SCHEMA_VERSION,
            proposal_id: id.clone(),
            proposal_sha256: Sha256Hex::of(&fs_err::read(proposal).unwrap()),
            decided_at: std::time::SystemTime::now().into(),
            decided_by: "operator".to_owned(),
            decision,
        };
        let beside = self.path("response.new");
        fs_err::write(&beside, serde_json::to_vec(&response).unwrap()).unwrap();
        let path = self.path("responses").join(format!("{id}.json"));
        fs_err::hard_link(&beside, path).unwrap();
        // Else the next one would be written into this one's inode.
        fs_err::remove_file(beside).unwrap();
    }

    pub(crate) fn reject(&self, proposal: &Path) {
        let reason = "use the mirror".to_owned();
        self.decide(proposal, OperatorDecision::Rejected { reason });
    }

    pub(crate) fn post(&self, era: Era, headers: &[&str], message: &Value) -> Answer {
        self.post_bytes(era, headers, message, message.to_string().as_bytes())
    }

    pub(crate) fn post_bytes(&self, era: Era, headers: &[&str], message: &Value, body: &[u8]) -> Answer {
        post_to(&self.path("door.sock"), era, headers, message, body)
    }

    pub(crate) fn call(&self, era: Era, tool: &str, arguments: Value) -> Answer {
        self.post(era, &[], &call(era, tool, arguments, json!({})))
    }

    pub(crate) fn call_tool(&self, era: Era, tool: &str, arguments: Value) -> Value {
        self.call(era, tool, arguments).result()
    }

    /// Of the newest revision, by a client that takes tasks.
    pub(crate) fn with_tasks(&self, method: &str, mut params: Value) -> Answer {
        params["_meta"] = modern_meta(json!({"extensions": {"io.modelcontextprotocol/tasks": {}}}));
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.post(Era::Modern, &[], &message)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn appending(path: &Path) -> std::fs::File {
    let file = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.into_parts().0
}

/// Sends one message to a server's socket.
pub(crate) fn post_to(door: &Path, era: Era, headers: &[&str], message: &Value, body: &[u8]) -> Answer {
    let mut stream = UnixStream::connect(door).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut head = format!(
        "POST /mcp HTTP/1.1\r\nHost: supervise:8931\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n",
        body.len()
    );
    if era == Era::Modern {
        head += "MCP-Protocol-Version: 2026-07-28\r\n";
        head += &format!("Mcp-Method: {}\r\n", message["method"].as_str().unwrap());
        let name = [&message["params"]["name"], &message["params"]["taskId"]];
        if let Some(name) = name.iter().find_map(|name| name.as_str()) {
            head += &format!("Mcp-Name: {name}\r\n");
        }
    } else if message["method"] != "initialize" {
        head += "MCP-Protocol-Version: 2025-11-25\r\n";
    }
    for header in headers {
        head += &format!("{header}\r\n");
    }
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"\r\n").unwrap();
    stream.write_all(body).unwrap();
    Answer::read(stream)
}

/// A call of a tool. `meta` is added to what the revision wants.
pub(crate) fn call(era: Era, tool: &str, arguments: Value, meta: Value) -> Value {
    let mut all = match era {
        Era::Legacy => json!({}),
        Era::Modern => modern_meta(json!({})),
    };
    for (name, value) in meta.as_object().unwrap() {
        all[name] = value.clone();
    }
    json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, "_meta": all},
    })
}

fn modern_meta(capabilities: Value) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    })
}

pub(crate) fn ask(host: &str) -> Value {
    json!({"host": host, "justification": "work"})
}

pub(crate) fn id_of(proposal: &Path) -> ProposalId {
    let stem = proposal.file_stem().unwrap();
    stem.to_str().unwrap().parse().unwrap()
}

/// Waits until there is one; a test's own time-out ends it.
pub(crate) fn wait_for<T>(mut there: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(it) = there() {
            return it;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

// === impl Answer ===

impl Answer {
    fn read(stream: UnixStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                line => headers.push(line.to_lowercase()),
            }
        }
        let status = headers[0].split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            headers,
            reader,
        }
    }

    /// The next line that is not empty and no length of a chunk.
    pub(crate) fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self.reader.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the answer is over");
            let line = line.trim_end();
            if !line.is_empty() && !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return line.to_owned();
            }
        }
    }

    /// The next message: an event's, or the whole body.
    pub(crate) fn message(&mut self) -> Value {
        loop {
            let line = self.line();
            if let Some(text) = line.strip_prefix("data: ") {
                return serde_json::from_str(text).unwrap();
            }
            if line.starts_with('{') {
                // A body without an end of line.
                return serde_json::from_str(&line).unwrap();
            }
        }
    }

    /// The result of a call, whatever came before it.
    pub(crate) fn result(mut self) -> Value {
        loop {
            let message = self.message();
            if message.get("id").is_some() {
                assert!(message.get("result").is_some(), "{message}");
                return message["result"].clone();
            }
        }
    }

    /// The whole body of an answer with a length.
    pub(crate) fn body(mut self) -> String {
        use std::io::Read as _;
        let length = self
            .headers
            .iter()
            .find_map(|header| header.strip_prefix("content-length: "))
            .map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }
}
