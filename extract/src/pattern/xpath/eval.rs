//! Evaluates an expression, with a budget of steps.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use scraper::Node as Kind;

use super::super::limits::MAX_VALUE_CHARS;
use super::super::work::Work;
use super::syntax::{Axis, Expr, Function, Operator, Start, Step, Test};
use crate::html::{Page, ego::NodeRef};

/// Bytes of text that a function goes through in a step.
const TEXT_BYTES_PER_STEP: usize = 16;

/// What an expression yields.
#[derive(Debug)]
pub(in super::super) enum Found<'a> {
    /// Its first node in the document is an element or a text.
    Node(NodeRef<'a>),
    /// An attribute's value, or the string, number or truth that the expression comes to.
    Text(String),
}

/// So many nodes are compared with each other to find the first; for more, the document is gone through.
const FEW: usize = 16;

/// The budget is used up; or the expression asks for what is not there to be had.
struct Stop;

type Outcome<T> = Result<T, Stop>;

/// A node of the data model.
#[derive(Clone, Copy)]
enum Node<'a> {
    /// An element, a text, or the document.
    Tree(NodeRef<'a>),
    /// An attribute's name and value, and whose it is.
    Attribute(NodeRef<'a>, &'a str, &'a str),
}

enum Value<'a> {
    Nodes(Vec<Node<'a>>),
    Text(String),
    Number(f64),
    Truth(bool),
}

/// What an expression is evaluated for: a node, and its place among those of the step.
#[derive(Clone, Copy)]
struct Here<'a> {
    node: Node<'a>,
    position: usize,
    last: usize,
}

pub(super) fn first<'a>(expression: &Expr, page: &'a Page, work: &Work) -> Option<Found<'a>> {
    let root = page.document().tree.root();
    let evaluator = Evaluator { root, work };
    let here = Here {
        node: Node::Tree(root),
        position: 1,
        last: 1,
    };
    match evaluator.value(expression, here).ok()? {
        Value::Nodes(nodes) => match evaluator.first(&nodes).ok()?? {
            Node::Tree(node) => Some(Found::Node(node)),
            Node::Attribute(_, _, value) => Some(Found::Text(value.to_owned())),
        },
        Value::Text(text) => Some(Found::Text(text)),
        Value::Number(number) => Some(Found::Text(number.to_string())),
        Value::Truth(truth) => Some(Found::Text(truth.to_string())),
    }
}

impl<'a> Node<'a> {
    fn owner(self) -> NodeRef<'a> {
        match self {
            Self::Tree(node) | Self::Attribute(node, ..) => node,
        }
    }

    fn name(self) -> Option<&'a str> {
        match self {
            Self::Tree(node) => node.value().as_element().map(|element| element.name()),
            Self::Attribute(_, name, _) => Some(name),
        }
    }

    fn passes(self, test: &Test) -> bool {
        match (test, self) {
            (Test::Node, _) => true,
            (Test::Any, _) => self.name().is_some(),
            (Test::Name(name), _) => self.name() == Some(name.as_str()),
            (Test::Text, Self::Tree(node)) => node.value().is_text(),
            (Test::Text, Self::Attribute(..)) => false,
        }
    }
}

struct Evaluator<'a, 'w> {
    root: NodeRef<'a>,
    work: &'w Work,
}

