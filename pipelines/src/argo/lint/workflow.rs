//! Checks of a workflow's spec as a whole: what it refers to, how long it may live, what version 4 no longer reads.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Check, list, show};

/// Fields that version 4 dropped, with what took their place. Unknown fields are ignored in silence, so these would be.
const DROPPED: [(&str, &str); 3] =
    [("mutex", "mutexes, a list"), ("semaphore", "semaphores, a list"), ("podPriority", "podPriorityClassName")];

impl Check<'_> {
    pub(super) fn workflow_spec(&mut self, spec: &Value, at: &str) {
        if !spec.is_object() {
            self.report(at, "a workflow's spec", show(spec));
            return;
        }
        self.dropped(spec, at);
        let reference = &spec["workflowTemplateRef"];
        if reference.is_null() {
            self.own_spec(spec, at);
            return;
        }
        let name = &reference["name"];
        let Some(template) = name.as_str().and_then(|name| self.templates.get(name)).copied() else {
            self.report(format!("{at}.workflowTemplateRef.name"), "a WorkflowTemplate among the files", show(name));
            return;
        };
        let declared = parameters(template);
        for (place, parameter) in list(&spec["arguments"], "parameters").iter().enumerate() {
            let known = parameter["name"].as_str().is_some_and(|name| declared.contains(name));
            let path = format!("{at}.arguments.parameters[{place}].name");
            self.require(known, path, "a parameter of the template", &parameter["name"]);
        }
    }

    /// A spec with templates of its own.
    fn own_spec(&mut self, spec: &Value, at: &str) {
        let templates = list(spec, "templates");
        let names: BTreeSet<&str> = templates.iter().filter_map(|template| template["name"].as_str()).collect();
        self.require(!templates.is_empty(), format!("{at}.templates"), "at least one template", &spec["templates"]);
        for field in ["entrypoint", "onExit"] {
            let known = spec[field].as_str().is_some_and(|name| names.contains(name));
            self.require(known, format!("{at}.{field}"), "the name of a template", &spec[field]);
        }
        for field in ["serviceAccountName", "podPriorityClassName"] {
            self.require(spec[field].is_string(), format!("{at}.{field}"), "a name", &spec[field]);
        }
        for (object, field) in [("ttlStrategy", "secondsAfterCompletion"), ("podGC", "strategy")] {
            let value = &spec[object][field];
            self.require(!value.is_null(), format!("{at}.{object}.{field}"), "a limit to what is kept", value);
        }
        let deadline = &spec["activeDeadlineSeconds"];
        self.require(deadline.is_u64(), format!("{at}.activeDeadlineSeconds"), "a limit in seconds", deadline);
        let mutexes = &spec["synchronization"]["mutexes"];
        let named = !list(&spec["synchronization"], "mutexes").is_empty();
        self.require(named, format!("{at}.synchronization.mutexes"), "a mutex: one run at a time", mutexes);

        let security = &spec["securityContext"];
        let path = format!("{at}.securityContext");
        self.require(
            security["runAsNonRoot"] == true,
            format!("{path}.runAsNonRoot"),
            "true",
            &security["runAsNonRoot"],
        );
        let profile = &security["seccompProfile"]["type"];
        self.require(profile == "RuntimeDefault", format!("{path}.seccompProfile.type"), "RuntimeDefault", profile);

        let declared = parameters(spec);
        for (place, parameter) in list(&spec["arguments"], "parameters").iter().enumerate() {
            let path = format!("{at}.arguments.parameters[{place}].value");
            self.require(parameter["value"].is_string(), path, "text; YAML must not guess a type", &parameter["value"]);
        }
        self.used_parameters(spec, at, &declared);

        let volumes: BTreeSet<&str> =
            list(spec, "volumes").iter().filter_map(|volume| volume["name"].as_str()).collect();
        for (place, template) in templates.iter().enumerate() {
            self.template(template, &format!("{at}.templates[{place}]"), &names, &volumes);
        }
        for name in &names {
            if templates.iter().filter(|template| template["name"] == **name).count() > 1 {
                self.report(format!("{at}.templates"), "names that differ", format!("{name} twice"));
            }
        }
    }

    /// Every `{{workflow.parameters.x}}` below the value names a declared parameter.
    fn used_parameters(&mut self, value: &Value, at: &str, declared: &BTreeSet<&str>) {
        match value {
            Value::String(text) => {
                for rest in text.split("{{workflow.parameters.").skip(1) {
                    let name = rest.split("}}").next().unwrap_or_default();
                    if !declared.contains(name) {
                        self.report(at, "a declared parameter", format!("workflow.parameters.{name}"));
                    }
                }
            }
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    self.used_parameters(item, &format!("{at}[{place}]"), declared);
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    self.used_parameters(field, &below(at, key), declared);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn dropped(&mut self, value: &Value, at: &str) {
        match value {
            Value::Object(fields) => {
                for (key, field) in fields {
                    let path = below(at, key);
                    if let Some((_, instead)) = DROPPED.iter().find(|(old, _)| old == key) {
                        self.report(&path, format!("no such field; {instead}"), show(field));
                    }
                    self.dropped(field, &path);
                }
            }
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    self.dropped(item, &format!("{at}[{place}]"));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Path of a field; a key that holds dots is bracketed, as labels are.
fn below(at: &str, key: &str) -> String {
    if key.contains('.') { format!("{at}[{key}]") } else { format!("{at}.{key}") }
}

fn parameters(spec: &Value) -> BTreeSet<&str> {
    list(&spec["arguments"], "parameters").iter().filter_map(|parameter| parameter["name"].as_str()).collect()
}
