//! Operations and their inputs as a graph: equal ones are one node, and a value goes when nobody needs it any more.

use super::identity::Identity;
use super::operation::Operation;
use super::task::Task;
use super::value::Value;
use std::collections::HashMap;

/// Number of a node in its graph; inputs have smaller numbers than what they feed.
pub(super) type NodeId = usize;
pub(super) struct Node {
    pub identity: Identity,
    pub operation: Operation,
    pub inputs: Vec<NodeId>,
    pub value: Option<Value>,
    /// Nodes that take this one as input and have no value yet.
    pub open_uses: u32,
    /// Whether a state was computed from this one, so that the run has moved on from it.
    pub superseded: bool,
    /// Whether the inputs' `open_uses` have been told that this node has its value.
    pub settled: bool,
    /// Whether the value is worth keeping on disk although it is large.
    pub keep: bool,
}

impl Node {
    /// Whether nobody needs the value any more, as far as is known.
    pub fn is_done(&self) -> bool {
        self.open_uses == 0 && self.superseded
    }

    pub fn drop_if_done(&mut self) {
        if self.is_done() && !self.operation.is_metric() {
            self.value = None;
        }
    }
}

#[derive(Default)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    by_identity: HashMap<Identity, NodeId>,
    pub asked: u64,
    pub computed: u64,
}

impl Graph {
    pub fn add(&mut self, task: &Task, operation: Operation, inputs: Vec<NodeId>) -> NodeId {
        self.asked += 1;
        let identity = operation.identity(task.identity(), inputs.iter().map(|&i| self.nodes[i].identity));
        if let Some(&node) = self.by_identity.get(&identity) {
            return node;
        }
        for &i in &inputs {
            self.nodes[i].open_uses += 1;
        }
        let node = self.nodes.len();
        self.nodes.push(Node {
            identity,
            operation,
            inputs,
            value: None,
            open_uses: 0,
            superseded: false,
            settled: false,
            keep: false,
        });
        self.by_identity.insert(identity, node);
        node
    }

    /// Gives `node` its value and drops inputs that nobody needs any more: a state is dropped once all its known uses
    /// are done and the run has moved on from it.
    pub fn settle(&mut self, node: NodeId, value: Value) {
        let is_state = matches!(value, Value::State(_));
        self.nodes[node].value = Some(value);
        if std::mem::replace(&mut self.nodes[node].settled, true) {
            return;
        }
        for input in self.nodes[node].inputs.clone() {
            let i = &mut self.nodes[input];
            i.open_uses -= 1;
            i.superseded |= is_state;
            i.drop_if_done();
        }
    }
}