impl<'a> Evaluator<'a, '_> {
    fn spend(&self, steps: usize) -> Outcome<()> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        self.work.spend(steps).then_some(()).ok_or(Stop)
    }

    /// Pays for what a function does with so many bytes of text.
    fn spend_on_text(&self, bytes: usize) -> Outcome<()> {
        self.work
            .spend_bytes(bytes, TEXT_BYTES_PER_STEP)
            .then_some(())
            .ok_or(Stop)
    }

    fn value(&self, expression: &Expr, here: Here<'a>) -> Outcome<Value<'a>> {
        self.spend(1)?;
        Ok(match expression {
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Number(number) => Value::Number(*number),
            Expr::Call(function, arguments) => self.call(*function, arguments, here)?,
            Expr::Binary(operator, left, right) => self.binary(*operator, left, right, here)?,
            Expr::Path(start, steps) => Value::Nodes(self.path(start, steps, here)?),
        })
    }

    fn path(&self, start: &Start, steps: &[Step], here: Here<'a>) -> Outcome<Vec<Node<'a>>> {
        let mut nodes = match start {
            Start::Root => vec![Node::Tree(self.root)],
            Start::Here => vec![here.node],
            Start::Nodes(inner, predicates) => {
                let mut nodes = self.nodes(inner, here)?;
                if nodes.len() > 1 && !predicates.is_empty() {
                    self.sort(&mut nodes)?;
                }
                for predicate in predicates {
                    nodes = self.filtered(nodes, predicate)?;
                }
                nodes
            }
        };
        for step in steps {
            nodes = self.step(&nodes, step)?;
        }
        Ok(nodes)
    }

    fn nodes(&self, expression: &Expr, here: Here<'a>) -> Outcome<Vec<Node<'a>>> {
        match self.value(expression, here)? {
            Value::Nodes(nodes) => Ok(nodes),
            Value::Text(_) | Value::Number(_) | Value::Truth(_) => Err(Stop),
        }
    }

    /// The nodes one step from these, each once.
    fn step(&self, from: &[Node<'a>], step: &Step) -> Outcome<Vec<Node<'a>>> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for node in from {
            let mut found = self.along(*node, step)?;
            for predicate in &step.predicates {
                found = self.filtered(found, predicate)?;
            }
            // To see that each is there once costs more than to look at it.
            self.spend(found.len())?;
            all.extend(found.into_iter().filter(|node| match node {
                Node::Tree(tree) => seen.insert((tree.id(), None)),
                Node::Attribute(owner, name, _) => seen.insert((owner.id(), Some(*name))),
            }));
        }
        Ok(all)
    }

    /// The nodes on an axis that pass the test, in the axis's order.
    fn along(&self, from: Node<'a>, step: &Step) -> Outcome<Vec<Node<'a>>> {
        let tree = match (from, step.axis) {
            (_, Axis::Itself) => return self.passing(std::iter::once(from), step),
            (Node::Attribute(owner, ..), Axis::Parent) => {
                return self.passing(std::iter::once(Node::Tree(owner)), step);
            }
            (Node::Attribute(..), _) => return Ok(Vec::new()),
            (Node::Tree(tree), _) => tree,
        };
        match step.axis {
            Axis::Child => self.passing(tree.children().map(Node::Tree), step),
            Axis::Descendant => self.passing(tree.descendants().skip(1).map(Node::Tree), step),
            Axis::DescendantOrSelf => self.passing(tree.descendants().map(Node::Tree), step),
            Axis::Itself => self.passing(std::iter::once(from), step),
            Axis::Parent => self.passing(tree.parent().into_iter().map(Node::Tree), step),
            Axis::Ancestor => self.passing(tree.ancestors().map(Node::Tree), step),
            Axis::AncestorOrSelf => {
                let itself = std::iter::once(tree);
                self.passing(itself.chain(tree.ancestors()).map(Node::Tree), step)
            }
            Axis::Following => {
                let after = std::iter::once(tree)
                    .chain(tree.ancestors())
                    .flat_map(|node| node.next_siblings())
                    .flat_map(|node| node.descendants());
                self.passing(after.map(Node::Tree), step)
            }
            Axis::Preceding => {
                // The nearest first, as on every axis that looks back.
                let before = std::iter::once(tree)
                    .chain(tree.ancestors())
                    .flat_map(|node| node.prev_siblings())
                    .flat_map(|node| node.descendants().collect::<Vec<_>>().into_iter().rev());
                self.passing(before.map(Node::Tree), step)
            }
            Axis::FollowingSibling => self.passing(tree.next_siblings().map(Node::Tree), step),
            Axis::PrecedingSibling => self.passing(tree.prev_siblings().map(Node::Tree), step),
            Axis::Attribute => {
                let attributes = tree.value().as_element().into_iter();
                let attributes = attributes.flat_map(|element| element.attrs());
                self.passing(
                    attributes.map(|(name, value)| Node::Attribute(tree, name, value)),
                    step,
                )
            }
        }
    }

    fn passing(
        &self,
        nodes: impl Iterator<Item = Node<'a>>,
        step: &Step,
    ) -> Outcome<Vec<Node<'a>>> {
        let mut passing = Vec::new();
        for node in nodes {
            self.spend(1)?;
            if node.passes(&step.test) {
                passing.push(node);
            }
        }
        Ok(passing)
    }

    /// The nodes for which a predicate holds; a number is a position.
    fn filtered(&self, nodes: Vec<Node<'a>>, predicate: &Expr) -> Outcome<Vec<Node<'a>>> {
        let last = nodes.len();
        let mut kept = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let here = Here {
                node,
                position: index + 1,
                last,
            };
            let holds = match self.value(predicate, here)? {
                Value::Number(number) => number == as_number(here.position),
                value => truth(&value),
            };
            if holds {
                kept.push(node);
            }
        }
        Ok(kept)
    }

    fn binary(
        &self,
        operator: Operator,
        left: &Expr,
        right: &Expr,
        here: Here<'a>,
    ) -> Outcome<Value<'a>> {
        let left = self.value(left, here)?;
        Ok(match operator {
            Operator::Or => Value::Truth(truth(&left) || self.holds(right, here)?),
            Operator::And => Value::Truth(truth(&left) && self.holds(right, here)?),
            Operator::Union => {
                let mut nodes = match left {
                    Value::Nodes(nodes) => nodes,
                    Value::Text(_) | Value::Number(_) | Value::Truth(_) => return Err(Stop),
                };
                nodes.extend(self.nodes(right, here)?);
                Value::Nodes(nodes)
            }
            Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => {
                let right = self.value(right, here)?;
                Value::Truth(self.compare(operator, &left, &right)?)
            }
        })
    }

    fn holds(&self, expression: &Expr, here: Here<'a>) -> Outcome<bool> {
        Ok(truth(&self.value(expression, here)?))
    }

    /// Compares as `XPath` does: some node of a set is enough (1.0, section 3.4).
    fn compare(&self, operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Outcome<bool> {
        match (left, right) {
            (Value::Truth(_), _) | (_, Value::Truth(_)) => {
                Ok(accepts(operator, Some(truth(left).cmp(&truth(right)))))
            }
            (Value::Nodes(nodes), other) => self.any(nodes, |text| {
                self.compare(operator, &Value::Text(text), other)
            }),
            (other, Value::Nodes(nodes)) => self.any(nodes, |text| {
                self.compare(operator, other, &Value::Text(text))
            }),
            (Value::Text(left), Value::Text(right))
                if matches!(operator, Operator::Equal | Operator::NotEqual) =>
            {
                self.spend_on_text(left.len().min(right.len()))?;
                Ok(accepts(operator, Some(left.cmp(right))))
            }
            (left, right) => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                Ok(accepts(operator, left.partial_cmp(&right)))
            }
        }
    }

    fn any(
        &self,
        nodes: &[Node<'a>],
        mut holds: impl FnMut(String) -> Outcome<bool>,
    ) -> Outcome<bool> {
        for node in nodes {
            if holds(self.text_of(*node)?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn text(&self, value: &Value<'a>) -> Outcome<String> {
        Ok(match value {
            Value::Nodes(nodes) => match self.first(nodes)? {
                Some(node) => self.text_of(node)?,
                None => String::new(),
            },
            Value::Text(text) => {
                self.spend_on_text(text.len())?;
                text.clone()
            }
            Value::Number(number) => number.to_string(),
            Value::Truth(truth) => truth.to_string(),
        })
    }

    /// Puts nodes in the order of the document, each attribute behind its element.
    fn sort(&self, nodes: &mut [Node<'a>]) -> Outcome<()> {
        let mut places: HashMap<_, _> = nodes.iter().map(|node| (node.owner().id(), 0)).collect();
        for (place, owner) in self.root.descendants().enumerate() {
            self.spend(1)?;
            if let Some(known) = places.get_mut(&owner.id()) {
                *known = place;
            }
        }
        nodes.sort_by_key(|node| {
            let place = places.get(&node.owner().id()).copied();
            (place, matches!(node, Node::Attribute(..)))
        });
        Ok(())
    }

    /// The first of these nodes in the document.
    fn first(&self, nodes: &[Node<'a>]) -> Outcome<Option<Node<'a>>> {
        let Some((first, others)) = nodes.split_first() else {
            return Ok(None);
        };
        if others.len() < FEW {
            let mut first = *first;
            for node in others {
                if self.is_before(node.owner(), first.owner())? {
                    first = *node;
                }
            }
            return Ok(Some(first));
        }
        let wanted: HashSet<_> = nodes.iter().map(|node| node.owner().id()).collect();
        for owner in self.root.descendants() {
            self.spend(1)?;
            if wanted.contains(&owner.id()) {
                let is_first = |node: &&Node<'a>| node.owner().id() == owner.id();
                return Ok(nodes.iter().find(is_first).copied());
            }
        }
        Ok(None)
    }

    /// Whether a node comes before another in the document.
    fn is_before(&self, node: NodeRef<'a>, other: NodeRef<'a>) -> Outcome<bool> {
        if node.parent().map(|parent| parent.id()) == other.parent().map(|parent| parent.id()) {
            return self.is_sibling_before(node, other);
        }
        let path = |node: NodeRef<'a>| {
            let mut path: Vec<_> = std::iter::once(node).chain(node.ancestors()).collect();
            path.reverse();
            path
        };
        let (path, other_path) = (path(node), path(other));
        self.spend(path.len() + other_path.len())?;
        let shared = path
            .iter()
            .zip(&other_path)
            .take_while(|(node, other)| node.id() == other.id())
            .count();
        match (path.get(shared), other_path.get(shared)) {
            (Some(node), Some(other)) => self.is_sibling_before(*node, *other),
            // One is within the other, or the same.
            (node, other) => Ok(node.is_none() && other.is_some()),
        }
    }

    /// The same of children of one parent: looks onward from both, since they may be far from its ends.
    fn is_sibling_before(&self, node: NodeRef<'a>, other: NodeRef<'a>) -> Outcome<bool> {
        let mut after = node.next_siblings();
        let mut after_other = other.next_siblings();
        loop {
            self.spend(1)?;
            match (after.next(), after_other.next()) {
                (Some(next), _) if next.id() == other.id() => return Ok(true),
                (_, Some(next)) if next.id() == node.id() => return Ok(false),
                (None, _) => return Ok(false),
                (_, None) => return Ok(true),
                (Some(_), Some(_)) => {}
            }
        }
    }

    /// The text of a node and all below it, cut at [`MAX_VALUE_CHARS`] or soon after.
    fn text_of(&self, node: Node<'a>) -> Outcome<String> {
        let tree = match node {
            Node::Attribute(_, _, value) => {
                self.spend(1 + value.len() / 64)?;
                return Ok(value.to_owned());
            }
            Node::Tree(tree) => tree,
        };
        let mut out = String::new();
        for child in tree.descendants() {
            self.spend(1)?;
            if let Kind::Text(text) = child.value() {
                self.spend(text.len() / 64)?;
                out.push_str(text);
            }
            if out.len() >= MAX_VALUE_CHARS * 4 {
                break;
            }
        }
        Ok(out)
    }

    fn number(&self, value: &Value<'a>) -> Outcome<f64> {
        Ok(match value {
            Value::Number(number) => *number,
            Value::Truth(truth) => f64::from(u8::from(*truth)),
            Value::Nodes(_) | Value::Text(_) => {
                self.text(value)?.trim().parse().unwrap_or(f64::NAN)
            }
        })
    }

    fn call(&self, function: Function, arguments: &[Expr], here: Here<'a>) -> Outcome<Value<'a>> {
        // An argument that may be left out is the node in hand.
        let argument = |index: usize| match arguments.get(index) {
            Some(argument) => self.value(argument, here),
            None => Ok(Value::Nodes(vec![here.node])),
        };
        // Whatever a function does with a text, it goes through it once.
        let text = |index: usize| -> Outcome<String> {
            let text = self.text(&argument(index)?)?;
            self.spend_on_text(text.len())?;
            Ok(text)
        };
        Ok(match function {
            Function::Position => Value::Number(as_number(here.position)),
            Function::Last => Value::Number(as_number(here.last)),
            Function::Count => match argument(0)? {
                Value::Nodes(nodes) => Value::Number(as_number(nodes.len())),
                Value::Text(_) | Value::Number(_) | Value::Truth(_) => return Err(Stop),
            },
            Function::Not => Value::Truth(!truth(&argument(0)?)),
            Function::True => Value::Truth(true),
            Function::False => Value::Truth(false),
            Function::Contains => Value::Truth(text(0)?.contains(&text(1)?)),
            Function::StartsWith => Value::Truth(text(0)?.starts_with(&text(1)?)),
            Function::EndsWith => Value::Truth(text(0)?.ends_with(&text(1)?)),
            Function::NormalizeSpace => {
                let words: Vec<String> = text(0)?.split_whitespace().map(str::to_owned).collect();
                Value::Text(words.join(" "))
            }
            Function::String => Value::Text(text(0)?),
            Function::Concat => {
                let mut all = String::new();
                for index in 0..arguments.len() {
                    all.push_str(&text(index)?);
                }
                Value::Text(all)
            }
            Function::SubstringBefore => {
                let (whole, part) = (text(0)?, text(1)?);
                let before = whole.split_once(part.as_str()).map(|(before, _)| before);
                Value::Text(before.unwrap_or_default().to_owned())
            }
            Function::SubstringAfter => {
                let (whole, part) = (text(0)?, text(1)?);
                let after = whole.split_once(part.as_str()).map(|(_, after)| after);
                Value::Text(after.unwrap_or_default().to_owned())
            }
            Function::Translate => {
                let (whole, from, to) = (text(0)?, text(1)?, text(2)?);
                self.spend_on_text(whole.len().saturating_mul(from.len()))?;
                Value::Text(translate(&whole, &from, &to))
            }
            Function::LowerCase => Value::Text(text(0)?.to_lowercase()),
            Function::StringLength => Value::Number(as_number(text(0)?.chars().count())),
            Function::Number => Value::Number(self.number(&argument(0)?)?),
            Function::Name => Value::Text(here.node.name().unwrap_or_default().to_owned()),
        })
    }
}

fn truth(value: &Value<'_>) -> bool {
    match value {
        Value::Nodes(nodes) => !nodes.is_empty(),
        Value::Text(text) => !text.is_empty(),
        Value::Number(number) => *number != 0.0 && !number.is_nan(),
        Value::Truth(truth) => *truth,
    }
}

/// Replaces each character of `from` by the one at the same place in `to`, or removes it.
fn translate(text: &str, from: &str, to: &str) -> String {
    let to: Vec<char> = to.chars().collect();
    text.chars()
        .filter_map(|c| match from.chars().position(|wanted| wanted == c) {
            Some(index) => to.get(index).copied(),
            None => Some(c),
        })
        .collect()
}

fn accepts(operator: Operator, ordering: Option<Ordering>) -> bool {
    match operator {
        Operator::Equal => ordering == Some(Ordering::Equal),
        Operator::NotEqual => ordering != Some(Ordering::Equal),
        Operator::Less => ordering == Some(Ordering::Less),
        Operator::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        Operator::Greater => ordering == Some(Ordering::Greater),
        Operator::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        Operator::Or | Operator::And | Operator::Union => false,
    }
}

/// Counts are far below what a double holds exactly.
fn as_number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
