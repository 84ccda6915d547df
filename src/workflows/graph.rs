//! Which step comes after which.

use std::collections::{BTreeMap, BTreeSet};

/// A step's name and the names of the steps that it comes after.
type Named<'n> = (&'n str, &'n [String]);

/// Places the steps so that each is behind those that it comes after; otherwise their order stays. The answer has the steps'
/// places in the given list.
///
/// # Errors
/// A sentence that names a step which is not there, or the steps of a cycle in their order.
pub(super) fn order(steps: &[Named<'_>]) -> Result<Vec<usize>, String> {
    let place: BTreeMap<&str, usize> = steps.iter().enumerate().map(|(i, (name, _))| (*name, i)).collect();
    for (name, after) in steps {
        for (i, other) in after.iter().enumerate() {
            let shown: String = other.escape_debug().take(64).collect();
            if !place.contains_key(other.as_str()) {
                let known: Vec<&str> = steps.iter().map(|(known, _)| *known).filter(|known| known != name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(format!("steps.{name}.after: there is no step `{shown}`; others are: {known}"));
            }
            if after[..i].contains(other) {
                return Err(format!("steps.{name}.after: `{shown}` is there twice"));
            }
        }
    }
    let mut ordered: Vec<usize> = Vec::with_capacity(steps.len());
    while ordered.len() < steps.len() {
        let is_placed = |name: &String| ordered.contains(&place[name.as_str()]);
        let next = (0..steps.len()).find(|i| !ordered.contains(i) && steps[*i].1.iter().all(is_placed));
        match next {
            Some(next) => ordered.push(next),
            None => return Err(cycle(steps, &place, &ordered)),
        }
    }
    Ok(ordered)
}

/// The sentence on a cycle among the steps that could not be placed. Each of them comes after another one of them.
fn cycle(steps: &[Named<'_>], place: &BTreeMap<&str, usize>, placed: &[usize]) -> String {
    let mut at = (0..steps.len()).find(|i| !placed.contains(i)).expect("a step is left");
    let mut walked = Vec::new();
    while !walked.contains(&at) {
        walked.push(at);
        let before = steps[at].1.iter().map(|name| place[name.as_str()]);
        at = before.filter(|i| !placed.contains(i)).min().expect("it waits for one that is left");
    }
    let begin = walked.iter().position(|i| *i == at).expect("it was walked");
    // The walk went from each step to one before it.
    let mut names: Vec<&str> = walked[begin..].iter().rev().map(|i| steps[*i].0).collect();
    let first = names.iter().enumerate().min_by_key(|(_, name)| place[**name]).map_or(0, |(i, _)| i);
    names.rotate_left(first);
    names.push(names[0]);
    format!("steps: there is a cycle, in which each step comes after itself: {}", names.join(" → "))
}

/// By name, the steps that a step comes after, directly or by others. The steps are in the order that [`order`] gives.
pub(super) fn ancestors<'n>(ordered: &[Named<'n>]) -> BTreeMap<&'n str, BTreeSet<&'n str>> {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, after) in ordered {
        let mut own = BTreeSet::new();
        for before in *after {
            own.insert(before.as_str());
            own.extend(&all[before.as_str()]);
        }
        all.insert(name, own);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<(String, Vec<String>)> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let step = |line: &str| line.split_once(':').map(|(name, after)| (name.trim().to_owned(), words(after)));
        text.split(',').map(|line| step(line).expect("a name and a colon")).collect()
    }

    fn named(steps: &[(String, Vec<String>)]) -> Vec<Named<'_>> {
        steps.iter().map(|(name, after)| (name.as_str(), after.as_slice())).collect()
    }

    fn order_of(text: &str) -> Result<String, String> {
        let steps = steps(text);
        let ordered = order(&named(&steps))?;
        Ok(ordered.into_iter().map(|i| steps[i].0.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn steps_are_behind_those_that_they_come_after_and_else_stay() {
        assert_eq!(order_of("a:, b:, c:"), Ok("a b c".into()));
        assert_eq!(order_of("c: b, b: a, a:, d:"), Ok("a b c d".into()));
        assert_eq!(order_of("tell: x y, x:, z: y, y: x"), Ok("x y tell z".into()));
    }

    #[test]
    fn cycles_are_named_in_their_order() {
        for (text, said) in [
            ("a: a", "a → a"),
            ("a: b, b: a", "a → b → a"),
            ("x:, a: c x, b: a, c: b, d: c", "a → b → c → a"),
            ("d: c, c: b, b: e, e: c", "c → e → b → c"),
        ] {
            let fault = order_of(text).unwrap_err();
            assert_eq!(
                fault,
                format!("steps: there is a cycle, in which each step comes after itself: {said}"),
                "{text}"
            );
        }
    }

    #[test]
    fn unknown_and_repeated_steps_are_named() {
        assert_eq!(order_of("a: c, b:"), Err("steps.a.after: there is no step `c`; others are: b".into()));
        assert_eq!(order_of("a:, b: a a"), Err("steps.b.after: `a` is there twice".into()));
    }

    #[test]
    fn ancestors_are_direct_and_by_others() {
        let steps = steps("a:, b: a, c: b, d:, e: c d");
        let all = ancestors(&named(&steps));
        assert_eq!(all["e"], ["a", "b", "c", "d"].into());
        assert_eq!((all["a"].len(), all["c"].clone()), (0, ["a", "b"].into()));
    }
}
