//! Checks of one template: a graph whose references resolve, or a container that the platform lets in and that is only
//! repeated where repeating can help.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Check, list, show};
use crate::{argo::options::is_pinned, step::FINAL_EXIT_CODES};

impl Check<'_> {
    pub(super) fn template(&mut self, template: &Value, at: &str, names: &BTreeSet<&str>, volumes: &BTreeSet<&str>) {
        let name = &template["name"];
        let fits = name.as_str().is_some_and(|name| (1..=63).contains(&name.len()));
        self.require(fits, format!("{at}.name"), "1 to 63 characters", name);
        if template["dag"].is_object() {
            self.dag(list(&template["dag"], "tasks"), &format!("{at}.dag.tasks"), names);
        } else if template["container"].is_object() {
            self.container(&template["container"], &format!("{at}.container"), volumes);
            self.retry(&template["retryStrategy"], &format!("{at}.retryStrategy"));
        } else {
            let found = template.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(", "));
            self.report(at, "dag or container", found.unwrap_or_else(|| show(template)));
        }
    }

    fn dag(&mut self, tasks: &[Value], at: &str, names: &BTreeSet<&str>) {
        if tasks.is_empty() {
            self.report(at, "at least one task", "nothing");
        }
        // A task may only wait for tasks listed before it: that excludes cycles and reads in the order it runs.
        let mut earlier = BTreeSet::new();
        for (place, task) in tasks.iter().enumerate() {
            let path = format!("{at}[{place}]");
            let template = &task["template"];
            let known = template.as_str().is_some_and(|name| names.contains(name));
            self.require(known, format!("{path}.template"), "the name of a template", template);
            for (nth, needed) in list(task, "dependencies").iter().enumerate() {
                let listed = needed.as_str().is_some_and(|name| earlier.contains(name));
                self.require(listed, format!("{path}.dependencies[{nth}]"), "a task listed before this one", needed);
            }
            let fresh = task["name"].as_str().is_some_and(|name| earlier.insert(name));
            self.require(fresh, format!("{path}.name"), "a name of its own", &task["name"]);
        }
    }

    fn container(&mut self, container: &Value, at: &str, volumes: &BTreeSet<&str>) {
        let image = &container["image"];
        let pinned = image.as_str().is_some_and(is_pinned);
        self.require(pinned, format!("{at}.image"), "a digest or a tag other than latest", image);
        let command = &container["command"];
        let said = !list(container, "command").is_empty();
        self.require(said, format!("{at}.command"), "a command; Argo cannot look into the image", command);
        for bound in ["requests", "limits"] {
            for amount in ["cpu", "memory"] {
                let value = &container["resources"][bound][amount];
                self.require(value.is_string(), format!("{at}.resources.{bound}.{amount}"), "a quantity", value);
            }
        }
        let (security, path) = (&container["securityContext"], format!("{at}.securityContext"));
        for (field, wanted) in [("allowPrivilegeEscalation", false), ("readOnlyRootFilesystem", true)] {
            self.require(security[field] == wanted, format!("{path}.{field}"), &wanted.to_string(), &security[field]);
        }
        let drop = &security["capabilities"]["drop"];
        let all = list(&security["capabilities"], "drop").iter().any(|capability| capability == "ALL");
        self.require(all, format!("{path}.capabilities.drop"), "ALL", drop);
        for (place, mount) in list(container, "volumeMounts").iter().enumerate() {
            let known = mount["name"].as_str().is_some_and(|name| volumes.contains(name));
            self.require(known, format!("{at}.volumeMounts[{place}].name"), "a volume of the workflow", &mount["name"]);
        }
    }

    /// Pods can be evicted at any time, so every container is repeated; never after a code that would come again.
    fn retry(&mut self, retry: &Value, at: &str) {
        let limit = &retry["limit"];
        self.require(limit.is_string() || limit.is_u64(), format!("{at}.limit"), "a number of attempts", limit);
        let (expression, path) = (&retry["expression"], format!("{at}.expression"));
        let Some(codes) = expression.as_str().and_then(repeated_codes) else {
            self.report(path, "lastRetry.exitCode in ['<code>', ...]", show(expression));
            return;
        };
        for code in codes {
            if FINAL_EXIT_CODES.iter().any(|last| last.to_string() == code) {
                self.report(&path, "only codes after which another attempt can end differently", code);
            }
        }
    }
}

/// The codes of `lastRetry.exitCode in ['<code>', ...]`; `None` for any other expression.
///
/// Numbers without quotes never match: Argo compares with the code as text.
fn repeated_codes(expression: &str) -> Option<Vec<&str>> {
    let listed = expression.trim().strip_prefix("lastRetry.exitCode in [")?.strip_suffix(']')?;
    listed.split(',').map(|code| code.trim().strip_prefix('\'')?.strip_suffix('\'')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_quoted_codes_are_a_policy() {
        assert_eq!(repeated_codes("lastRetry.exitCode in ['-1', '69']"), Some(vec!["-1", "69"]));
        for other in ["true", "lastRetry.exitCode in [69]", "lastRetry.exitCode != '2'", ""] {
            assert_eq!(repeated_codes(other), None, "{other}");
        }
    }
}
