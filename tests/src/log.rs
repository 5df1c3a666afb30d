//! Log of an edge, line by line.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// Lines of a log; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    pub fn push(&self, line: String) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Reads a child's output on its own thread, until the output ends.
    pub fn follow(&self, output: impl Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                log.push(line);
            }
        });
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The records of all requests.
    pub fn requests(&self) -> Vec<Value> {
        let lines = self.lines();
        let read = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
        read.filter(|record| record["event"] == "request").collect()
    }

    /// The records of one request.
    pub fn records(&self, request_id: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let records = lines.iter().filter(|line| line.contains(request_id));
        let records = records.filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
        records
            .filter(|record| record["event"] == "request" && record["id"] == request_id)
            .collect()
    }
}
