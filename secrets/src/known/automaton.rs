//! The Aho–Corasick automaton over every form of every value.
//!
//! The stock implementation is not used because this one must answer two questions that it does not: how much of
//! a pattern is alive (the depth of a state, which is exactly what must be held back), and where its memory is,
//! so that it can be wiped. A state near the root has a row of a transition table; the rare deep ones are walked
//! along the trie, so a long value costs memory in proportion to its length.
//!
//! Two tables of one shape: `next` is the transition function, `fast` is the same with [`STOP`] wherever
//! something beyond a plain step happens (a match, a deep state, a byte that begins an escape), so that the scan
//! loop tests one number per byte.

mod skip;

use super::encode::{self, Forms, Pattern};
use super::form::Encoding;
use crate::byte_table::ByteTable;
use crate::unescape::{Undo, Unescape};
use std::collections::VecDeque;
use zeroize::Zeroize;

/// "No state", "no row", "no pattern".
const NONE: u32 = u32::MAX;
/// Leave the scan loop before this byte.
const STOP: u32 = u32::MAX;
/// The state in which nothing is alive.
pub(super) const ROOT: u32 = 0;
/// States with a row have at most this depth: in ordinary text fewer than one byte in a thousand goes deeper.
const ROW_DEPTH: u32 = 2;
/// The most rows: 4096 rows of about 80 classes are 1.3 MB per table.
const ROWS: usize = 4096;
/// White space is read through when at least this much of an occurrence precedes it. A single character is the
/// end of every third word in ordinary text.
const WRAP_DEPTH: u32 = 2;

struct Node {
    byte: u8,
    /// On the way to a lower-case hexadecimal pattern.
    hexadecimal: bool,
    depth: u32,
    child: u32,
    sibling: u32,
    fail: u32,
    /// The pattern that ends here.
    output: u32,
    /// The nearest state along `fail` with an output.
    shorter_output: u32,
    row: u32,
}

/// What is told of a pattern; its bytes are in the trie alone.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) value: usize,
    pub(super) encoding: Encoding,
    pub(super) length: usize,
}

pub(super) struct Automaton {
    nodes: Vec<Node>,
    forms: Vec<Form>,
    classes: Box<ByteTable<u8>>,
    width: usize,
    next: Vec<u32>,
    fast: Vec<u32>,
}

// === impl Automaton ===

impl Automaton {
    /// Builds the automaton of `values`; a finding names a value by its index.
    pub(super) fn new<'a>(values: impl Iterator<Item = &'a [u8]>, forms: Forms) -> Self {
        let patterns: Vec<(usize, Pattern)> = values
            .enumerate()
            .flat_map(|(index, value)| {
                encode::patterns(value, forms)
                    .into_iter()
                    .map(move |pattern| (index, pattern))
            })
            .collect();
        let size = 1 + patterns
            .iter()
            .map(|(_, pattern)| pattern.bytes.len())
            .sum::<usize>();
        let mut automaton = Self {
            // Reserved whole: a vector that grows leaves copies of its content behind, unwiped.
            nodes: Vec::with_capacity(size),
            forms: Vec::new(),
            classes: Box::new(ByteTable::new(0)),
            width: 1,
            next: Vec::new(),
            fast: Vec::new(),
        };
        automaton.nodes.push(Node::new(0, 0));
        for (value, pattern) in &patterns {
            automaton.insert(*value, pattern);
        }
        let order = automaton.link();
        automaton.classify();
        automaton.tabulate(&order);
        automaton
    }

    pub(super) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// How many of the bytes read last are the beginning of a pattern.
    #[inline]
    pub(super) fn depth(&self, state: u32) -> u32 {
        self.node(state).map_or(0, |node| node.depth)
    }

    #[inline]
    pub(super) fn step(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            let Some(node) = self.node(state) else { return ROOT };
            if let Some(&target) = self.cell(node.row, byte).and_then(|cell| self.next.get(cell)) {
                return target;
            }
            match self.child(node, byte) {
                Some(target) => return target,
                None if state == ROOT => return ROOT,
                None => state = node.fail,
            }
        }
    }

    /// Whether the plain reading alone takes `text` to its end and finds nothing in it. No: that cannot be said
    /// without all readings.
    pub(super) fn is_plain(&self, mut text: &[u8]) -> bool {
        if self.is_empty() {
            return true;
        }
        let mut state = ROOT;
        loop {
            let count = self.skip(&mut state, text);
            let Some((&byte, rest)) = text.get(count..).and_then(<[u8]>::split_first) else {
                return true;
            };
            if self.needs_a_look(state, byte) {
                return false;
            }
            state = self.step(state, byte);
            text = rest;
        }
    }

    /// Whether reading `byte` in lower case, after `state`, goes on with a hexadecimal form where it would not
    /// as it stands.
    pub(super) fn folds(&self, state: u32, byte: u8) -> bool {
        matches!(byte, b'A'..=b'F') && {
            let folded = self.step(state, byte.to_ascii_lowercase());
            folded != self.step(state, byte) && self.node(folded).is_some_and(|node| node.hexadecimal)
        }
    }

    /// Whether the reading without escapes and white space may part from the plain one at `byte`, after
    /// `state`. It is the only reading that is choosy: white space and ampersands are too common.
    pub(super) fn unwraps(&self, state: u32, byte: u8) -> bool {
        match byte {
            b'%' | b'\\' => true,
            b'&' => state != ROOT,
            b' ' | b'\t' | b'\r' | b'\n' => self.depth(state) >= WRAP_DEPTH,
            _ => false,
        }
    }

    /// The patterns that end in `state`, the longest first.
    pub(super) fn outputs(&self, state: u32) -> impl Iterator<Item = Form> {
        let mut at = self.node(state);
        std::iter::from_fn(move || {
            loop {
                let node = at?;
                at = self.node(node.shorter_output);
                if let Some(form) = self.forms.get(node.output as usize) {
                    return Some(*form);
                }
            }
        })
    }

    #[inline]
    fn node(&self, state: u32) -> Option<&Node> {
        self.nodes.get(state as usize)
    }

    #[inline]
    fn cell(&self, row: u32, byte: u8) -> Option<usize> {
        (row != NONE).then(|| row as usize + usize::from(self.classes.get(byte)))
    }

    /// The state that has this row: its number stands behind the row's last class.
    fn owner(&self, row: u32) -> u32 {
        self.next
            .get(row as usize + self.width - 1)
            .copied()
            .unwrap_or(ROOT)
    }

    fn child(&self, node: &Node, byte: u8) -> Option<u32> {
        self.children(node)
            .find(|&(key, _)| key == byte)
            .map(|(_, state)| state)
    }

    fn children(&self, node: &Node) -> impl Iterator<Item = (u8, u32)> {
        let mut at = node.child;
        std::iter::from_fn(move || {
            let (state, node) = (at, self.node(at)?);
            at = node.sibling;
            Some((node.byte, state))
        })
    }

    fn insert(&mut self, value: usize, pattern: &Pattern) {
        let mut state = ROOT;
        let lower_hexadecimal =
            pattern.encoding == Encoding::Hex && !pattern.bytes.iter().any(u8::is_ascii_uppercase);
        for &byte in pattern.bytes.iter() {
            let existing = self.node(state).and_then(|node| self.child(node, byte));
            state = match existing {
                Some(child) => child,
                None => self.add_child(state, byte),
            };
            if let Some(node) = self.nodes.get_mut(state as usize) {
                node.hexadecimal |= lower_hexadecimal;
            }
        }
        if let Some(node) = self.nodes.get_mut(state as usize)
            && node.output == NONE
        {
            node.output = u32::try_from(self.forms.len()).unwrap_or(NONE);
            self.forms.push(Form {
                value,
                encoding: pattern.encoding,
                length: pattern.bytes.len(),
            });
        }
    }

    fn add_child(&mut self, parent: u32, byte: u8) -> u32 {
        let child = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let mut node = Node::new(byte, 0);
        if let Some(parent) = self.nodes.get_mut(parent as usize) {
            node.depth = parent.depth + 1;
            node.sibling = std::mem::replace(&mut parent.child, child);
        }
        self.nodes.push(node);
        child
    }

    /// Sets the failure links; gives the states in the order of their depth.
    fn link(&mut self) -> Vec<u32> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut queue = VecDeque::from([ROOT]);
        while let Some(state) = queue.pop_front() {
            order.push(state);
            let Some(node) = self.node(state) else { continue };
            let fail = node.fail;
            let children: Vec<(u8, u32)> = self.children(node).collect();
            for (byte, child) in children {
                let target = if state == ROOT {
                    ROOT
                } else {
                    self.step(fail, byte)
                };
                let shorter = self.node(target).map_or(NONE, |node| match node.output {
                    NONE => node.shorter_output,
                    _ => target,
                });
                if let Some(node) = self.nodes.get_mut(child as usize) {
                    node.fail = target;
                    node.shorter_output = shorter;
                }
                queue.push_back(child);
            }
        }
        order
    }

    /// Bytes that no pattern holds and that begin nothing share a class: rows get short and stay in the cache.
    fn classify(&mut self) {
        let mut used = ByteTable::new(false);
        for node in &self.nodes {
            used.set(node.byte, true);
        }
        let unwrapped = Unescape::new(Undo::Unwrapped);
        let mut count = 1usize;
        for byte in 0..=u8::MAX {
            let own = used.get(byte) || unwrapped.is_special(byte) || matches!(byte, b'A'..=b'F');
            if own && count < 255 {
                self.classes.set(byte, u8::try_from(count).unwrap_or(0));
                count += 1;
            }
        }
        if (0..=u8::MAX).filter(|&byte| used.get(byte)).count() > 240 {
            // Binary values: a class per byte.
            for byte in 0..=u8::MAX {
                self.classes.set(byte, byte);
            }
            count = 256;
        }
        // One more for the state's own number.
        self.width = count + 1;
    }

    fn tabulate(&mut self, order: &[u32]) {
        let shallow = |state: &&u32| self.depth(**state) <= ROW_DEPTH;
        let rows: Vec<u32> = order.iter().take_while(shallow).take(ROWS).copied().collect();
        let (mut next, mut fast) = (Vec::new(), Vec::new());
        next.resize(rows.len() * self.width, ROOT);
        fast.resize(rows.len() * self.width, STOP);
        for (index, &state) in rows.iter().enumerate() {
            for byte in 0..=u8::MAX {
                let cell = index * self.width + usize::from(self.classes.get(byte));
                if let Some(slot) = next.get_mut(cell) {
                    *slot = self.step(state, byte);
                }
            }
            if let Some(own) = next.get_mut((index + 1) * self.width - 1) {
                *own = state;
            }
        }
        for (row, &state) in (0u32..).step_by(self.width).zip(&rows) {
            if let Some(node) = self.nodes.get_mut(state as usize) {
                node.row = row;
            }
        }
        self.next = next;
        for (index, &state) in rows.iter().enumerate() {
            for byte in 0..=u8::MAX {
                let target = self.node(self.step(state, byte)).map_or(STOP, |node| node.row);
                let cell = index * self.width + usize::from(self.classes.get(byte));
                if let Some(slot) = fast.get_mut(cell) {
                    *slot = if self.needs_a_look(state, byte) {
                        STOP
                    } else {
                        target
                    };
                }
            }
        }
        self.fast = fast;
    }

    /// Whether a reading other than the plain one may part from it at this byte, or a pattern ends.
    fn needs_a_look(&self, state: u32, byte: u8) -> bool {
        self.outputs(self.step(state, byte)).next().is_some()
            || self.folds(state, byte)
            || self.unwraps(state, byte)
    }
}

impl Node {
    fn new(byte: u8, depth: u32) -> Self {
        Self {
            byte,
            hexadecimal: false,
            depth,
            child: NONE,
            sibling: NONE,
            fail: ROOT,
            output: NONE,
            shorter_output: NONE,
            row: NONE,
        }
    }
}

impl Drop for Automaton {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.byte.zeroize();
            node.child.zeroize();
            node.sibling.zeroize();
            node.fail.zeroize();
        }
        self.next.zeroize();
        self.fast.zeroize();
    }
}
